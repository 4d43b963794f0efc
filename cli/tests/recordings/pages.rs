//! From the text of the recorded version to the text of the page that our users know: one table.
//!
//! docs/differences.md ("Text") lists it for people.

use super::daemon::Request;
use super::{Call, Recorded};

/// What stdout has to be.
pub(crate) fn stdout(case: &Recorded, recorded: &str) -> String {
    let text = words(recorded);
    let text = if case.argv.iter().any(|word| word.starts_with("--json")) {
        // The current source's name for the field.
        text.replace("\"DisablementSecrets\"", "\"DisablementValues\"")
    } else if is(case, "log") {
        log(&text)
    } else if text.starts_with("Tailnet lock is ") {
        status(&text)
    } else {
        text
    };
    masked(case, &text)
}

/// What stderr has to be, where ours does not say it better.
pub(crate) fn stderr(recorded: &str) -> String {
    words(recorded)
}

fn is(case: &Recorded, verb: &str) -> bool {
    case.argv.iter().any(|word| word == verb)
}

/// The program's name, and how the page spells what the program is about.
fn words(text: &str) -> String {
    text.replace("tailscale --socket", "lockstep --socket")
        .replace("tailscale lock", "lockstep lock")
        .replace("Tailnet Lock is", "Tailnet lock is")
        .replace("under Tailnet Lock", "under tailnet lock")
        .replace("LOCKED OUT by Tailnet Lock", "LOCKED OUT by tailnet-lock")
        .replace("Tailnet Lock", "tailnet lock")
        .replace("by the the given", "by the given")
        .replace(
            "has been generated and transmitted to Tailscale.",
            "has been generated and will be transmitted to Tailscale upon initialization.",
        )
}

/// `log`: hashes in hex, key IDs without a prefix. Votes, which the recorded version leaves out
/// where ours has them, are left out of both; tests of the text itself check them.
fn log(text: &str) -> String {
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches('\n');
        if bare.trim_start().starts_with("Votes:") {
            continue;
        }
        if let Some((hash, kind)) = bare.strip_prefix("update ").and_then(|l| l.split_once(' ')) {
            let bytes = data_encoding::BASE32_NOPAD.decode(hash.as_bytes()).unwrap();
            out.push_str(&format!("update {} {kind}\n", data_encoding::HEXLOWER.encode(&bytes)));
        } else if let Some((indent, id)) = bare.split_once("KeyID: tlpub:") {
            out.push_str(&format!("{indent}KeyID: {id}\n"));
        } else {
            out.push_str(line);
        }
    }
    out
}

/// `status`: the accessible line without the signature, keys with `(us)` and votes that matter.
fn status(text: &str) -> String {
    let mut out = String::new();
    let (mut signature, mut peers) = (false, false);
    for line in text.split_inclusive('\n') {
        if signature {
            signature = line != "\n";
            if signature {
                continue;
            }
        }
        if let Some((sentence, _)) = line.split_once(" Node signature:") {
            signature = true;
            out.push_str(&format!("{sentence}\n"));
            continue;
        }
        if line.starts_with("The following nodes are locked out") {
            // As the page has it, whose list has spaces too.
            out.push_str(&format!(" {line}"));
            peers = true;
            continue;
        }
        if peers {
            out.push_str(&line.replace(',', ", "));
            continue;
        }
        match line.strip_prefix("\ttlpub:").and_then(|rest| rest.split_once('\t')) {
            Some((key, rest)) => out.push_str(&trusted(key, rest.trim_end_matches('\n'))),
            None => out.push_str(line),
        }
    }
    out
}

/// A trusted key's line: of the recorded `KEY, votes, remark`, votes of 1 and no remark are left
/// out, and the own key is ours.
fn trusted(key: &str, rest: &str) -> String {
    let (votes, remark) = rest.split_once('\t').unwrap_or((rest, ""));
    let mut line = format!("\ttlpub:{key}");
    if votes != "1" {
        line.push_str(&format!("\tvotes {votes}"));
    }
    match remark {
        "" => {}
        "(self)" => line.push_str("\t(us)"),
        other => line.push_str(&format!("\t{other}")),
    }
    line.push('\n');
    line
}

/// Ours or the page's, without what cannot be equal: values drawn at random; the socket and the
/// quotation marks in commands that we print, so that they can be pasted; votes (see [`log`]).
pub(crate) fn masked(case: &Recorded, text: &str) -> String {
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let line = if line.starts_with("\tlockstep ") {
            let name = case.argv.iter().find_map(|word| word.strip_prefix("--socket=")).unwrap();
            line.replace(&format!(" --socket {name}"), "").replace('\'', "")
        } else {
            line.to_owned()
        };
        if is(case, "log") && line.trim_start().starts_with("Votes:") {
            continue;
        }
        match line.split_once("disablement-secret:") {
            Some((before, secret)) if secret.trim_end().len() == 64 => {
                out.push_str(&format!("{before}disablement-secret:RANDOM\n"));
            }
            _ => out.push_str(&line),
        }
    }
    out
}

/// Whether two bodies ask for the same.
pub(crate) fn same_body(_: usize, case: &Recorded, recorded: &Call, ours: &Request) -> bool {
    let body = recorded.body();
    if body == ours.body {
        return true;
    }
    let parse = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).ok();
    let (Some(mut recorded), Some(mut ours)) = (parse(&body), parse(&ours.body)) else {
        return false;
    };
    if is(case, "init") {
        for body in [&mut recorded, &mut ours] {
            mask(body);
        }
    }
    if is(case, "sign") || is(case, "tskey-wrap") {
        for body in [&mut recorded, &mut ours] {
            mask_credential(body);
        }
    }
    strip(&mut recorded);
    strip(&mut ours);
    recorded == ours
}

/// Disablement values of random secrets, of which only the number is the same.
fn mask(body: &mut serde_json::Value) {
    for name in ["DisablementValues", "SupportDisablement"] {
        match body.get_mut(name) {
            Some(serde_json::Value::Array(values)) => {
                values.iter_mut().for_each(|value| *value = "random".into());
            }
            Some(value @ serde_json::Value::String(_)) => *value = "random".into(),
            _ => {}
        }
    }
}

/// The key that signs an auth key's credential, drawn anew each time, and when it was made.
fn mask_credential(body: &mut serde_json::Value) {
    if let Some(key) = body.get_mut("TKAKey") {
        let length = key.as_str().map(str::len);
        *key = format!("a key of {length:?} characters").into();
    }
    for key in body.get_mut("AddKeys").and_then(|keys| keys.as_array_mut()).into_iter().flatten() {
        key["Public"] = "random".into();
        key["Meta"]["wrapper_createtime"] = "then".into();
    }
}

/// Empty and absent are the same (`null` equals `[]`).
fn strip(value: &mut serde_json::Value) {
    if let serde_json::Value::Object(fields) = value {
        fields
            .retain(|_, value| !value.is_null() && value.as_array().is_none_or(|a| !a.is_empty()));
        fields.values_mut().for_each(strip);
    } else if let serde_json::Value::Array(items) = value {
        items.iter_mut().for_each(strip);
    }
}
