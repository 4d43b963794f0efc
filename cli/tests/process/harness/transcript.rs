//! What somebody typed and saw, compared with a page of what they should see.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Place, Ran};

/// A session at a shell. Keys and hashes, which differ in every run, get names.
pub struct Transcript<'a> {
    place: &'a Place,
    names: BTreeMap<String, String>,
    unnamed: usize,
    text: String,
}

impl<'a> Transcript<'a> {
    pub fn new(place: &'a Place) -> Self {
        Transcript { place, names: BTreeMap::new(), unnamed: 0, text: String::new() }
    }

    /// From now on the digits of a key, such as `tlpub:...`, or an ID are shown as `<name>`.
    pub fn name(&mut self, key: &str, name: &str) {
        let digits = key.rsplit(':').next().unwrap();
        self.names.insert(digits.to_owned(), format!("<{name}>"));
    }

    /// A remark between commands.
    pub fn remark(&mut self, text: &str) {
        self.text.push_str(&format!("# {text}\n\n"));
    }

    /// Types a command and shows what it prints: stdout, then stderr with a mark, then the exit
    /// code unless that is 0.
    pub fn run(&mut self, words: &str) -> Ran {
        let ran = self.place.run(words);
        let mut text = format!("$ lockstep {words}\n{}", ran.stdout);
        for line in ran.stderr.lines() {
            text.push_str(&format!("! {line}\n"));
        }
        if ran.code != 0 {
            text.push_str(&format!("exit {}\n", ran.code));
        }
        text.push('\n');
        let text = self.named(&text);
        self.text.push_str(&text);
        ran
    }

    /// Compares with a page. `LOCKSTEP_GOLDEN=write` writes it instead: look at the difference
    /// before you commit it.
    #[track_caller]
    pub fn matches(&self, page: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/process/golden").join(page);
        if std::env::var_os("LOCKSTEP_GOLDEN").is_some_and(|how| how == "write") {
            std::fs::write(&path, &self.text).unwrap();
        }
        let want = std::fs::read_to_string(&path).unwrap();
        let (mut wanted, mut got) = (want.lines(), self.text.lines());
        for number in 1.. {
            let (wanted, got) = (wanted.next(), got.next());
            assert!(
                wanted == got,
                "line {number} of {page}: want {wanted:?}, got {got:?}; all of it:\n{}",
                self.text
            );
            if wanted.is_none() {
                break;
            }
        }
        assert_eq!(want, self.text);
    }

    /// The first characters of a hash that has a name, as the commands print them.
    fn begun(&self, word: &str) -> Option<String> {
        let (whole, name) = self.names.range(word.to_owned()..).next()?;
        let begins = word.len() == 12 && whole.len() == 52 && whole.starts_with(word);
        begins.then(|| name.replace('>', "..>"))
    }

    /// Replaces what is as long as a key, a hash or a blob and looks like one.
    fn named(&mut self, text: &str) -> String {
        let mut out = String::new();
        for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
            let (word, end) = match word.chars().last() {
                Some(last) if !last.is_ascii_alphanumeric() => {
                    word.split_at(word.len() - last.len_utf8())
                }
                _ => (word, ""),
            };
            let hex = word.len() >= 64 && word.chars().all(|c| c.is_ascii_hexdigit());
            let base32 = word.len() == 52
                && word.chars().all(|c| c.is_ascii_uppercase() || ('2'..='7').contains(&c));
            if hex || base32 || self.names.contains_key(word) {
                if !self.names.contains_key(word) {
                    self.unnamed += 1;
                    self.names.insert(word.to_owned(), format!("<{}>", self.unnamed));
                }
                out.push_str(&self.names[word]);
            } else if let Some(name) = self.begun(word) {
                out.push_str(&name);
            } else {
                out.push_str(word);
            }
            out.push_str(end);
        }
        out
    }
}
