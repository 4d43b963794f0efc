//! Whether what an export shows is what `Raw` says, however it is spelled.

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD, Encoding};

use super::view::{SECRETS, VALUES};
use crate::formats::Json;

/// How the strings below a field may be spelled without meaning something else.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Strings {
    /// In one way.
    Exact,
    /// Base32 of a hash: either case, padding, spare bits.
    Base32,
    /// Hex, after `tlpub:` or `nlpub:` or nothing: either case.
    Hex,
    /// Base64: either alphabet, padding, spare bits.
    Base64,
    /// Free text in keys and values: in one way, and every name counts.
    Meta,
}

impl Strings {
    fn of_field(name: &str) -> Self {
        match name {
            "Hash" | "PrevAUMHash" | "LastAUMHash" => Strings::Base32,
            "KeyID" | "Public" | VALUES => Strings::Hex,
            "Raw" | "Signature" => Strings::Base64,
            "Meta" => Strings::Meta,
            _ => Strings::Exact,
        }
    }
}

/// Names that mean something in an AUM's rendering, in lower case.
const KNOWN: &[&str] = &[
    "messagekind",
    "prevaumhash",
    "key",
    "keyid",
    "state",
    "votes",
    "meta",
    "signatures",
    "kind",
    "public",
    "lastaumhash",
    "disablementvalues",
    "disablementsecrets",
    "keys",
    "stateid1",
    "stateid2",
    "signature",
];

/// Whether a reader that ignores letter case, as Go's does, takes `found` for `name`.
pub(super) fn same_name(name: &str, found: &str) -> bool {
    found.eq_ignore_ascii_case(name) || (name == VALUES && found.eq_ignore_ascii_case(SECRETS))
}

/// The first place where `found` says something else than `expected`, as a path of field names.
pub(super) fn difference(expected: &Json, found: &Json, strings: Strings) -> Option<String> {
    match (expected, found) {
        (Json::Object(expected), Json::Object(found)) => {
            object_difference(expected, found, strings)
        }
        (Json::List(expected), Json::List(found)) => {
            if expected.len() != found.len() {
                return Some(format!(": {} elements, not {}", found.len(), expected.len()));
            }
            let mut pairs = expected.iter().zip(found).enumerate();
            pairs.find_map(|(i, (expected, found))| {
                difference(expected, found, strings).map(|inner| format!("[{i}]{inner}"))
            })
        }
        (Json::Text(expected), Json::Text(found)) if same_text(expected, found, strings) => None,
        (Json::Number(expected), Json::Number(found)) if same_number(expected, found) => None,
        (expected, found) if expected == found => None,
        _ => Some(String::new()),
    }
}

fn object_difference(
    expected: &[(String, Json)],
    found: &[(String, Json)],
    strings: Strings,
) -> Option<String> {
    let meta = strings == Strings::Meta;
    let matches =
        |name: &str, shown: &str| if meta { name == shown } else { same_name(name, shown) };
    let at = |name: &str, inner: &str| {
        // Metadata names are anybody's text; whoever prints the path escapes it.
        if inner.starts_with(['.', '[', ':']) || inner.is_empty() {
            format!(".{name}{inner}")
        } else {
            format!(".{name} {inner}")
        }
    };
    for (name, value) in expected {
        let strings = if meta { strings } else { Strings::of_field(name) };
        let mut shown = found.iter().filter(|(shown, _)| matches(name, shown)).peekable();
        if shown.peek().is_none() {
            return Some(at(name, "is left out"));
        }
        // Readers differ in which of several they take, so all must say the same.
        for (_, shown) in shown {
            if let Some(inner) = difference(value, shown, strings) {
                return Some(at(name, &inner));
            }
        }
    }
    let extra = found.iter().find(|(shown, value)| {
        let known = meta || KNOWN.contains(&shown.to_ascii_lowercase().as_str());
        known && *value != Json::Null && !expected.iter().any(|(name, _)| matches(name, shown))
    });
    extra.map(|(name, _)| at(name, "is added"))
}

