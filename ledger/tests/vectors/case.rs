//! One case, and reading its JSON.

use data_encoding::HEXLOWER;
use ledger::ids::AumHash;
use serde_json::Value;

/// One case of a file: name, description, type, input, expect.
pub struct Case<'a>(pub &'a Value);

impl<'a> Case<'a> {
    pub fn name(&self) -> &'a str {
        text(&self.0["name"])
    }

    pub fn kind(&self) -> &'a str {
        text(&self.0["type"])
    }

    /// A field of the input, which must be there.
    pub fn input(&self, field: &str) -> &'a Value {
        member(&self.0["input"], field)
    }

    /// A field of the expected result, which must be there.
    pub fn expect(&self, field: &str) -> &'a Value {
        member(&self.0["expect"], field)
    }

    /// A field of the expected result, if it is there.
    pub fn may_expect(&self, field: &str) -> Option<&'a Value> {
        self.0["expect"].get(field)
    }
}

/// A member of an object, which must be there.
pub fn member<'a>(value: &'a Value, field: &str) -> &'a Value {
    value.get(field).unwrap_or_else(|| panic!("the case has no field {field}"))
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

pub fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| panic!("not a boolean: {value}"))
}

pub fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("not a number of 64 bits: {value}"))
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}"))
}

/// Bytes in hex.
pub fn bytes(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(text(value).as_bytes()).unwrap()
}

/// Bytes in hex, or null.
pub fn nullable_bytes(value: &Value) -> Option<Vec<u8>> {
    if value.is_null() { None } else { Some(bytes(value)) }
}

/// A list of bytes in hex.
pub fn bytes_list(value: &Value) -> Vec<Vec<u8>> {
    list(value).iter().map(bytes).collect()
}

/// An AUM hash in its canonical text.
pub fn hash(value: &Value) -> AumHash {
    text(value).parse().unwrap()
}

/// Whether an expected error is one.
pub fn fails(error: &Value) -> bool {
    !error.is_null() && error != ""
}

pub fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}
