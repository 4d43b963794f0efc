//! What somebody typed and saw, compared with a page of what they should see.

mod masks;

use std::path::Path;

use super::{Place, Ran};
use masks::Masks;

/// A session at a shell. What differs in every run is masked: keys and hashes get names, other
/// random values say what they are.
pub struct Transcript<'a> {
    place: &'a Place,
    masks: Masks,
    text: String,
}

impl<'a> Transcript<'a> {
    pub fn new(place: &'a Place) -> Self {
        Transcript { place, masks: Masks::new(place.root()), text: String::new() }
    }

    /// From now on the digits of a key, such as `tlpub:...`, or an ID are shown as `<name>`.
    pub fn name(&mut self, key: &str, name: &str) {
        self.masks.name(key, name);
    }

    /// From now on a piece of text is shown in another way.
    pub fn hide(&mut self, piece: &str, stand_in: &str) {
        self.masks.hide(piece, stand_in);
    }

    /// A remark between commands.
    pub fn remark(&mut self, text: &str) {
        self.text.push_str(&format!("# {text}\n\n"));
    }

    /// Types a command and shows what it prints: stdout, then stderr with a mark, then the exit
    /// code unless that is 0.
    pub fn run(&mut self, words: &str) -> Ran {
        let ran = self.place.run(words);
        self.show(&format!("lockstep {words}"), ran)
    }

    /// As [`run`](Self::run), for a whole line of a shell.
    pub fn shell(&mut self, line: &str) -> Ran {
        let ran = self.place.shell(line);
        self.show(line, ran)
    }

    fn show(&mut self, line: &str, ran: Ran) -> Ran {
        let mut text = format!("$ {line}\n{}", ran.stdout);
        for line in ran.stderr.lines() {
            text.push_str(format!("! {line}").trim_end());
            text.push('\n');
        }
        if ran.code != 0 {
            text.push_str(&format!("exit {}\n", ran.code));
        }
        text.push('\n');
        let text = self.masks.masked(&text);
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
}
