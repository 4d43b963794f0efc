//! Reading an export without believing what it only shows.

use super::spelling::{self, Strings, difference, same_name};
use super::view::{SCHEMA_VERSION, SECRETS, VALUES, message_named};
use crate::cbor::Malformed;
use crate::formats::{Json, JsonError, JsonReader, Layout};
use crate::lock::Sealed;

/// What an export holds, in the order of the document: head first as the original writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Its messages.
    pub messages: Vec<Message>,
    /// The first byte that differs from every form in which the original writes these messages,
    /// although nothing else is said; `None` if there is none.
    pub respelled: Option<usize>,
}

/// One element of `Messages`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Byte offset of its start in the document.
    pub offset: usize,
    /// The AUM in `Raw`, or why there is none.
    pub aum: Result<Sealed, Malformed>,
    /// What `Hash` and `AUM` say otherwise.
    pub oddities: Vec<Oddity>,
}

/// Something that is shown and is not so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Oddity {
    /// `Hash` is not the hash of `Raw`: the text that stands there.
    Hash(String),
    /// `AUM` is not the rendering of `Raw`: the first field that differs.
    View(String),
    /// `Hash` or `AUM` is not there.
    LeftOut(&'static str),
    /// `Raw` stands there more than once, and not the same; the last one was read.
    SeveralRaws,
}

/// Why a document is no export that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// It is not JSON, or not of this form.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// It says that it follows another schema.
    #[error("schema version {0:?} is not known, only \"{SCHEMA_VERSION}\" is")]
    Schema(String),
    /// It has no list of messages.
    #[error("no \"Messages\": this is not the output of `lock log --json`")]
    NoMessages,
}

/// One of the forms that original programs write.
#[derive(Clone, Copy)]
struct Form {
    layout: Layout,
    values: &'static str,
}

const FORMS: [Form; 4] = [
    Form { layout: Layout::Indented, values: VALUES },
    Form { layout: Layout::Indented, values: SECRETS },
    Form { layout: Layout::Compact, values: VALUES },
    Form { layout: Layout::Compact, values: SECRETS },
];

/// Reads an export.
///
/// Every byte counts: either the document is exactly what an original program writes for the AUMs
/// in it, or [`Export::respelled`] or an [`Oddity`] says where it is not. Memory is bounded by a
/// small multiple of the document's size.
pub fn read(input: &[u8]) -> Result<Export, ExportError> {
    let mut reader = JsonReader::new(input);
    let mut messages = None;
    let mut schema = None;
    let mut exact = Exact { input, at: 0, forms: FORMS.map(Some), first_difference: None };
    reader.object(|reader, name| {
        if same_name("Messages", &name) && messages.is_none() {
            let read = messages.insert(Vec::new());
            if reader.is_null() {
                reader.value()?;
                return Ok(());
            }
            return reader.list(|reader| {
                read.push(read_message(reader, &mut exact)?);
                Ok(())
            });
        }
        let offset = reader.offset();
        match reader.value()? {
            Json::Text(version) if same_name("SchemaVersion", &name) => schema = Some(version),
            // Two lists of which readers take either cannot be audited.
            Json::List(_) if same_name("Messages", &name) => {
                return Err(JsonError { offset, what: "\"Messages\" stands there twice" });
            }
            // Other fields may come with later programs; the bytes tell that they are there.
            _ => {}
        }
        Ok(())
    })?;
    reader.finish()?;
    if let Some(version) = schema.filter(|version| version != SCHEMA_VERSION) {
        return Err(ExportError::Schema(version));
    }
    let messages: Vec<Message> = messages.ok_or(ExportError::NoMessages)?;
    exact.end(messages.is_empty());
    Ok(Export { messages, respelled: exact.first_difference })
}

fn read_message(reader: &mut JsonReader<'_>, exact: &mut Exact<'_>) -> Result<Message, JsonError> {
    let offset = reader.offset();
    let Json::Object(pairs) = reader.value()? else {
        return Err(JsonError { offset, what: "a message that is no object" });
    };
    let end = reader.end_of_token();
    let fields = |name: &'static str| {
        pairs.iter().filter(move |(shown, _)| same_name(name, shown)).map(|(_, value)| value)
    };
    let raws: Vec<Option<Vec<u8>>> = fields("Raw")
        .map(|value| match value {
            Json::Text(text) => spelling::base64(text),
            _ => None,
        })
        .collect();
    let aum = match raws.last() {
        Some(Some(bytes)) => Sealed::decode(bytes),
        Some(None) => Err(Malformed { offset: 0, what: "Raw is not base64" }),
        None => Err(Malformed { offset: 0, what: "Raw is missing" }),
    };
    let mut oddities = Vec::new();
    if raws.windows(2).any(|pair| pair[0] != pair[1]) {
        oddities.push(Oddity::SeveralRaws);
    }
    if let Ok(aum) = &aum {
        let hash = Json::text(aum.hash().to_string());
        if let Some(shown) =
            fields("Hash").find(|shown| difference(&hash, shown, Strings::Base32).is_some())
        {
            let mut text = String::new();
            shown.write(Layout::Compact, 0, &mut text);
            oddities.push(Oddity::Hash(text));
        }
        let view = super::render(aum);
        if let Some(path) = fields("AUM").find_map(|shown| difference(&view, shown, Strings::Exact))
        {
            oddities.push(Oddity::View(format!("AUM{path}")));
        }
        // What is not shown cannot be wrong, but whoever reads the text relies on its being there.
        for name in ["Hash", "AUM"] {
            if fields(name).next().is_none() {
                oddities.push(Oddity::LeftOut(name));
            }
        }
    }
    let known = aum.as_ref().ok().filter(|_| oddities.is_empty());
    exact.message(offset, end, known);
    Ok(Message { offset, aum, oddities })
}

