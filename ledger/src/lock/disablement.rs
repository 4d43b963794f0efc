//! Disablement secrets and the values that the state keeps of them (spec 9).

use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE, HEXUPPER};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use super::State;
use crate::ids::TextError;
use crate::limits::DISABLEMENT_VALUE_BYTES;

const SALT: &[u8] = b"tailscale network-lock disablement salt";
const MEMORY_KIB: u32 = 16 * 1024;
const TIME: u32 = 4;
const LANES: u32 = 4;

const SECRET_PREFIX: &str = "disablement-secret:";
const VALUE_PREFIX: &str = "disablement:";

/// The value of a secret: Argon2i 1.3, time 4, 16 MiB, 4 lanes. Costs about 15 ms.
///
/// Secrets of 4 GiB and more have no image; zeros stand for it, and whoever checks a secret refuses them.
pub fn image(secret: &[u8]) -> [u8; DISABLEMENT_VALUE_BYTES] {
    derive(secret).unwrap_or_default()
}

/// [`image()`], or nothing for a secret that has none.
pub(super) fn derive(secret: &[u8]) -> Option<[u8; DISABLEMENT_VALUE_BYTES]> {
    let params = Params::new(MEMORY_KIB, TIME, LANES, Some(DISABLEMENT_VALUE_BYTES)).ok()?;
    let kdf = Argon2::new(Algorithm::Argon2i, Version::V0x13, params);
    let mut value = [0; DISABLEMENT_VALUE_BYTES];
    kdf.hash_password_into(secret, SALT, &mut value).ok()?;
    Some(value)
}

/// Whether this is the value, in constant time; what has no image equals none.
pub(super) fn equals(
    image: Option<[u8; DISABLEMENT_VALUE_BYTES]>,
    value: &[u8; DISABLEMENT_VALUE_BYTES],
) -> bool {
    image.is_some_and(|image| image.ct_eq(value).into())
}

impl State {
    /// The value in this state whose secret this is, if any: one KDF run, and every value is
    /// compared in constant time.
    pub fn disablement_value_of(&self, secret: &[u8]) -> Option<[u8; DISABLEMENT_VALUE_BYTES]> {
        self.listed(derive(secret)?)
    }

    /// The image, if it is a value in this state. Every value is compared in constant time.
    pub(super) fn listed(
        &self,
        image: [u8; DISABLEMENT_VALUE_BYTES],
    ) -> Option<[u8; DISABLEMENT_VALUE_BYTES]> {
        let found = self
            .disablement_values()
            .fold(Choice::from(0), |found, value| found | value.ct_eq(image.as_slice()));
        bool::from(found).then_some(image)
    }
}

/// A disablement secret or value as a person gives it.
///
/// The original parses both prefixes alike, so that each can be taken for the other (spec 9, W17);
/// whoever needs one of the two looks at which it is.
#[derive(Clone, PartialEq, Eq)]
pub enum DisablementText {
    /// `disablement-secret:` and hex.
    Secret(Zeroizing<Vec<u8>>),
    /// `disablement:` and hex.
    Value(Vec<u8>),
}

impl DisablementText {
    /// Parses either form; hex in either case.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let decode = |digits: &str| {
            HEXLOWER_PERMISSIVE
                .decode(digits.as_bytes())
                .map_err(|_| TextError::Digit { what: "disablement secret or value" })
        };
        if let Some(digits) = text.strip_prefix(SECRET_PREFIX) {
            Ok(DisablementText::Secret(Zeroizing::new(decode(digits)?)))
        } else if let Some(digits) = text.strip_prefix(VALUE_PREFIX) {
            Ok(DisablementText::Value(decode(digits)?))
        } else {
            Err(TextError::Prefix { expected: SECRET_PREFIX })
        }
    }
}

/// `disablement-secret:` and upper-case hex: what is shown once when a lock is created.
pub fn secret_to_text(secret: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(SECRET_PREFIX.len() + 2 * secret.len()));
    text.push_str(SECRET_PREFIX);
    HEXUPPER.encode_append(secret, &mut text);
    text
}

/// `disablement:` and lower-case hex.
pub fn value_to_text(value: &[u8]) -> String {
    format!("{VALUE_PREFIX}{}", HEXLOWER.encode(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_the_original() {
        let cases = [
            (vec![0xa5; 32], "c3fea8a0d70ede2555990ca60d70a8a03cbe627d2c9f3cb0e2ba7093d0884e2f"),
            (vec![1, 2, 3], "a628b2bf849a89dc7289fdc84d1d7efe61a86bcf8e429cf65fa5450c5987b856"),
            (vec![], "aba8c98e3b8dc0de0b311d3961aafda5cab640b5cf7d52e0d9d265e787a4ff52"),
        ];
        for (secret, value) in cases {
            assert_eq!(value_to_text(&image(&secret)), format!("disablement:{value}"));
            assert!(equals(derive(&secret), &image(&secret)));
            assert!(!equals(derive(&secret), &image(b"another")));
        }
    }

    #[test]
    fn only_listed_secrets_are_found() {
        let state = State {
            disablement_values: Some(vec![None, Some(image(b"a").to_vec()), Some(vec![1])]),
            ..State::default()
        };
        assert_eq!(state.disablement_value_of(b"a"), Some(image(b"a")));
        assert_eq!(state.disablement_value_of(b"b"), None);
    }

    #[test]
    fn what_has_no_image_equals_nothing() {
        assert!(!equals(None, &[0; 32]));
    }

    #[test]
    fn text_tells_secrets_from_values() {
        let text = secret_to_text(&[0xab, 1]);
        assert_eq!(*text, "disablement-secret:AB01");
        let Ok(DisablementText::Secret(secret)) = DisablementText::parse(&text) else { panic!() };
        assert_eq!(*secret, [0xab, 1]);
        let Ok(DisablementText::Value(value)) = DisablementText::parse("disablement:aB01") else {
            panic!()
        };
        assert_eq!(value, [0xab, 1]);
        for bad in ["ab01", "disablement-secret:a", "disablement:xy"] {
            assert!(DisablementText::parse(bad).is_err());
        }
    }
}