fn same_text(expected: &str, found: &str, strings: Strings) -> bool {
    let clean = |text: &str| -> String {
        text.trim_end_matches('=').chars().filter(|c| !matches!(c, '\r' | '\n')).collect()
    };
    match strings {
        Strings::Exact | Strings::Meta => expected == found,
        Strings::Hex => {
            let digits = |text: &str| {
                let text = text.to_ascii_lowercase();
                let digits = text.strip_prefix("tlpub:").or_else(|| text.strip_prefix("nlpub:"));
                digits.map_or(text.clone(), str::to_owned)
            };
            digits(expected) == digits(found)
        }
        Strings::Base32 => lenient(&BASE32_NOPAD, &clean(found).to_ascii_uppercase())
            .is_some_and(|found| Some(found) == BASE32_NOPAD.decode(expected.as_bytes()).ok()),
        Strings::Base64 => base64(found).is_some_and(|found| Some(found) == base64(expected)),
    }
}

/// Decodes base64 of either alphabet, padded or not, whatever its spare bits are.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let text: String = text
        .trim_end_matches('=')
        .chars()
        .filter(|c| !matches!(c, '\r' | '\n'))
        .map(|c| match c {
            '+' => '-',
            '/' => '_',
            c => c,
        })
        .collect();
    lenient(&BASE64URL_NOPAD, &text)
}

/// Decodes without looking at the spare bits of the last digit.
fn lenient(encoding: &Encoding, text: &str) -> Option<Vec<u8>> {
    let mut specification = encoding.specification();
    specification.check_trailing_bits = false;
    specification.encoding().ok()?.decode(text.as_bytes()).ok()
}

/// Whether two spellings are the same number. Only whole numbers below 2^64 occur.
fn same_number(expected: &str, found: &str) -> bool {
    expected == found || whole(found).is_some_and(|n| n.to_string() == expected)
}

/// The value of a spelling such as `10`, `10.0`, `1e1` or `100e-1`, if it is whole.
fn whole(spelling: &str) -> Option<u128> {
    let (mantissa, exponent) = match spelling.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (spelling, 0),
    };
    let (digits, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{digits}{fraction}");
    if all.len() > 64 {
        return None;
    }
    let trimmed = all.trim_end_matches('0');
    let zeros = i32::try_from(all.len() - trimmed.len()).ok()?;
    let scale = exponent
        .checked_sub(i32::try_from(fraction.len()).ok()?)?
        .checked_add(zeros)
        .and_then(|scale| u32::try_from(scale).ok());
    match (trimmed.trim_start_matches('-'), scale) {
        ("", _) => Some(0),
        (_, scale) => trimmed.parse::<u128>().ok()?.checked_mul(10u128.checked_pow(scale?)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_many_spellings() {
        for same in ["100", "100.0", "1e2", "1E+2", "1000e-1", "0.1e3", "10.00e1"] {
            assert!(same_number("100", same), "{same}");
        }
        for other in ["10", "100.1", "1e3", "-100", "1e-2", "1e400", "1e99999999999"] {
            assert!(!same_number("100", other), "{other}");
        }
        assert!(same_number("0", "-0") && same_number("0", "0e9"));
        assert!(!same_number("5324359650181512707", "5324359650181512000"));
        assert!(same_number("18446744073709551615", "18446744073709551615.0"));
    }

    #[test]
    fn texts_have_as_many_as_their_form_allows() {
        let hash = "N4GXUQKCUB5EYNJWLZHHOQF33IQZNITTTY63TIUFFXELX5TVU63A";
        let spare = hash.replace("U63A", "U63P");
        for same in [&hash.to_lowercase(), &spare, &format!("{hash}====")] {
            assert!(same_text(hash, same, Strings::Base32), "{same}");
            assert!(!same_text(hash, same, Strings::Exact), "{same}");
        }
        assert!(!same_text(hash, &hash.replace("U63A", "U63Q"), Strings::Base32));
        assert!(same_text("_-8=", "/+9", Strings::Base64));
        assert!(!same_text("_-8=", "_-4=", Strings::Base64));
        assert!(same_text("tlpub:ab", "nlpub:AB", Strings::Hex));
        assert!(!same_text("tlpub:ab", "tlpub:ac", Strings::Hex));
        assert!(!same_text("name", "Name", Strings::Meta));
    }
}
