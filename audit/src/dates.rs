//! Dates of the proleptic Gregorian calendar, in UTC.

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// `2026-11-26 18:25:40 UTC` of milliseconds since 1970.
pub fn date_time(ms: u64) -> String {
    let second = ms % DAY_MS / 1000;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{} {hour:02}:{minute:02}:{second:02} UTC", date(ms))
}

/// The same as RFC 3339 has it: `2026-11-26T18:25:40Z`.
pub fn rfc3339(ms: u64) -> String {
    date_time(ms).replacen(' ', "T", 1).replace(" UTC", "Z")
}

/// `2026-11-26` of milliseconds since 1970.
pub fn date(ms: u64) -> String {
    let (year, month, day) = civil(ms / DAY_MS);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Milliseconds since 1970 at the beginning of a day written as `2026-11-26`.
pub fn parse_date(text: &str) -> Option<u64> {
    let mut parts = text.split('-');
    let mut number = |digits: usize| {
        let part = parts.next()?;
        let plain = part.len() == digits && part.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| part.parse::<u64>().ok()).flatten()
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    if parts.next().is_some() || year < 1970 || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let ms = days(year, month, day).checked_mul(DAY_MS)?;
    (date(ms) == text).then_some(ms)
}

/// Milliseconds since 1970 of a date, or of a date and a time such as `2026-11-26T18:25:40Z`.
pub fn parse_time(text: &str) -> Option<u64> {
    let (date, time) = match text.split_once(['T', ' ']) {
        None => return parse_date(text),
        Some(parts) => parts,
    };
    let time = time.strip_suffix('Z').or_else(|| time.strip_suffix(" UTC")).unwrap_or(time);
    let numbers: Option<Vec<u64>> = time
        .split(':')
        .map(|part| (part.len() == 2).then(|| part.parse().ok()).flatten())
        .collect();
    let second = match numbers?.as_slice() {
        [hour @ 0..24, minute @ 0..60] => hour * 3600 + minute * 60,
        [hour @ 0..24, minute @ 0..60, second @ 0..60] => hour * 3600 + minute * 60 + second,
        _ => return None,
    };
    Some(parse_date(date)? + second * 1000)
}

/// Year, month and day of a number of days since 1970 (Howard Hinnant's algorithm).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

/// Days since 1970 of a date after it; the inverse of [`civil`].
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, of_era) = (year / 400, year % 400);
    let month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_read_back() {
        assert_eq!(date_time(1_700_000_000_000), "2023-11-14 22:13:20 UTC");
        assert_eq!(parse_time("2023-11-14T22:13:20Z"), Some(1_700_000_000_000));
        assert_eq!(parse_time("2023-11-14 22:13"), Some(1_699_999_980_000));
        for day in (0..60_000).step_by(7) {
            let ms = day * DAY_MS;
            assert_eq!(parse_date(&date(ms)), Some(ms), "{}", date(ms));
        }
        for bad in ["2023-02-29", "2023-13-01", "2023-1-01", "1969-12-31", "2023-00-10", ""] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
        for bad in ["2023-11-14T24:00", "2023-11-14T1:00", "2023-11-14Tnoon"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }
}
