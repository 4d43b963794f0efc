//! The token: what an invited machine is given.
//!
//! `lockstep-invite-` and base32 (RFC 4648, without padding) of
//!
//! ```text
//! [cluster ID, incarnation, [[member key, address]...], secret] as canonical CBOR, and the first 4
//! bytes of its SHA-256, so that a slip of the hand is noticed
//! ```

use std::fmt;

use data_encoding::BASE32_NOPAD;
use ledger::cbor::{Malformed, Reader, Writer};
use ledger::history::{ClusterId, InvitationKey, MemberKey};
use ledger::lock::signatures::{PrivateKey, Signer};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const PREFIX: &str = "lockstep-invite-";
const CHECK_BYTES: usize = 4;
/// Members that a token names, at most.
pub(super) const MEMBERS: usize = 32;
/// Bytes of a token's text, at most.
pub const TOKEN_BYTES: usize = 32 << 10;

/// An invitation, as whoever is invited holds it. It is a secret until somebody has joined by it.
pub struct Token {
    /// The cluster to join.
    pub cluster: ClusterId,
    /// Its life, from 1.
    pub incarnation: u64,
    /// The members to ask: each answers at its address, and holds its key.
    pub members: Vec<(MemberKey, String)>,
    /// The private half of the invitation's key.
    pub secret: PrivateKey,
}

/// Without the secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("cluster", &self.cluster)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

/// Why a text is no token. The text is not repeated: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// It does not begin like one.
    #[error("it is no invitation: an invitation begins with {PREFIX}")]
    Prefix,
    /// It is longer than any.
    #[error("it is longer than any invitation")]
    Length,
    /// It was cut off or changed on its way.
    #[error("it was cut off or changed on its way")]
    Damaged,
    /// It says what no invitation says.
    #[error("it is not an invitation of this version: {0}")]
    Content(#[from] Malformed),
}

impl Token {
    /// The invitation's key, which the records have.
    pub fn key(&self) -> InvitationKey {
        InvitationKey(self.secret.public().0)
    }

    /// As text, in one line.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut out = Writer::new();
        out.array(4).bytes(&self.cluster.0).uint(self.incarnation).array(self.members.len());
        for (key, address) in &self.members {
            out.array(2).bytes(&key.0).text(address);
        }
        out.bytes(&self.secret.to_pair()[..32]);
        let mut bytes = Zeroizing::new(out.into_bytes());
        let check = Sha256::digest(&bytes[..]);
        bytes.extend_from_slice(&check[..CHECK_BYTES]);
        Zeroizing::new(format!("{PREFIX}{}", BASE32_NOPAD.encode(&bytes)))
    }

    /// From text, around which white space does not matter.
    pub fn from_text(text: &str) -> Result<Self, BadToken> {
        if text.len() > TOKEN_BYTES {
            return Err(BadToken::Length);
        }
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(BadToken::Prefix)?;
        let bytes = BASE32_NOPAD.decode(encoded.as_bytes()).map_err(|_| BadToken::Damaged)?;
        let bytes = Zeroizing::new(bytes);
        let split = bytes.len().checked_sub(CHECK_BYTES).ok_or(BadToken::Damaged)?;
        let (content, check) = bytes.split_at(split);
        if Sha256::digest(content)[..CHECK_BYTES] != *check {
            return Err(BadToken::Damaged);
        }
        let mut reader = Reader::new(content);
        reader.array_of(4)?;
        let cluster = ClusterId(reader.fixed()?);
        let incarnation = reader.uint()?;
        let count = reader.array_up_to(MEMBERS)?;
        let mut members = Vec::with_capacity(count);
        for _ in 0..count {
            reader.array_of(2)?;
            members.push((MemberKey(reader.fixed()?), reader.text()?.to_owned()));
            reader.close();
        }
        reader.close();
        let seed = Zeroizing::new(reader.fixed::<32>()?);
        reader.close();
        reader.finish()?;
        Ok(Token { cluster, incarnation, members, secret: PrivateKey::from_seed(&seed) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token {
            cluster: ClusterId([7; 16]),
            incarnation: 2,
            members: vec![(MemberKey([1; 32]), "a.example:7400".into())],
            secret: PrivateKey::from_seed(&[9; 32]),
        }
    }

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let token = token();
        let text = token.to_text();
        let read = Token::from_text(&format!("  {}\n", *text)).unwrap();
        assert_eq!((read.cluster, &read.members), (token.cluster, &token.members));
        assert_eq!(read.incarnation, 2);
        assert_eq!(read.key(), token.key());
        assert!(!format!("{read:?}").contains("9, 9"));
    }

    #[test]
    fn a_slip_of_the_hand_is_noticed() {
        let text = token().to_text();
        assert_eq!(Token::from_text("tskey-auth-x").unwrap_err(), BadToken::Prefix);
        assert_eq!(Token::from_text(PREFIX).unwrap_err(), BadToken::Damaged);
        for at in PREFIX.len()..text.len() {
            let mut other = text.as_bytes().to_vec();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).unwrap();
            assert_eq!(Token::from_text(&other).unwrap_err(), BadToken::Damaged, "{at}");
            assert!(Token::from_text(&text[..at]).is_err());
        }
        assert_eq!(Token::from_text(&"x".repeat(TOKEN_BYTES + 1)).unwrap_err(), BadToken::Length);
    }
}
