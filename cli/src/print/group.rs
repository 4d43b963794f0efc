//! `cluster status` and what becomes of a member, as text. (The JSON is the daemon's.)

use replica::local_api::bodies::{GroupBody, Health, LeaderBody, MemberBody, MemberChangeBody};

use super::line;
use super::table::table;
use crate::args::COLUMNS;

/// Columns of a name in the table.
const NAME: usize = 16;
/// Columns of an address in the table.
const ADDRESS: usize = 22;

/// The state in one line, then who there is, then what is wrong.
pub(crate) fn text(group: &GroupBody) -> String {
    let voters = group.members.iter().filter(|member| member.role == "voter").count();
    let tolerated = match group.failures_tolerated {
        0 => "no voter may fail".to_owned(),
        n => format!("{n} of {voters} voters may fail"),
    };
    let state = match group.health {
        Health::Healthy => format!("healthy; {tolerated}"),
        Health::Degraded => format!("degraded; {tolerated}"),
        Health::Alarm => format!("ALARM; {tolerated}"),
        Health::NoQuorum => "NO QUORUM: nothing is recorded".to_owned(),
    };
    let leader = match &group.leader {
        Some(id) => format!("replica {}, in term {}", line(id), group.term),
        None => format!("unknown, in term {}", group.term),
    };
    let mut out = format!(
        "State:    {state}\nCluster:  {}, incarnation {}, rules {}\nLeader:   {leader}\n",
        line(&group.cluster_id),
        group.incarnation,
        group.rules,
    );
    if group.invitations_open > 0 {
        out.push_str(&format!("Invited:  {}\n", group.invitations_open));
    }
    out.push('\n');
    let mut rows = vec![["ID", "NAME", "ROLE", "SEEN", "RECORD", "ADDRESS"].map(str::to_owned)];
    rows.extend(group.members.iter().map(row));
    out.push_str(&table(&rows));
    for member in group.members.iter().filter(|member| member.role == "pending") {
        out.push_str(&format!(
            "\nReplica {} ({}) waits for approval. Its fingerprint:\n  {}\n",
            line(&member.replica_id),
            line(&member.name),
            line(&member.fingerprint),
        ));
    }
    for (word, sentences) in [("ALARM", &group.alarms), ("Warning", &group.warnings)] {
        for sentence in sentences {
            out.push('\n');
            out.push_str(&wrapped(&format!("{word}: {}.", line(sentence))));
        }
    }
    out
}

fn row(member: &MemberBody) -> [String; 6] {
    let role = if member.role == member.wanted {
        line(&member.role)
    } else {
        format!("{}>{}", line(&member.role), line(&member.wanted))
    };
    let seen = match (member.own, member.reachable) {
        _ if member.role == "pending" => "-",
        (true, _) => "this one",
        (false, true) => "yes",
        (false, false) => "NO",
    };
    let record = member.record_index.map_or_else(|| "-".to_owned(), |index| index.to_string());
    let address = member.peer_addr.as_deref().unwrap_or("-");
    [
        line(&member.replica_id),
        shortened(&line(&member.name), NAME),
        role,
        seen.to_owned(),
        record,
        shortened(&line(address), ADDRESS),
    ]
}

/// At most so many columns; the JSON has all of it.
fn shortened(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(columns.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// Words in lines; the later ones stand in.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > COLUMNS {
            out.push_str("\n  ");
            column = 2;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out.push('\n');
    out
}

/// What has become of a member.
pub(crate) fn changed(body: &MemberChangeBody) -> String {
    let who = format!("Replica {} ({})", line(&body.replica_id), line(&body.name));
    match (body.role.as_str(), body.settled) {
        ("removed", true) => format!("{who} is a member no more.\n"),
        ("removed", false) => format!(
            "{who} is a member no more by the records; the group still has to settle on that.\n\
             'lockstep cluster status' shows when it has.\n"
        ),
        ("voter", true) => format!("{who} votes.\n"),
        ("learner", true) => format!("{who} follows and does not vote.\n"),
        ("learner", false) => format!(
            "{who} is on its way: it votes as soon as it has caught up.\n\
             'lockstep cluster status' shows when it does.\n"
        ),
        (role, _) => format!(
            "{who} is still a {}: the group has not settled on the change yet.\n\
             'lockstep cluster status' shows when it has.\n",
            line(role)
        ),
    }
}

/// Who leads.
pub(crate) fn leads(body: &LeaderBody) -> String {
    let (who, term) = (line(&body.leader), body.term);
    if body.led_before {
        format!("Replica {who} leads already, in term {term}.\n")
    } else {
        format!("Replica {who} leads, in term {term}.\n")
    }
}

/// The lock key of a member that was removed outlives it.
pub(crate) fn still_trusted(key: &str, socket: &str) -> String {
    format!(
        "The lock still trusts its lock key {key}.\nIf whoever has that machine must not sign any \
         more, revoke the key:\n\tlockstep lock revoke-keys {key}{socket}\nIf the machine was \
         merely retired, remove it:\n\tlockstep lock remove {key}{socket}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, name: &str, role: &str) -> MemberBody {
        MemberBody {
            replica_id: id.to_string(),
            name: name.into(),
            role: role.into(),
            wanted: role.into(),
            reachable: id != 3,
            own: id == 1,
            fingerprint: "A".repeat(52),
            record_index: (role != "pending").then_some(1_234_567),
            peer_addr: Some(format!("{name}.example:7400")),
            ..MemberBody::default()
        }
    }

    #[test]
    fn a_group_in_80_columns() {
        let mut learner = member(2, &"b".repeat(63), "learner");
        learner.wanted = "voter".into();
        let group = GroupBody {
            cluster_id: "C".repeat(26),
            incarnation: 1,
            term: 7,
            leader: Some("1".into()),
            health: Health::Degraded,
            rules: 2,
            invitations_open: 1,
            warnings: vec!["word ".repeat(40).trim_end().into()],
            members: vec![
                member(1, "a", "voter"),
                learner,
                member(3, "c\x1b", "voter"),
                member(4, "d", "pending"),
            ],
            ..GroupBody::default()
        };
        let text = text(&group);
        let start = "State:    degraded; no voter may fail\nCluster:  CCCCCCCCCCCCCCCCCCCCCCCCCC, \
                     incarnation 1, rules 2\nLeader:   replica 1, in term 7\nInvited:  1\n\n";
        assert!(text.starts_with(start), "{text}");
        for wanted in [
            "ID  NAME              ROLE           SEEN      RECORD   ADDRESS\n",
            "1   a                 voter          this one  1234567  a.example:7400\n",
            "2   bbbbbbbbbbbbbbb…  learner>voter  yes       1234567  bbbbbbbbbbbbbbbbbbbbb…\n",
            "NO        1234567  c\\u{1b}.example:7400\n",
            "\nReplica 4 (d) waits for approval. Its fingerprint:\n  AAAA",
            "\nWarning: word word",
        ] {
            assert!(text.contains(wanted), "{wanted}\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        assert!(!text.contains('\x1b'));
    }
}
