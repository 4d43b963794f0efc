//! Revocations as text: what they would do, and who is for them.

use std::fmt::Write as _;

use replica::local_api::bodies::{DoorVotes, RevocationBody, RevocationEffect, RevocationVotes};

use super::line;

/// Characters of a revocation's name in printed commands.
const SHORT: usize = 12;
/// Undone changes and locked-out nodes that are listed.
const LISTED: usize = 20;

/// Enough of its name to find it by.
pub(crate) fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}

/// One paragraph or more about a revocation, for the person who is to sign or finish it.
pub(crate) fn text(revocation: &RevocationBody) -> String {
    let mut out = format!("Revocation {}{}\n", revocation.id, about(revocation));
    let _ = writeln!(out, "\tforks off after AUM {}", line(&revocation.fork_point));
    if let Some(effect) = &revocation.effect {
        out.push_str(&effects(revocation, effect));
    }
    out.push_str("Signed by:\n");
    for signature in &revocation.signatures {
        let votes = signature.votes.map(votes).unwrap_or_default();
        let record = signature.record.map(|n| format!("\trecord {n}")).unwrap_or_default();
        let _ = writeln!(out, "\t{}{votes}{record}", line(&signature.key));
    }
    if let Some(votes) = &revocation.votes {
        out.push_str(&standing(revocation, votes));
    }
    match revocation.state.as_str() {
        "over" => out.push_str("The lock that it was for has been disabled since.\n"),
        "in-force" => out.push_str("It is in force already.\n"),
        "void" => {
            let problem = revocation.problem.as_deref().unwrap_or("no reason is given");
            let _ = writeln!(out, "It cannot be signed any more: {}", line(problem));
        }
        _ => {}
    }
    out.pop();
    out
}

fn about(revocation: &RevocationBody) -> String {
    let mut about = Vec::new();
    if let Some(record) = revocation.opened_record {
        about.push(format!("waits since record {record}"));
    }
    about.extend(revocation.reason.as_deref().map(line));
    about.extend(revocation.note.as_deref().map(|note| format!("\"{}\"", line(note))));
    if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) }
}

fn votes(n: u64) -> String {
    format!("\tvotes {n}")
}

fn effects(revocation: &RevocationBody, effect: &RevocationEffect) -> String {
    let mut out = String::new();
    let mut keys = |title: &str, keys: &[String], mark: &dyn Fn(&String) -> &'static str| {
        if !keys.is_empty() {
            let _ = writeln!(out, "{title}");
            for key in keys {
                let _ = writeln!(out, "\t{}{}", line(key), mark(key));
            }
        }
    };
    let meant = |key: &String| {
        if revocation.keys.is_empty() || revocation.keys.contains(key) {
            ""
        } else {
            "\t(not among the keys to revoke)"
        }
    };
    keys("Keys that it would no longer trust:", &effect.removed, &meant);
    keys(
        "WARNING: keys that were removed and that it would trust again:",
        &effect.restored,
        &|_| "",
    );
    keys("Keys that would get back former votes or metadata:", &effect.reset, &|_| "");
    keys(
        "WARNING: keys that it leaves trusted although only keys that it takes away have trusted them:",
        &effect.planted,
        &|_| "",
    );
    if effect.disablement {
        out.push_str(
            "WARNING: former disablement values would be valid again, and those of now no longer.\n",
        );
    }
    if effect.undone_count > 0 {
        let _ = writeln!(out, "Changes that it would undo: {}", effect.undone_count);
        for undone in effect.undone.iter().take(LISTED) {
            let signers: Vec<String> = undone.signers.iter().map(|key| line(key)).collect();
            let (hash, change) = (line(&undone.hash), line(&undone.change));
            let _ = writeln!(out, "\t{hash}\t{change}\tby {}", signers.join(", "));
        }
        rest(&mut out, effect.undone_count, effect.undone.len().min(LISTED));
    }
    if !effect.locked_out.is_empty() {
        out.push_str("Nodes that it would lock out until they are signed again:\n");
        for node in effect.locked_out.iter().take(LISTED) {
            let _ = writeln!(out, "\t{}", line(node));
        }
        rest(&mut out, effect.locked_out.len() as u64, effect.locked_out.len().min(LISTED));
    }
    out
}

fn rest(out: &mut String, all: u64, listed: usize) {
    let more = all.saturating_sub(listed as u64);
    if more > 0 {
        let _ = writeln!(out, "\t... and {more} more");
    }
}

fn standing(revocation: &RevocationBody, count: &RevocationVotes) -> String {
    let mut out = String::new();
    if !count.others.is_empty() {
        out.push_str("Could sign as well:\n");
        for other in &count.others {
            let n = other.votes.map(votes).unwrap_or_default();
            let _ = writeln!(out, "\t{}{n}", line(&other.key));
        }
    }
    let against = match count.against {
        Some(against) => format!("{against} against it"),
        None => "nothing against it".to_owned(),
    };
    let _ = write!(out, "Votes: {} for it, {against}: ", count.present);
    let _ = match (revocation.state.as_str(), count.missing) {
        ("outvoted", missing) => {
            writeln!(out, "it would lose; {missing} missing, more than are left.")
        }
        (_, 0) => writeln!(out, "it would win."),
        (_, missing) => writeln!(out, "it would lose; {missing} missing."),
    };
    if let Some(door) = &count.door {
        out.push_str(&at_the_door(door));
    }
    if count.missing_to_be_safe > count.missing {
        let _ = writeln!(
            out,
            "The keys that it takes away have votes at the fork point and could outvote it later: \
             {} more votes make it safe.",
            count.missing_to_be_safe
        );
    }
    out
}

