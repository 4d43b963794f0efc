//! Links that ask a signing device to sign a node (spec 13).
//!
//! `tailscale://sign-device/v1/?` and the fields, authenticated by an HMAC under the lock's first
//! state ID. Every node of the tailnet knows that key, and nothing separates the fields in the
//! message (spec 14.2, W18): a valid link says what some node of the tailnet asks for, no more.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const SCHEME: &str = "tailscale";
const HOST: &str = "sign-device";
const VERSION: &str = "v1";

/// What a link says. All fields are as somebody wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deeplink {
    /// The node key to sign: `nodekey:` and hex.
    pub node_key: String,
    /// The node's tailnet-lock key: `tlpub:` and hex.
    pub lock_key: String,
    /// The device's name.
    pub device_name: String,
    /// Its operating system.
    pub os_name: String,
    /// Who uses it.
    pub login_name: String,
}

/// Why a link is not made or not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeeplinkError {
    /// A field that does not do for a new link.
    #[error("invalid {field} {value:?}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What it holds.
        value: String,
    },
    /// Not a URL.
    #[error("not a URL: {0}")]
    Url(&'static str),
    /// Another scheme.
    #[error("unhandled scheme {0}, expected {SCHEME}")]
    Scheme(String),
    /// Another host.
    #[error("unhandled host {0}, expected {HOST}")]
    Host(String),
    /// Not three path components.
    #[error("invalid path components number found")]
    Path,
    /// Another version.
    #[error("expected {VERSION} deeplink version, found something else: {0}")]
    Version(String),
    /// A parameter is not there or empty.
    #[error("missing {0} query parameter")]
    Missing(&'static str),
    /// The HMAC is not hex.
    #[error("could not hex-decode hmac")]
    Hex,
    /// The HMAC is another.
    #[error("hmac authentication failed")]
    Hmac,
}

impl Deeplink {
    /// The link, authenticated for the lock with that first state ID.
    pub fn to_url(&self, state_id1: u64) -> Result<String, DeeplinkError> {
        let checks = [
            ("node key", &self.node_key, self.node_key.starts_with("nodekey:")),
            ("tlpub", &self.lock_key, self.lock_key.starts_with("tlpub:")),
            ("device name", &self.device_name, !self.device_name.is_empty()),
            ("os name", &self.os_name, !self.os_name.is_empty()),
            ("login name", &self.login_name, !self.login_name.is_empty()),
        ];
        for (field, value, ok) in checks {
            if !ok {
                return Err(DeeplinkError::Field { field, value: value.clone() });
            }
        }
        let fields =
            [&self.node_key, &self.lock_key, &self.device_name, &self.os_name, &self.login_name];
        let mac = mac(state_id1, fields.map(|field| field.as_bytes()));
        let hex = HEXLOWER.encode(&mac.finalize().into_bytes());
        let pairs = [
            ("dn", &self.device_name),
            ("em", &self.login_name),
            ("hm", &hex),
            ("nk", &self.node_key),
            ("os", &self.os_name),
            ("tp", &self.lock_key),
        ];
        let query: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
        Ok(format!("{SCHEME}://{HOST}/{VERSION}/?{}", query.join("&")))
    }

    /// Reads a link and checks its HMAC. The URL is taken apart as Go's net/url does it, so that
    /// the verdict is the original's (spec 16.6). A link without `os` passes if its HMAC holds.
    pub fn validate(url: &str, state_id1: u64) -> Result<Self, DeeplinkError> {
        let url = Url::parse(url)?;
        if url.scheme != SCHEME {
            return Err(DeeplinkError::Scheme(url.scheme));
        }
        if url.host != HOST {
            return Err(DeeplinkError::Host(url.host));
        }
        match url.path[..] {
            [_, ref version, _] if version == VERSION.as_bytes() => {}
            [_, ref version, _] => return Err(DeeplinkError::Version(lossy(version))),
            _ => return Err(DeeplinkError::Path),
        }
        let parameter = |name: &str, missing| {
            let value = url.first(name);
            if value.is_empty() { Err(DeeplinkError::Missing(missing)) } else { Ok(value) }
        };
        let node_key = parameter("nk", "nk (NodeKey)")?;
        let lock_key = parameter("tp", "tp (TLPub)")?;
        let device_name = parameter("dn", "dn (DeviceName)")?;
        let login_name = parameter("em", "em (EmailAddress)")?;
        let hex = parameter("hm", "hm (HMAC)")?;
        let os_name = url.first("os");
        let claimed = HEXLOWER_PERMISSIVE.decode(hex).map_err(|_| DeeplinkError::Hex)?;
        mac(state_id1, [node_key, lock_key, device_name, os_name, login_name])
            .verify_slice(&claimed)
            .map_err(|_| match os_name {
                [] => DeeplinkError::Missing("os (OSName)"),
                _ => DeeplinkError::Hmac,
            })?;
        Ok(Deeplink {
            node_key: lossy(node_key),
            lock_key: lossy(lock_key),
            device_name: lossy(device_name),
            os_name: lossy(os_name),
            login_name: lossy(login_name),
        })
    }
}

fn mac(state_id1: u64, fields: [&[u8]; 5]) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&hmac_key(state_id1));
    for field in fields {
        mac.update(field);
    }
    mac
}

