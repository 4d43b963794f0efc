//! The machine's node key: X25519, as WireGuard uses it.

use std::fmt;

use curve25519_dalek::MontgomeryPoint;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ledger::ids::NodeKey;
use zeroize::Zeroizing;

/// A node's private key. Wiped when dropped; shows nothing of itself.
pub struct NodePrivateKey(Zeroizing<[u8; 32]>);

impl NodePrivateKey {
    /// A random key.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut())?;
        Ok(Self::clamped(key))
    }

    /// Clamped at rest, as WireGuard's tools and Tailscale keep it.
    fn clamped(mut key: Zeroizing<[u8; 32]>) -> Self {
        key[0] &= 248;
        key[31] = (key[31] & 127) | 64;
        NodePrivateKey(key)
    }

    /// The public key.
    pub fn public(&self) -> NodeKey {
        NodeKey(MontgomeryPoint::mul_base_clamped(*self.0).to_bytes())
    }

    /// `privkey:` and 64 hex digits.
    pub(super) fn to_text(&self) -> Zeroizing<String> {
        const TAG: &str = "privkey:";
        let mut text = Zeroizing::new(String::with_capacity(TAG.len() + 64));
        text.push_str(TAG);
        HEXLOWER.encode_append(self.0.as_ref(), &mut text);
        text
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        let digits = text.trim_end().strip_prefix("privkey:")?;
        if digits.len() != 64 {
            return None;
        }
        let mut key = Zeroizing::new([0; 32]);
        HEXLOWER_PERMISSIVE.decode_mut(digits.as_bytes(), key.as_mut()).ok()?;
        Some(Self::clamped(key))
    }
}

impl fmt::Debug for NodePrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodePrivateKey(of {})", self.public())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_keys_are_x25519() {
        // RFC 7748 5.2: the first step of the iterated vector, scalar and point both 9.
        let text = format!("privkey:09{}\n", "00".repeat(31));
        let key = NodePrivateKey::from_text(&text).unwrap();
        assert_eq!(
            key.public().to_string(),
            "nodekey:422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
        );
        let again = NodePrivateKey::from_text(&key.to_text()).unwrap();
        assert_eq!(key.public(), again.public());
        assert!(NodePrivateKey::from_text(&text[..70]).is_none());
        assert!(!format!("{key:?}").contains("privkey"));
    }
}
