//! Padded base64 (RFC 4648 4) from elsewhere, in its one spelling.

use data_encoding::{BASE64, DecodeError, DecodeKind};

/// Decodes a text that is the only one of its bytes. `data-encoding` alone also takes several texts
/// one after the other, each with its own padding.
///
/// # Errors
/// The first place where it is not such a text.
pub fn decode(text: &str) -> Result<Vec<u8>, DecodeError> {
    match text.trim_end_matches('=').find('=') {
        Some(position) => Err(DecodeError { position, kind: DecodeKind::Padding }),
        None => BASE64.decode(text.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Found by the fuzz target `texts`.
    #[test]
    fn texts_one_after_the_other_are_none() {
        for text in ["AA==AA==", "AAA=AAAA", "=", "====", "AA==\n", "AB=="] {
            assert!(decode(text).is_err(), "{text}");
        }
        assert_eq!(BASE64.decode(b"AA==AA=="), Ok(vec![0, 0]));
        assert_eq!(decode("AA==AA==").unwrap_err().position, 2);
        assert_eq!(decode(""), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn there_is_one_text(bytes: Vec<u8>, text in "[A-Za-z0-9+/=]{0,24}") {
            prop_assert_eq!(decode(&BASE64.encode(&bytes)), Ok(bytes));
            if let Ok(bytes) = decode(&text) {
                prop_assert_eq!(BASE64.encode(&bytes), text);
            }
        }
    }
}