/// The state ID as a whole block of key: HMAC pads short keys with zeros.
fn hmac_key(state_id1: u64) -> hmac::digest::Key<Hmac<Sha256>> {
    let mut key = hmac::digest::Key::<Hmac<Sha256>>::default();
    for (at, byte) in key.iter_mut().zip(state_id1.to_le_bytes()) {
        *at = byte;
    }
    key
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Form encoding of one value: space as `+`, all but letters, digits and `-_.~` as `%XX`.
fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Undoes `%XX` and, in forms, `+`; `None` if a `%` is not followed by two hex digits.
fn unescape(text: &str, form: bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                out.extend(HEXLOWER_PERMISSIVE.decode(&digits).ok()?);
            }
            b'+' if form => out.push(b' '),
            _ => out.push(byte),
        }
    }
    Some(out)
}

/// The parts of a URL that matter here.
struct Url {
    scheme: String,
    host: String,
    path: Vec<Vec<u8>>,
    query: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Url {
    fn parse(text: &str) -> Result<Self, DeeplinkError> {
        const ESCAPE: DeeplinkError = DeeplinkError::Url("invalid URL escape");
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return Err(DeeplinkError::Url("invalid control character in URL"));
        }
        unescape(fragment, false).ok_or(ESCAPE)?;
        let (scheme, rest) = split_scheme(text)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, path) = match rest.strip_prefix("//") {
            Some(rest) => {
                let at = rest.find('/').unwrap_or(rest.len());
                (host(&rest[..at])?, &rest[at..])
            }
            // Without authority the host is empty, and that is the verdict, unless even the path
            // does not parse. (After a scheme, what does not begin with a slash is no path.)
            None if !scheme.is_empty() && !rest.starts_with('/') => (String::new(), ""),
            None => (String::new(), rest),
        };
        let decoded = unescape(path, false).ok_or(ESCAPE)?;
        // What is not properly escaped is split as it would be written, so by its plain bytes.
        let path = if path.bytes().all(may_stand_in_path) { path.as_bytes() } else { &decoded };
        Ok(Url {
            scheme: scheme.to_ascii_lowercase(),
            host,
            path: path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect(),
            query: query.split('&').filter_map(pair).collect(),
        })
    }

    /// The first value of that name; empty if there is none.
    fn first(&self, name: &str) -> &[u8] {
        self.query
            .iter()
            .find(|(key, _)| key == name.as_bytes())
            .map_or(&[], |(_, value)| value.as_slice())
    }
}

/// A pair of a query; those with `;` or bad escapes count as absent.
fn pair(text: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    if text.is_empty() || text.contains(';') {
        return None;
    }
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    Some((unescape(key, true)?, unescape(value, true)?))
}

/// Splits off what stands before the first `:`, if it can be a scheme.
fn split_scheme(text: &str) -> Result<(&str, &str), DeeplinkError> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err(DeeplinkError::Url("missing protocol scheme")),
            ':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

/// The host of an authority, without the user. Ports and escapes stay: with them it is never ours.
fn host(authority: &str) -> Result<String, DeeplinkError> {
    let Some((user, host)) = authority.rsplit_once('@') else { return Ok(authority.to_owned()) };
    let valid = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    if !user.chars().all(valid) || unescape(user, false).is_none() {
        return Err(DeeplinkError::Url("invalid userinfo"));
    }
    Ok(host.to_owned())
}

fn may_stand_in_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:@[]%/".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of spec 13.
    #[test]
    fn the_link_of_the_spec() {
        let link = Deeplink {
            node_key: "nodekey:1234567890".to_owned(),
            lock_key: "tlpub:1234567890".to_owned(),
            device_name: "Example Device".to_owned(),
            os_name: "iOS".to_owned(),
            login_name: "insecure@example.com".to_owned(),
        };
        let url = link.to_url(1).unwrap();
        assert_eq!(
            url,
            "tailscale://sign-device/v1/?dn=Example+Device&em=insecure%40example.com&\
             hm=43bada2fd4dfbf64455ed66f67040cfc15adac4d4fcb2dfbce9adef79eaf2dee&\
             nk=nodekey%3A1234567890&os=iOS&tp=tlpub%3A1234567890"
        );
        assert_eq!(Deeplink::validate(&url, 1), Ok(link));
        assert_eq!(Deeplink::validate(&url, 2), Err(DeeplinkError::Hmac));
    }

    #[test]
    fn odd_urls_get_the_verdict_of_go() {
        let verdict = |url| Deeplink::validate(url, 1).unwrap_err().to_string();
        for (url, error) in [
            ("", "unhandled scheme , expected tailscale"),
            (":", "not a URL: missing protocol scheme"),
            ("tailscale:sign-device/v1/", "unhandled host , expected sign-device"),
            ("tailscale:%", "unhandled host , expected sign-device"),
            ("tailscale:/%", "not a URL: invalid URL escape"),
            ("tailscale://sign-device/v1/#%", "not a URL: invalid URL escape"),
            ("tailscale://a b@sign-device/v1/", "not a URL: invalid userinfo"),
            ("tailscale://sign-device/v1/\u{e9}", "missing nk (NodeKey) query parameter"),
            ("tailscale://sign-device/v1%2F", "invalid path components number found"),
            (
                "tailscale://sign-device/%761/",
                "expected v1 deeplink version, found something else: %761",
            ),
            ("tailscale://sign-device/v1/?nk=%", "missing nk (NodeKey) query parameter"),
        ] {
            assert_eq!(verdict(url), error, "{url}");
        }
    }
}
