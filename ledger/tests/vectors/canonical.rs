//! Whether bytes are canonical, decided a second time: straight from the tables of spec 1.1 and
//! 1.2 and without the code under test, so that rule `noncanonical` cannot excuse its mistakes.

/// What may stand at a place.
#[derive(Clone, Copy)]
pub enum Form {
    /// An unsigned integer up to a maximum.
    Uint(u64),
    /// An unsigned integer above 0: 0 is left out.
    NonZero,
    /// Bytes, or null.
    Bytes,
    /// A hash of 32 bytes, or null.
    Hash,
    /// At least one byte: none is left out.
    SomeBytes,
    /// At least one pair of texts, in order.
    Meta,
    /// A list, or null.
    List(&'static Form),
    /// A list of at least one.
    SomeList(&'static Form),
    /// A signed integer other than 0: 0 is left out.
    SomeInt,
    /// A form, or null.
    Nullable(&'static Form),
    /// Fields in ascending order: key, whether it is always there, form.
    Fields(&'static [(u64, bool, &'static Form)]),
}

const U64: Form = Form::Uint(u64::MAX);
const U8: Form = Form::Uint(255);
const KEY: Form = Form::Fields(&[
    (1, true, &U8),
    (2, true, &U64),
    (3, true, &Form::Bytes),
    (12, false, &Form::Meta),
]);
const STATE: Form = Form::Fields(&[
    (1, true, &Form::Hash),
    (2, true, &Form::List(&Form::Bytes)),
    (3, true, &Form::List(&KEY)),
    (4, false, &Form::NonZero),
    (5, false, &Form::NonZero),
]);
const AUM_SIGNATURE: Form = Form::Fields(&[(1, true, &Form::Bytes), (2, true, &Form::Bytes)]);

/// An AUM.
pub const AUM: &Form = &Form::Fields(&[
    (1, true, &U8),
    (2, true, &Form::Bytes),
    (3, false, &KEY),
    (4, false, &Form::SomeBytes),
    (5, false, &STATE),
    (6, false, &U64),
    (7, false, &Form::Meta),
    (23, false, &Form::SomeList(&AUM_SIGNATURE)),
]);

/// What a file of the original's store begins with.
pub const RECORD: &Form = &Form::Fields(&[
    (2, true, &Form::Nullable(AUM)),
    (3, false, &Form::SomeInt),
    (4, false, &Form::SomeInt),
]);

/// A node-key signature. (A static, since it contains itself.)
pub static SIGNATURE: &Form = &NODE_KEY_SIGNATURE;
static NODE_KEY_SIGNATURE: Form = Form::Fields(&[
    (1, true, &U8),
    (2, false, &Form::SomeBytes),
    (3, false, &Form::SomeBytes),
    (4, false, &Form::SomeBytes),
    (5, false, &NODE_KEY_SIGNATURE),
    (6, false, &Form::SomeBytes),
]);

/// Whether the bytes are the canonical encoding of that form.
pub fn is_canonical(bytes: &[u8], form: &Form) -> bool {
    item(bytes, form) == Some(&[])
}

/// Whether the bytes begin with the canonical encoding of that form.
pub fn begins_canonical(bytes: &[u8], form: &Form) -> bool {
    item(bytes, form).is_some()
}

/// Major type, argument, rest; only the shortest head.
fn head(bytes: &[u8]) -> Option<(u8, u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (major, info) = (first >> 5, first & 31);
    let width = match info {
        0..=23 => return Some((major, info.into(), rest)),
        24..=27 => 1 << (info - 24),
        _ => return None,
    };
    let (digits, rest) = rest.split_at_checked(width)?;
    let argument = digits.iter().fold(0, |n, digit| n << 8 | u64::from(*digit));
    let least = match width {
        1 => 24,
        width => 1 << (4 * width),
    };
    (argument >= least).then_some((major, argument, rest))
}

/// The content of a string of that major type, and the rest.
fn string(bytes: &[u8], major: u8) -> Option<(&[u8], &[u8])> {
    let (found, len, rest) = head(bytes)?;
    (found == major).then_some(())?;
    rest.split_at_checked(usize::try_from(len).ok()?)
}

/// The rest behind one item of that form.
fn item<'a>(bytes: &'a [u8], form: &Form) -> Option<&'a [u8]> {
    const NULL: u8 = 0xf6;
    match form {
        Form::Bytes | Form::Hash | Form::List(_) | Form::Nullable(_)
            if bytes.first() == Some(&NULL) =>
        {
            Some(&bytes[1..])
        }
        Form::Uint(max) => match head(bytes)? {
            (0, n, rest) if n <= *max => Some(rest),
            _ => None,
        },
        Form::Nullable(form) => item(bytes, form),
        Form::SomeInt => match head(bytes)? {
            (0, 1.., rest) | (1, _, rest) => Some(rest),
            _ => None,
        },
        Form::NonZero => match head(bytes)? {
            (0, 1.., rest) => Some(rest),
            _ => None,
        },
        Form::Bytes => string(bytes, 2).map(|(_, rest)| rest),
        Form::Hash => string(bytes, 2).filter(|(hash, _)| hash.len() == 32).map(|(_, rest)| rest),
        Form::SomeBytes => string(bytes, 2).filter(|(some, _)| !some.is_empty()).map(|(_, r)| r),
        Form::Meta => {
            let (5, pairs @ 1.., mut rest) = head(bytes)? else { return None };
            let mut last = None;
            for _ in 0..pairs {
                let (key, behind) = string(rest, 3)?;
                let (value, behind) = string(behind, 3)?;
                std::str::from_utf8(key).ok()?;
                std::str::from_utf8(value).ok()?;
                (last < Some((key.len(), key))).then_some(())?;
                last = Some((key.len(), key));
                rest = behind;
            }
            Some(rest)
        }
        Form::List(element) | Form::SomeList(element) => {
            let (4, len, mut rest) = head(bytes)? else { return None };
            (len > 0 || matches!(form, Form::List(_))).then_some(())?;
            for _ in 0..len {
                rest = item(rest, element)?;
            }
            Some(rest)
        }
        Form::Fields(fields) => {
            let (5, len, mut rest) = head(bytes)? else { return None };
            let mut left = len;
            for (key, always, form) in *fields {
                match head(rest) {
                    Some((0, found, behind)) if left > 0 && found == *key => {
                        rest = item(behind, form)?;
                        left -= 1;
                    }
                    _ if *always => return None,
                    _ => {}
                }
            }
            (left == 0).then_some(rest)
        }
    }
}
