//! Durations that people type: `90d`, `24h`, `1h30m`.

use std::time::Duration;

use crate::exit::Failure;

/// Names of units and their seconds.
const UNITS: [(char, u64); 5] =
    [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400), ('w', 7 * 86_400)];

/// Parses whole numbers with units after them, in any order; not nothing and not zero.
pub(super) fn parse(flag: &str, text: &str) -> Result<Duration, Failure> {
    seconds(text).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(|| {
        Failure::usage(format!("{flag}: {text:?} is no duration"))
            .remedy("Write numbers with units: 30m, 24h, 1h30m, 90d, 2w.")
    })
}

fn seconds(text: &str) -> Option<u64> {
    let (mut total, mut number) = (0_u64, None);
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            let before: u64 = number.unwrap_or(0);
            number = Some(before.checked_mul(10)?.checked_add(digit.into())?);
        } else {
            let (_, unit) = UNITS.iter().find(|(name, _)| *name == c)?;
            total = total.checked_add(number.take()?.checked_mul(*unit)?)?;
        }
    }
    // A number without a unit could mean anything.
    if number.is_some() { None } else { Some(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units() {
        for (text, seconds) in
            [("1s", 1), ("90d", 7_776_000), ("1h30m", 5400), ("2w", 1_209_600), ("007m", 420)]
        {
            assert_eq!(parse("--expiry", text).unwrap().as_secs(), seconds, "{text}");
        }
        for bad in ["", "0s", "5", "h", "-1h", "1.5h", "1h5", "1y", "99999999999999999999d", "1 h"]
        {
            let failure = parse("--expiry", bad).unwrap_err();
            assert!(failure.what.starts_with("--expiry: "), "{bad}");
        }
    }
}
