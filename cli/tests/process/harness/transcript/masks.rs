//! What stands in a page for values that differ in every run.

use std::collections::BTreeMap;
use std::path::Path;

/// Names for values that were seen, so that the same value is the same name throughout a page.
pub struct Masks {
    /// Whole pieces of text, and what stands for them.
    pieces: Vec<(String, String)>,
    names: BTreeMap<String, String>,
    unnamed: usize,
}

impl Masks {
    /// For a session in that directory.
    pub fn new(directory: &Path) -> Self {
        let pieces = vec![(directory.to_str().unwrap().to_owned(), "<dir>".to_owned())];
        Masks { pieces, names: BTreeMap::new(), unnamed: 0 }
    }

    /// Shows a piece of text in another way.
    pub fn hide(&mut self, piece: &str, stand_in: &str) {
        self.pieces.push((piece.to_owned(), stand_in.to_owned()));
    }

    /// Names the digits of a key or an ID.
    pub fn name(&mut self, key: &str, name: &str) {
        let digits = key.rsplit(':').next().unwrap();
        self.names.insert(digits.to_owned(), format!("<{name}>"));
    }

    /// The text without what differs.
    pub fn masked(&mut self, text: &str) -> String {
        let pieces = self.pieces.iter();
        let text = pieces.fold(text.to_owned(), |text, (piece, with)| text.replace(piece, with));
        let text = pubkeys(&times(&text));
        let blob = |c: char| c.is_ascii_alphanumeric() || "+/=_-".contains(c);
        let text = each(&text, blob, |run| match run.strip_prefix("tskey-auth-") {
            Some(key) => format!("tskey-auth-{}", auth_key(key)),
            None if is_blob(run) => "<base64>".to_owned(),
            None => run.to_owned(),
        });
        each(&text, |c| c.is_ascii_alphanumeric(), |word| self.word(word))
    }

    /// Replaces what is as long as a key, a hash or an ID and looks like one.
    fn word(&mut self, word: &str) -> String {
        if let Some(name) = self.names.get(word) {
            return name.clone();
        }
        let all = |of: fn(char) -> bool| word.chars().all(of);
        let hex = all(|c| c.is_ascii_hexdigit());
        let base32 = all(|c| c.is_ascii_uppercase() || ('2'..='7').contains(&c));
        let digits = all(|c| c.is_ascii_digit());
        match word.len() {
            12 => self.beginning(word),
            10.. if digits => "<number>".to_owned(),
            16 if hex && !word.contains(|c: char| c.is_ascii_uppercase()) => self.number(word),
            // A node key in binary form.
            68 if hex && word.starts_with("6e70") => format!("6e70{}", self.word(&word[4..])),
            32 if hex => self.number(word),
            64.. if hex => self.number(word),
            22 if is_id(word) => self.number(word),
            26 | 52 if base32 => self.number(word),
            _ => word.to_owned(),
        }
    }

    fn number(&mut self, word: &str) -> String {
        self.unnamed += 1;
        let name = format!("<{}>", self.unnamed);
        self.names.insert(word.to_owned(), name.clone());
        name
    }

    /// The first characters of a node key or a hash that has a name, as the commands print them.
    fn beginning(&self, word: &str) -> String {
        let named = self.names.range(word.to_owned()..).next();
        match named.filter(|(whole, _)| whole.starts_with(word)) {
            Some((whole, name)) if whole.len() == 64 => name.clone(),
            Some((whole, name)) if whole.len() == 52 => name.replace('>', "..>"),
            _ => word.to_owned(),
        }
    }
}

/// The text with each run of such characters replaced.
fn each(text: &str, of: impl Fn(char) -> bool, mut with: impl FnMut(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(&of) {
        let (before, run) = rest.split_at(start);
        let (run, after) = run.split_at(run.find(|c| !of(c)).unwrap_or(run.len()));
        out.push_str(before);
        out.push_str(&with(run));
        rest = after;
    }
    out + rest
}

/// Bytes in base64, long enough to be told from words.
fn is_blob(run: &str) -> bool {
    let has = |of: fn(char) -> bool| run.chars().any(of);
    run.len() >= 40
        && has(|c| c.is_ascii_uppercase())
        && has(|c| c.is_ascii_lowercase())
        && has(|c| c.is_ascii_digit())
}

/// An auth key behind its prefix: ID, secret and, if it is wrapped, its credential.
fn auth_key(key: &str) -> String {
    let (plain, credential) = match key.split_once("--TL") {
        Some((plain, _)) => (plain, "--TL<credential>"),
        None => (key, ""),
    };
    match plain.split_once('-') {
        Some((id, _)) if is_id(id) => format!("{id}-<secret>{credential}"),
        _ => format!("{plain}{credential}"),
    }
}

fn is_id(text: &str) -> bool {
    text.starts_with('k') && text.ends_with("CNTRL")
}

/// The text with each time of day in RFC 3339 replaced.
fn times(text: &str) -> String {
    each(
        text,
        |c| c.is_ascii_alphanumeric() || "-:.".contains(c),
        |run| {
            let digits: String =
                run.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            if digits.starts_with("0000-00-00T00:00:00") {
                "<time>".to_owned()
            } else {
                run.to_owned()
            }
        },
    )
}

/// The text with the beginning of each signature's node key replaced, as in `Pubkey: [AbCd3]`.
fn pubkeys(text: &str) -> String {
    let mut pieces = text.split("Pubkey: [");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        out.push_str("Pubkey: [..");
        out.push_str(piece.find(']').map_or(piece, |end| &piece[end..]));
    }
    out
}
