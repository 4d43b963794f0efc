//! CBOR as section 1 of the document has it, on ciborium-ll: documents as values, and as text.

use std::fmt;

use ciborium_ll::{Decoder, Encoder, Header, simple};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Uint(u64),
    Bytes(Vec<u8>),
    Text(String),
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Bool(bool),
    Null,
}

pub type Result<T> = std::result::Result<T, String>;

/// One document in its only spelling.
pub fn decode(bytes: &[u8]) -> Result<Value> {
    let mut decoder = Decoder::from(bytes);
    let value = item(&mut decoder, bytes.len(), 16)?;
    // What is encoded to the same bytes was in its only spelling, and nothing follows it.
    if encode(&value) == bytes { Ok(value) } else { Err("not canonical".into()) }
}

fn item(decoder: &mut Decoder<&[u8]>, most: usize, depth: u32) -> Result<Value> {
    let header = decoder.pull().map_err(|e| format!("{e:?}"))?;
    let inner = || depth.checked_sub(1).ok_or("nested too deeply");
    Ok(match header {
        Header::Positive(n) => Value::Uint(n),
        Header::Bytes(Some(len)) => Value::Bytes(string(decoder, len, most)?),
        Header::Text(Some(len)) => {
            let bytes = string(decoder, len, most)?;
            Value::Text(String::from_utf8(bytes).map_err(|e| e.to_string())?)
        }
        Header::Array(Some(len)) if len <= most => {
            let depth = inner()?;
            let items: Result<Vec<Value>> = (0..len).map(|_| item(decoder, most, depth)).collect();
            Value::Array(items?)
        }
        Header::Map(Some(len)) if len <= 1024 => {
            let depth = inner()?;
            let pair = |_| Ok((item(decoder, most, depth)?, item(decoder, most, depth)?));
            let pairs = (0..len).map(pair).collect::<Result<Vec<_>>>()?;
            // Shorter keys first, then bytewise, which is the order of small numbers too.
            if pairs.windows(2).any(|two| encode(&two[0].0) >= encode(&two[1].0)) {
                return Err("map keys out of order".into());
            }
            Value::Map(pairs)
        }
        Header::Simple(simple::FALSE) => Value::Bool(false),
        Header::Simple(simple::TRUE) => Value::Bool(true),
        Header::Simple(simple::NULL) => Value::Null,
        other => return Err(format!("{other:?} is not used")),
    })
}

fn string(decoder: &mut Decoder<&[u8]>, len: usize, most: usize) -> Result<Vec<u8>> {
    use ciborium_io::Read as _;
    let mut bytes = vec![0; if len <= most { len } else { return Err("cut off".into()) }];
    decoder.read_exact(&mut bytes).map_err(|e| format!("{e:?}"))?;
    Ok(bytes)
}

pub fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut Vec<u8>) {
    let mut head = |header: Header| Encoder::from(&mut *out).push(header).unwrap();
    match value {
        Value::Uint(n) => head(Header::Positive(*n)),
        Value::Bool(yes) => head(Header::Simple(if *yes { simple::TRUE } else { simple::FALSE })),
        Value::Null => head(Header::Simple(simple::NULL)),
        Value::Bytes(bytes) => {
            head(Header::Bytes(Some(bytes.len())));
            out.extend(bytes);
        }
        Value::Text(text) => {
            head(Header::Text(Some(text.len())));
            out.extend(text.bytes());
        }
        Value::Array(items) => {
            head(Header::Array(Some(items.len())));
            items.iter().for_each(|item| write(item, out));
        }
        Value::Map(pairs) => {
            head(Header::Map(Some(pairs.len())));
            for (key, value) in pairs {
                write(key, out);
                write(value, out);
            }
        }
    }
}

/// The diagnostic notation of RFC 8949, 8.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Uint(n) => write!(f, "{n}"),
            Value::Bytes(bytes) => write!(f, "h'{}'", data_encoding::HEXLOWER.encode(bytes)),
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Bool(yes) => write!(f, "{yes}"),
            Value::Null => f.write_str("null"),
            Value::Array(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Value::Map(pairs) => {
                f.write_str("{")?;
                for (i, (key, value)) in pairs.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
        }
    }
}