/// Compares the document with what the original would have written, as far as it has been read.
struct Exact<'a> {
    input: &'a [u8],
    /// Everything before it has been compared.
    at: usize,
    /// The forms that still fit.
    forms: [Option<Form>; 4],
    first_difference: Option<usize>,
}

impl Exact<'_> {
    /// Compares up to `end` with what each form has there; a form that differs is dropped, and
    /// when none is left the differences are noted and all forms count again.
    fn expect(&mut self, end: usize, text: impl Fn(Form) -> String) {
        let found = &self.input[self.at..end];
        let agrees = |form: Form| {
            let text = text(form);
            let same = text.bytes().zip(found).take_while(|(a, b)| a == *b).count();
            (same < text.len().max(found.len())).then_some(same)
        };
        let mut furthest = None;
        let mut left = [None; 4];
        for (left, form) in left.iter_mut().zip(self.forms) {
            let Some(form) = form else { continue };
            match agrees(form) {
                None => *left = Some(form),
                Some(same) => furthest = furthest.max(Some(same)),
            }
        }
        if left.iter().any(Option::is_some) {
            self.forms = left;
        } else {
            let offset = self.at + furthest.unwrap_or(0);
            self.first_difference.get_or_insert(offset);
        }
        self.at = end;
    }

    /// The message between `offset` and `end`; `None` if what it should be is not known.
    fn message(&mut self, offset: usize, end: usize, aum: Option<&Sealed>) {
        let first = self.at == 0;
        self.expect(offset, |form| {
            let mut text = String::new();
            if first {
                text.push_str(&form.opening());
            } else {
                text.push(',');
            }
            text.push_str(form.pick("\n    ", ""));
            text
        });
        match aum {
            Some(aum) => self.expect(end, |form| {
                let mut text = String::new();
                message_named(aum, form.values).write(form.layout, 2, &mut text);
                text
            }),
            None => self.at = end,
        }
    }

    fn end(&mut self, empty: bool) {
        self.expect(self.input.len(), |form| {
            if empty {
                format!("{}{}", form.opening(), form.pick("]\n}\n", "]}\n"))
            } else {
                form.pick("\n  ]\n}\n", "]}\n").to_owned()
            }
        });
    }
}

