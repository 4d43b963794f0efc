//! JSON as the original's programs write it, and a reader that hides nothing.
//!
//! General JSON libraries drop what an auditor must see: a key given twice, the spelling of a
//! number, where in the file something stands. The lock's own JSON is small, so it is read here.

use std::fmt::Write as _;

/// A JSON value. Numbers keep the spelling they have in the document; objects keep every pair in
/// the order of the document, repeated keys included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as spelled.
    Number(String),
    /// A string, unescaped.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object.
    Object(Vec<(String, Json)>),
}

/// Where lines break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Two spaces a level, as `tailscale lock log --json` prints.
    Indented,
    /// No space at all, as a control-to-node request answers.
    Compact,
}

impl Json {
    /// A number.
    pub fn number(n: u64) -> Self {
        Json::Number(n.to_string())
    }

    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Json::Text(text.into())
    }

    /// An object of the pairs that are there, in this order.
    pub fn object<'a>(pairs: impl IntoIterator<Item = Option<(&'a str, Json)>>) -> Self {
        Json::Object(
            pairs.into_iter().flatten().map(|(name, value)| (name.to_owned(), value)).collect(),
        )
    }

    /// Appends the value to `out` as Go's `encoding/json` writes it, HTML characters escaped;
    /// `depth` is the number of levels around it. No newline at the end.
    pub fn write(&self, layout: Layout, depth: usize, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Json::Number(spelling) => out.push_str(spelling),
            Json::Text(text) => write_text(text, out),
            Json::List(items) if items.is_empty() => out.push_str("[]"),
            Json::Object(pairs) if pairs.is_empty() => out.push_str("{}"),
            Json::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    layout.between(i, depth + 1, out);
                    item.write(layout, depth + 1, out);
                }
                layout.line(depth, out);
                out.push(']');
            }
            Json::Object(pairs) => {
                out.push('{');
                for (i, (name, value)) in pairs.iter().enumerate() {
                    layout.between(i, depth + 1, out);
                    write_text(name, out);
                    out.push_str(layout.colon());
                    value.write(layout, depth + 1, out);
                }
                layout.line(depth, out);
                out.push('}');
            }
        }
    }
}

