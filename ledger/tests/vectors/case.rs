//! One case, and reading its JSON.

use std::cell::RefCell;
use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use ledger::ids::AumHash;
use serde_json::Value;

/// One case of a file: name, description, type, input, expect.
pub struct Case<'a> {
    value: &'a Value,
    /// The fields of the expected result that a check has asked for.
    looked_at: RefCell<BTreeSet<String>>,
}

impl<'a> Case<'a> {
    pub fn new(value: &'a Value) -> Self {
        Case { value, looked_at: RefCell::default() }
    }

    pub fn name(&self) -> &'a str {
        text(&self.value["name"])
    }

    pub fn kind(&self) -> &'a str {
        text(&self.value["type"])
    }

    /// A field of the input, which must be there.
    pub fn input(&self, field: &str) -> &'a Value {
        member(&self.value["input"], field)
    }

    /// A field of the expected result, which must be there.
    pub fn expect(&self, field: &str) -> &'a Value {
        self.may_expect(field).unwrap_or_else(|| panic!("the case expects no {field}"))
    }

    /// A field of the expected result, if it is there.
    pub fn may_expect(&self, field: &str) -> Option<&'a Value> {
        self.looked_at.borrow_mut().insert(field.to_owned());
        self.value["expect"].get(field)
    }

    /// The whole expected result, for a check that takes it apart itself.
    pub fn expect_whole(&self) -> &'a Value {
        let fields = self.value["expect"].as_object().unwrap();
        self.looked_at.borrow_mut().extend(fields.keys().cloned());
        &self.value["expect"]
    }

    /// The first field of the expected result that says something and that nobody asked for.
    pub fn overlooked(&self) -> Option<&'a str> {
        let looked_at = self.looked_at.borrow();
        let fields = self.value["expect"].as_object().unwrap();
        let says = |value: &Value| !value.is_null() && value != "";
        let mut overlooked = fields.iter().filter(|(key, v)| says(v) && !looked_at.contains(*key));
        overlooked.next().map(|(key, _)| key.as_str())
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