impl Form {
    fn pick(self, indented: &'static str, compact: &'static str) -> &'static str {
        match self.layout {
            Layout::Indented => indented,
            Layout::Compact => compact,
        }
    }

    fn opening(self) -> String {
        let version = SCHEMA_VERSION;
        match self.layout {
            Layout::Indented => {
                format!("{{\n  \"SchemaVersion\": \"{version}\",\n  \"Messages\": [")
            }
            Layout::Compact => format!("{{\"SchemaVersion\":\"{version}\",\"Messages\":["),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::write;
    use super::*;
    use crate::ids::{AumHash, LockKey};
    use crate::lock::{Aum, AumKind, AumSignature, Key, Meta, State};

    fn aums() -> Vec<Sealed> {
        let key = |n: u8| {
            let mut key = Key::ed25519(LockKey([n; 32]), n.into());
            let pairs = [("name".to_owned(), "a<b> \"ü\"".to_owned())];
            key.meta = Some(Meta(pairs.into()));
            key
        };
        let signature = || AumSignature { key_id: Some(vec![7; 32]), signature: Some(vec![9; 64]) };
        let mut genesis = Aum::new(AumKind::CHECKPOINT, None);
        genesis.state = Some(State {
            last_aum: None,
            disablement_values: Some(vec![Some(vec![3; 32])]),
            keys: Some(vec![key(7), key(8)]),
            state_id1: u64::MAX,
            state_id2: 5,
        });
        genesis.signatures.push(signature());
        let genesis = Sealed::new(genesis);
        let mut add = Aum::new(AumKind::ADD_KEY, Some(genesis.hash()));
        add.key = Some(key(9));
        add.signatures.push(signature());
        let add = Sealed::new(add);
        let mut update = Aum::new(AumKind::UPDATE_KEY, Some(add.hash()));
        update.key_id = Some(vec![7; 32]);
        update.votes = Some(3);
        update.signatures.push(signature());
        vec![Sealed::new(update), add, genesis]
    }

    fn hashes(export: &Export) -> Vec<Option<AumHash>> {
        export.messages.iter().map(|m| m.aum.as_ref().ok().map(Sealed::hash)).collect()
    }

    fn clean(export: &Export) -> bool {
        export.respelled.is_none() && export.messages.iter().all(|m| m.oddities.is_empty())
    }

    #[test]
    fn reads_what_is_written_in_every_form() {
        let aums = aums();
        let text = write(&aums);
        let export = read(text.as_bytes()).unwrap();
        assert!(clean(&export));
        assert_eq!(hashes(&export), aums.iter().map(|a| Some(a.hash())).collect::<Vec<_>>());

        let old = read(text.replace(VALUES, SECRETS).as_bytes()).unwrap();
        assert!(clean(&old));
        let mut compact = String::new();
        JsonReader::new(text.as_bytes()).value().unwrap().write(Layout::Compact, 0, &mut compact);
        assert!(clean(&read(format!("{compact}\n").as_bytes()).unwrap()));
        assert_eq!(read(compact.as_bytes()).unwrap().respelled, Some(compact.len()));

        let empty = write([]);
        assert!(clean(&read(empty.as_bytes()).unwrap()), "{empty}");
    }

    #[test]
    fn says_where_another_spelling_begins() {
        let text = write(&aums());
        let respelled = |from: &str, to: &str| {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            let export = read(changed.as_bytes()).unwrap();
            assert!(export.messages.iter().all(|m| m.oddities.is_empty()), "{export:?}");
            export.respelled
        };
        assert_eq!(
            respelled("\"Votes\": 3", "\"Votes\": 3.0"),
            text.find("3,\n        \"Sig").map(|at| at + 1)
        );
        assert!(respelled("\"Votes\": 3", "\"votes\": 3").is_some());
        assert!(respelled("\"Votes\": 3", "\"Votes\": 3,\"Votes\":3").is_some());
        assert!(respelled("\"Votes\": 3", "\"Votes\": 3, \"Remark\": \"hi\"").is_some());
        assert!(respelled("\"Votes\": 3", "\"Votes\": 3, \"KEY\": null").is_some());
        assert!(respelled("\\u003c", "<").is_some());
        assert!(respelled("tlpub:0707", "nlpub:0707").is_some());
        assert!(respelled("\"SchemaVersion\": \"1\",", "").is_some());
        assert!(respelled("\n    {", "\n\t{").is_some());
        assert!(respelled("==\"\n", "\"\n").is_some());
    }

    #[test]
    fn notices_what_is_not_said_by_raw() {
        let aums = aums();
        let text = write(&aums);
        let oddities = |from: &str, to: &str| {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            let export = read(changed.as_bytes()).unwrap();
            export.messages.into_iter().flat_map(|m| m.oddities).collect::<Vec<_>>()
        };
        let view = |path: &str| vec![Oddity::View(path.to_owned())];
        assert_eq!(oddities("\"Votes\": 3", "\"Votes\": 4"), view("AUM.Votes"));
        assert_eq!(oddities("\"Votes\": 3", "\"Votes\": 3, \"votes\": 2"), view("AUM.Votes"));
        assert_eq!(oddities("\"Votes\": 3", "\"Votes\": \"3\""), view("AUM.Votes"));
        assert_eq!(
            oddities("\"Votes\": 3", "\"Votes\": 3, \"Meta\": {}"),
            view("AUM.Meta is added")
        );
        assert_eq!(oddities("        \"Votes\": 3,\n", ""), view("AUM.Votes is left out"));
        assert_eq!(oddities("\"Hash\":", "\"Hush\":"), [Oddity::LeftOut("Hash")]);
        assert_eq!(oddities("\"AUM\": {", "\"Aums\": {"), [Oddity::LeftOut("AUM")]);
        assert_eq!(oddities("\"name\"", "\"Name\""), view("AUM.Key.Meta.name is left out"));
        assert_eq!(oddities("update-key", "Update-Key"), view("AUM.MessageKind"));
        assert_eq!(oddities("tlpub:0909", "tlpub:0908"), view("AUM.Key.Public"));
        let other = aums[1].hash().to_string();
        let shown = format!("\"{other}\"");
        assert_eq!(oddities(&aums[0].hash().to_string(), &other), [Oddity::Hash(shown)]);
        assert_eq!(oddities("\"Raw\":", "\"raw\": \"o2\", \"Raw\":"), [Oddity::SeveralRaws]);
    }

    #[test]
    fn refuses_what_is_no_export() {
        let text = write(&aums());
        assert_eq!(read(b"{}"), Err(ExportError::NoMessages));
        assert_eq!(
            read(text.replace("\"1\"", "\"2\"").as_bytes()),
            Err(ExportError::Schema("2".into()))
        );
        assert!(matches!(read(&text.as_bytes()[..900]), Err(ExportError::Json(_))));
        assert!(read(b"{\"Messages\": [], \"messages\": []}").is_err());
        assert!(read(b"{\"Messages\": [1]}").is_err());
        let unreadable = read(b"{\"Messages\": [{\"Raw\": \"AA==\"}, {}]}").unwrap();
        assert!(unreadable.messages.iter().all(|m| m.aum.is_err()));
    }
}
