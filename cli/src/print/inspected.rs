//! `cluster inspect`, as text and JSON.

use ledger::history::ClusterId;
use ledger::rows::raft::Group;
use replica::offline::Facts;
use serde::Serialize;

/// What a data directory holds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Inspected {
    replica_id: String,
    cluster_id: String,
    incarnation: u64,
    /// Whether the identity file beside the database says the same.
    identity_file: bool,
    hard_state: HardState,
    conf_state: ConfState,
    first_index: u64,
    last_index: u64,
    applied_index: u64,
    records: u64,
    record_hash: Option<String>,
    fold_hash: String,
    watermark: Option<Mark>,
    /// Whether the log keeps what the watermark promises.
    promise_kept: bool,
}

#[derive(Debug, Clone, Serialize)]
struct HardState {
    term: u64,
    /// The replica that it voted for in that term.
    vote: Option<String>,
    commit: u64,
}

#[derive(Debug, Clone, Serialize)]
struct ConfState {
    voters: Vec<String>,
    learners: Vec<String>,
    voters_outgoing: Vec<String>,
    learners_next: Vec<String>,
    auto_leave: bool,
}

#[derive(Debug, Clone, Serialize)]
struct Mark {
    term: u64,
    vote: Option<String>,
    last_term: u64,
    last_index: u64,
}

fn vote(id: u64) -> Option<String> {
    (id != 0).then(|| id.to_string())
}

fn names(ids: &[u64]) -> Vec<String> {
    ids.iter().map(u64::to_string).collect()
}

impl From<&Group> for ConfState {
    fn from(group: &Group) -> Self {
        ConfState {
            voters: names(&group.voters),
            learners: names(&group.learners),
            voters_outgoing: names(&group.voters_outgoing),
            learners_next: names(&group.learners_next),
            auto_leave: group.auto_leave,
        }
    }
}

impl From<&Facts> for Inspected {
    fn from(facts: &Facts) -> Self {
        Inspected {
            replica_id: facts.identity.replica.to_string(),
            cluster_id: ClusterId(facts.identity.cluster).to_string(),
            incarnation: facts.identity.incarnation,
            identity_file: facts.identity_file,
            hard_state: HardState {
                term: facts.hard.term,
                vote: vote(facts.hard.vote),
                commit: facts.hard.commit,
            },
            conf_state: ConfState::from(&facts.group),
            first_index: facts.first_index,
            last_index: facts.last_index,
            applied_index: facts.applied,
            records: facts.records,
            record_hash: facts.record_hash.map(|hash| hash.to_string()),
            fold_hash: facts.fold_hash.to_string(),
            watermark: facts.watermark.map(|mark| Mark {
                term: mark.term,
                vote: vote(mark.vote),
                last_term: mark.last_term,
                last_index: mark.last_index,
            }),
            promise_kept: facts.promise_kept,
        }
    }
}

impl Inspected {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let list = |ids: &[String]| if ids.is_empty() { "none".into() } else { ids.join(", ") };
        let voted = |vote: &Option<String>| {
            vote.as_ref().map_or("no vote".to_owned(), |id| format!("vote for replica {id}"))
        };
        let hash = self.record_hash.as_deref().unwrap_or("none");
        let mark = match &self.watermark {
            Some(mark) => format!(
                "term {}, {}, log to {} of term {}{}",
                mark.term,
                voted(&mark.vote),
                mark.last_index,
                mark.last_term,
                if self.promise_kept { "" } else { "; THE LOG FALLS SHORT OF IT" }
            ),
            None => "missing".to_owned(),
        };
        let mut change = String::new();
        if !self.conf_state.voters_outgoing.is_empty() {
            change = format!("; before: {}", list(&self.conf_state.voters_outgoing));
        }
        let (id, hard) = (&self.replica_id, &self.hard_state);
        let identity = if self.identity_file { "" } else { " (the identity file says otherwise)" };
        format!(
            "Replica:    {id}{identity}\nCluster:    {}, incarnation {}\nRecords:    {}\nLast:       \
             {hash}\nFold:       {}\nRaft log:   {} to {}, applied to {}, committed to {}\nHard \
             state: term {}, {}\nVoters:     {}{change}\nLearners:   {}\nWatermark:  {mark}\n",
            self.cluster_id,
            self.incarnation,
            self.records,
            self.fold_hash,
            self.first_index,
            self.last_index,
            self.applied_index,
            hard.commit,
            hard.term,
            voted(&hard.vote),
            list(&self.conf_state.voters),
            list(&self.conf_state.learners),
        )
    }
}