/// Bytes of which the middle is left out when they are shown in [`Value::shown`].
const SHORT: usize = 64;

impl Value {
    /// Diagnostic notation for readers: a line for each field, and long byte strings cut short.
    pub fn shown(&self, indent: usize) -> String {
        let margin = " ".repeat(indent + 2);
        let lines = |parts: Vec<String>| {
            let lines: Vec<String> = parts.iter().map(|part| format!("\n{margin}{part}")).collect();
            format!("{}\n{}", lines.join(","), " ".repeat(indent))
        };
        match self {
            Value::Bytes(bytes) if bytes.len() > SHORT => {
                let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
                let (first, last) = (&bytes[..12], &bytes[bytes.len() - 4..]);
                format!("h'{} .. {}' / {} bytes /", hex(first), hex(last), bytes.len())
            }
            Value::Map(pairs) => {
                let pair =
                    |(key, value): &(Value, Value)| format!("{key}: {}", value.shown(indent + 2));
                format!("{{{}}}", lines(pairs.iter().map(pair).collect()))
            }
            Value::Array(items) if self.to_string().len() > 90 => {
                let items = items.iter().map(|item| item.shown(indent + 2));
                format!("[{}]", lines(items.collect()))
            }
            other => other.to_string(),
        }
    }

    pub fn uint(&self) -> Result<u64> {
        match self {
            Value::Uint(n) => Ok(*n),
            other => Err(format!("expected a number: {other}")),
        }
    }

    pub fn bytes(&self) -> Result<&[u8]> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            other => Err(format!("expected bytes: {other}")),
        }
    }

    pub fn fixed<const N: usize>(&self) -> Result<[u8; N]> {
        self.bytes()?.try_into().map_err(|_| format!("expected {N} bytes"))
    }

    pub fn text(&self) -> Result<&str> {
        match self {
            Value::Text(text) => Ok(text),
            other => Err(format!("expected a text: {other}")),
        }
    }

    pub fn bool(&self) -> Result<bool> {
        match self {
            Value::Bool(yes) => Ok(*yes),
            other => Err(format!("expected true or false: {other}")),
        }
    }

    pub fn list(&self) -> Result<&[Value]> {
        match self {
            Value::Array(items) => Ok(items),
            other => Err(format!("expected an array: {other}")),
        }
    }

    pub fn tuple<const N: usize>(&self) -> Result<&[Value; N]> {
        self.list()?.try_into().map_err(|_| format!("expected {N} elements"))
    }

    /// A map that has all the fields of `always`, and of the others only those of `may`.
    pub fn fields(&self, always: &[u64], may: &[u64]) -> Result<Fields<'_>> {
        let Value::Map(pairs) = self else { return Err(format!("expected a map: {self}")) };
        let keys: Vec<u64> = pairs.iter().map(|(key, _)| key.uint()).collect::<Result<_>>()?;
        let known = |key: &u64| always.contains(key) || may.contains(key);
        if let Some(key) = keys.iter().find(|key| !known(key)) {
            return Err(format!("an unknown field {key}"));
        }
        match always.iter().find(|key| !keys.contains(key)) {
            Some(key) => Err(format!("field {key} is missing")),
            None => Ok(Fields(pairs)),
        }
    }
}

/// The fields of a map.
#[derive(Clone, Copy)]
pub struct Fields<'a>(&'a [(Value, Value)]);

impl<'a> Fields<'a> {
    pub fn may(&self, key: u64) -> Option<&'a Value> {
        self.0.iter().find(|(at, _)| *at == Value::Uint(key)).map(|(_, value)| value)
    }

    /// A field that is always there.
    pub fn get(&self, key: u64) -> &'a Value {
        self.may(key).unwrap()
    }

    /// The map without one field.
    pub fn without(&self, key: u64) -> Value {
        let left = self.0.iter().filter(|(at, _)| *at != Value::Uint(key));
        Value::Map(left.cloned().collect())
    }
}