impl Layout {
    fn colon(self) -> &'static str {
        match self {
            Layout::Indented => ": ",
            Layout::Compact => ":",
        }
    }

    fn line(self, depth: usize, out: &mut String) {
        if self == Layout::Indented {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        }
    }

    fn between(self, index: usize, depth: usize, out: &mut String) {
        if index > 0 {
            out.push(',');
        }
        self.line(depth, out);
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                // Writing into a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Why a document is not JSON, or not the JSON that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not JSON of this form at byte {offset}: {what}")]
pub struct JsonError {
    /// Byte offset of what is wrong.
    pub offset: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Levels of arrays and objects that are read, far above what the lock's documents have.
const DEPTH: usize = 32;

/// Reads one document from front to back.
///
/// Strings and numbers are copied from the input, so memory is bounded by the input's size.
#[derive(Debug, Clone)]
pub struct JsonReader<'a> {
    input: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> JsonReader<'a> {
    /// A reader at the start of `input`.
    pub fn new(input: &'a [u8]) -> Self {
        JsonReader { input, at: 0, depth: 0 }
    }

    /// The byte offset of the next token.
    pub fn offset(&mut self) -> usize {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.input.get(self.at) {
            self.at += 1;
        }
        self.at
    }

    /// The byte offset behind the last token.
    pub fn end_of_token(&self) -> usize {
        self.at
    }

    /// Fails unless only white space is left.
    pub fn finish(mut self) -> Result<(), JsonError> {
        let offset = self.offset();
        if offset == self.input.len() { Ok(()) } else { self.refuse("text after the end") }
    }

    fn refuse<T>(&self, what: &'static str) -> Result<T, JsonError> {
        Err(JsonError { offset: self.at, what })
    }

    fn peek(&mut self) -> Option<u8> {
        let at = self.offset();
        self.input.get(at).copied()
    }

    /// Takes `token` if it is next.
    fn takes(&mut self, token: u8) -> bool {
        let next = self.peek() == Some(token);
        self.at += usize::from(next);
        next
    }

    fn needs(&mut self, token: u8, what: &'static str) -> Result<(), JsonError> {
        if self.takes(token) { Ok(()) } else { self.refuse(what) }
    }

    /// Reads an array; `item` reads each element.
    pub fn list(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.needs(b'[', "expected an array")?;
        self.nested(|reader| {
            if reader.takes(b']') {
                return Ok(());
            }
            loop {
                item(reader)?;
                if reader.takes(b']') {
                    return Ok(());
                }
                reader.needs(b',', "expected a comma or the end of the array")?;
            }
        })
    }

    /// Reads an object; `pair` is given each name and reads its value.
    pub fn object(
        &mut self,
        mut pair: impl FnMut(&mut Self, String) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.needs(b'{', "expected an object")?;
        self.nested(|reader| {
            if reader.takes(b'}') {
                return Ok(());
            }
            loop {
                let name = reader.text()?;
                reader.needs(b':', "expected a colon")?;
                pair(reader, name)?;
                if reader.takes(b'}') {
                    return Ok(());
                }
                reader.needs(b',', "expected a comma or the end of the object")?;
            }
        })
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.depth += 1;
        if self.depth > DEPTH {
            return self.refuse("nested too deeply");
        }
        read(self)?;
        self.depth -= 1;
        Ok(())
    }

    /// Whether the next value is null.
    pub fn is_null(&mut self) -> bool {
        self.peek() == Some(b'n')
    }

    /// Reads any value.
    pub fn value(&mut self) -> Result<Json, JsonError> {
        match self.peek() {
            Some(b'{') => {
                let mut pairs = Vec::new();
                self.object(|reader, name| {
                    pairs.push((name, reader.value()?));
                    Ok(())
                })?;
                Ok(Json::Object(pairs))
            }
            Some(b'[') => {
                let mut items = Vec::new();
                self.list(|reader| {
                    items.push(reader.value()?);
                    Ok(())
                })?;
                Ok(Json::List(items))
            }
            Some(b'"') => self.text().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                let words = [("null", Json::Null), ("true", true.into()), ("false", false.into())];
                for (word, value) in words {
                    if self.input[self.at..].starts_with(word.as_bytes()) {
                        self.at += word.len();
                        return Ok(value);
                    }
                }
                self.refuse("expected a value")
            }
        }
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let start = self.at;
        let digits = |reader: &mut Self| {
            let from = reader.at;
            while let Some(b'0'..=b'9') = reader.input.get(reader.at) {
                reader.at += 1;
            }
            if reader.at == from { reader.refuse("expected a digit") } else { Ok(from) }
        };
        self.at += usize::from(self.input.get(self.at) == Some(&b'-'));
        let from = digits(self)?;
        if self.at - from > 1 && self.input[from] == b'0' {
            return self.refuse("a number that begins with a zero");
        }
        if self.input.get(self.at) == Some(&b'.') {
            self.at += 1;
            digits(self)?;
        }
        if let Some(b'e' | b'E') = self.input.get(self.at) {
            self.at += 1;
            self.at += usize::from(matches!(self.input.get(self.at), Some(b'+' | b'-')));
            digits(self)?;
        }
        // Only ASCII was taken.
        Ok(Json::Number(String::from_utf8_lossy(&self.input[start..self.at]).into_owned()))
    }

    /// Reads a string.
    pub fn text(&mut self) -> Result<String, JsonError> {
        self.needs(b'"', "expected a string")?;
        let mut out = Vec::new();
        loop {
            let Some(&byte) = self.input.get(self.at) else {
                return self.refuse("the document ends inside a string");
            };
            match byte {
                b'"' => break,
                b'\\' => {
                    let c = self.escape()?;
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                0..=0x1f => return self.refuse("a control character inside a string"),
                byte => {
                    out.push(byte);
                    self.at += 1;
                }
            }
        }
        match String::from_utf8(out) {
            Ok(text) => {
                self.at += 1;
                Ok(text)
            }
            Err(_) => self.refuse("text that is not UTF-8"),
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let Some(&byte) = self.input.get(self.at + 1) else {
            return self.refuse("the document ends inside a string");
        };
        let c = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return self.refuse("an unknown escape"),
        };
        self.at += 2;
        Ok(c)
    }

    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let mut units = [self.code_unit()?, 0];
        let pair = (0xd800..0xdc00).contains(&units[0]);
        if pair {
            units[1] = self.code_unit()?;
        }
        match char::decode_utf16(units).next() {
            Some(Ok(c)) => Ok(c),
            _ => self.refuse("half a surrogate pair"),
        }
    }

    fn code_unit(&mut self) -> Result<u16, JsonError> {
        let unit = self.input.get(self.at..self.at + 6).and_then(|escape| {
            let digits = escape.strip_prefix(b"\\u")?;
            let all_hex = digits.iter().all(u8::is_ascii_hexdigit);
            let digits = std::str::from_utf8(digits).ok().filter(|_| all_hex)?;
            u16::from_str_radix(digits, 16).ok()
        });
        match unit {
            Some(unit) => {
                self.at += 6;
                Ok(unit)
            }
            None => self.refuse("a broken \\u escape"),
        }
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Json::Bool(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(input: &[u8]) -> Result<Json, JsonError> {
        let mut reader = JsonReader::new(input);
        let value = reader.value()?;
        reader.finish()?;
        Ok(value)
    }

    #[test]
    fn keeps_repeated_keys_and_spellings() {
        let value = read(br#" {"a": 1e0, "a": [null,true, "\u00fc\ud83d\ude00\/"]} "#).unwrap();
        let list = Json::List(vec![Json::Null, Json::Bool(true), Json::text("ü😀/")]);
        let pairs = [Some(("a", Json::Number("1e0".into()))), Some(("a", list))];
        assert_eq!(value, Json::object(pairs));
    }

    #[test]
    fn refuses_what_is_not_json() {
        for bad in [
            "",
            " ",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "01",
            "1.",
            "-",
            "1e",
            "+1",
            "nul",
            "\"\n\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\u00g0\"",
            "\"",
            "1 2",
            "\"\\u+041\"",
        ] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(read(b"\"\xff\"").is_err());
        assert!(read(&[b'['; 100_000]).is_err());
    }

    #[test]
    fn writes_as_go_does() {
        let value = Json::object([
            Some(("n", Json::text("<a> & \"b\"\u{2028}\u{7}\u{7f}"))),
            None,
            Some(("list", Json::List(vec![]))),
            Some(("o", Json::object([Some(("x", Json::number(u64::MAX)))]))),
        ]);
        let mut out = String::new();
        value.write(Layout::Indented, 0, &mut out);
        let name = "\"\\u003ca\\u003e \\u0026 \\\"b\\\"\\u2028\\u0007\u{7f}\"";
        assert_eq!(
            out,
            format!(
                "{{\n  \"n\": {name},\n  \"list\": [],\n  \"o\": {{\n    \"x\": {}\n  }}\n}}",
                u64::MAX
            )
        );
        out.clear();
        value.write(Layout::Compact, 0, &mut out);
        assert_eq!(out, format!("{{\"n\":{name},\"list\":[],\"o\":{{\"x\":{}}}}}", u64::MAX));
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::Bool),
            any::<u64>().prop_map(Json::number),
            any::<String>().prop_map(Json::Text),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Json::List),
                prop::collection::vec((any::<String>(), inner), 0..8).prop_map(Json::Object),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in any_json()) {
            for layout in [Layout::Indented, Layout::Compact] {
                let mut out = String::new();
                value.write(layout, 0, &mut out);
                prop_assert_eq!(read(out.as_bytes()).unwrap(), value.clone());
            }
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
