//! Numbers in the order in which their decimal texts sort, as files in an archive do.

/// The numbers below `end`, sorted as text.
pub(super) fn as_text(end: u64) -> impl Iterator<Item = u64> {
    // The next number to try; after it everything that begins with it.
    let mut next = (end > 0).then_some(0);
    std::iter::from_fn(move || {
        let number = next?;
        next = successor(number, end);
        Some(number)
    })
}

fn successor(number: u64, end: u64) -> Option<u64> {
    if let Some(longer) = number.checked_mul(10).filter(|longer| number > 0 && *longer < end) {
        return Some(longer);
    }
    if number == 0 {
        return (1 < end).then_some(1);
    }
    let mut number = number;
    loop {
        if number % 10 != 9 && number + 1 < end {
            return Some(number + 1);
        }
        number /= 10;
        if number == 0 {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_once_and_sorted() {
        for end in (0..120).chain([999, 1000, 1001, 12_345]) {
            let texts: Vec<String> = as_text(end).map(|number| number.to_string()).collect();
            assert_eq!(texts.len() as u64, end);
            assert!(texts.is_sorted(), "{end}");
        }
    }
}