/// What the ledger's door misses, apart from what fork resolution does.
fn at_the_door(door: &DoorVotes) -> String {
    let mut out = String::new();
    let plural = |votes| if votes == 1 { "1 vote".to_owned() } else { format!("{votes} votes") };
    if door.present <= door.taken {
        let (at, present, taken) = (line(&door.at), plural(door.present), plural(door.taken));
        let _ = writeln!(
            out,
            "At AUM {at} it has {present}, and what it takes away has {taken}: there it needs more."
        );
    }
    if let Some(aum) = &door.undoes {
        let _ = writeln!(
            out,
            "It would undo AUM {}: whoever signed that and stays trusted has to sign it too.",
            line(aum)
        );
    }
    if let (Some(needs), Some(has)) = (door.final_needs, door.final_has)
        && has < needs
    {
        let _ = writeln!(
            out,
            "It forks off before the final AUM, where it has {has} of the {needs} votes that it \
             needs."
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use replica::local_api::bodies::{RevocationSignature, UndoneAum};

    use super::*;

    fn revocation() -> RevocationBody {
        RevocationBody {
            id: "ABCDEFGHIJKLMNOP".into(),
            pending: true,
            state: "waiting".into(),
            fork_point: "FORK".into(),
            keys: vec!["tlpub:04".into()],
            reason: Some("compromised".into()),
            note: Some("laptop\x1b[31m stolen".into()),
            opened_record: Some(9),
            signatures: vec![RevocationSignature {
                key: "tlpub:01".into(),
                votes: Some(1),
                record: Some(9),
            }],
            effect: Some(RevocationEffect {
                removed: vec!["tlpub:04".into(), "tlpub:05".into()],
                restored: vec!["tlpub:06".into()],
                reset: vec!["tlpub:07".into()],
                planted: vec!["tlpub:08".into()],
                disablement: true,
                undone: vec![UndoneAum {
                    hash: "HASH".into(),
                    change: "add-key".into(),
                    signers: vec!["tlpub:04".into()],
                }],
                undone_count: 3,
                locked_out: vec!["guest".into()],
            }),
            votes: Some(RevocationVotes {
                present: 1,
                against: Some(1),
                missing: 1,
                missing_to_be_safe: 2,
                door: None,
                others: vec![RevocationSignature {
                    key: "tlpub:02".into(),
                    votes: Some(2),
                    record: None,
                }],
            }),
            ..RevocationBody::default()
        }
    }

    #[test]
    fn it_shows_what_would_happen_and_who_is_missing() {
        assert_eq!(
            text(&revocation()),
            "Revocation ABCDEFGHIJKLMNOP (waits since record 9, compromised, \
             \"laptop\\u{1b}[31m stolen\")
\tforks off after AUM FORK
Keys that it would no longer trust:
\ttlpub:04
\ttlpub:05\t(not among the keys to revoke)
WARNING: keys that were removed and that it would trust again:
\ttlpub:06
Keys that would get back former votes or metadata:
\ttlpub:07
WARNING: keys that it leaves trusted although only keys that it takes away have trusted them:
\ttlpub:08
WARNING: former disablement values would be valid again, and those of now no longer.
Changes that it would undo: 3
\tHASH\tadd-key\tby tlpub:04
\t... and 2 more
Nodes that it would lock out until they are signed again:
\tguest
Signed by:
\ttlpub:01\tvotes 1\trecord 9
Could sign as well:
\ttlpub:02\tvotes 2
Votes: 1 for it, 1 against it: it would lose; 1 missing.
The keys that it takes away have votes at the fork point and could outvote it later: 2 more votes \
             make it safe."
        );
        assert_eq!(short("ABCDEFGHIJKLMNOP"), "ABCDEFGHIJKL");
    }

    #[test]
    fn the_door_says_what_it_misses_and_no_more() {
        let at = || DoorVotes { at: "AT".into(), present: 2, taken: 1, ..DoorVotes::default() };
        assert_eq!(at_the_door(&at()), "");
        let outvoted = DoorVotes { taken: 2, ..at() };
        assert_eq!(
            at_the_door(&outvoted),
            "At AUM AT it has 2 votes, and what it takes away has 2 votes: there it needs more.\n"
        );
        let undoes = DoorVotes { undoes: Some("X".into()), ..at() };
        assert!(at_the_door(&undoes).starts_with("It would undo AUM X: "));
        let last = |has| DoorVotes { final_needs: Some(3), final_has: Some(has), ..at() };
        assert_eq!(at_the_door(&last(3)), "");
        assert!(at_the_door(&last(2)).contains("it has 2 of the 3 votes"));
    }

    #[test]
    fn what_is_over_says_so() {
        let over =
            RevocationBody { state: "over".into(), effect: None, votes: None, ..revocation() };
        assert!(text(&over).ends_with("The lock that it was for has been disabled since."));
        let problem = Some("not a revocation: so it is".into());
        let void = RevocationBody { state: "void".into(), problem, ..over };
        assert!(text(&void).ends_with("It cannot be signed any more: not a revocation: so it is"));
    }
}
