//! `adopt --follow`: keeps up with a running tailscaled.
//!
//! All state is in the ledger. Whichever side is away for a while, this command included, the next
//! look goes on from what is on record.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use ledger::ids::AumHash;
use replica::local_api::bodies::{
    ADOPTION_AUM_BYTES, ADOPTION_PAGE_BYTES, AdoptionBody, AdoptionNodeAnswer, AdoptionNodeRequest,
    AdoptionObserveRequest, AdoptionUnknownRequest, Base64, LogEntry,
};
use replica::local_api::client::{Asked, Client, ClientError};
use serde::Serialize;

use super::asked;
use super::bring::{NotBrought, bring, told};
use super::members::Members;
use super::plan::Plan;
use crate::args::Adopt;
use crate::commands::Session;
use crate::commands::change::Request;
use crate::commands::theirs::{self, LOG_LIMIT};
use crate::exit::{Code, Failure};
use crate::print;

/// AUMs that are asked for first: what is new is rarely more.
const RECENT: i64 = 64;
/// AUMs of one request.
const PAGE_AUMS: usize = 1000;
/// Looks until a node is asked for again that the ledger did not take in.
const LOOKS: u32 = 60;

pub(super) fn run(
    args: &Adopt,
    socket: &Path,
    request: &Request,
    session: &Session,
) -> Result<(), Failure> {
    let same = |path: &Path| path.canonicalize().ok();
    if same(socket).is_some() && same(socket) == same(session.client.socket()) {
        return Err(Failure::usage("--follow: that is this signing node's own socket"));
    }
    let theirs = Client::new(socket);
    let current = session.wait(session.client.adoption())?;
    let missing = match &current {
        Some(AdoptionBody { adopted_record: Some(_), followed: true, .. }) => BTreeMap::new(),
        _ => match begun(args, socket, &theirs, current.as_ref(), request, session)? {
            Some(not_brought) => not_brought.into_iter().map(|node| (node.node_key, 0)).collect(),
            None => return Ok(()),
        },
    };
    let mut follower =
        Follower { theirs, ours: &session.client, nodes: BTreeMap::new(), last: None, missing };
    let mut failed = None;
    loop {
        match session.wait(follower.look()) {
            Ok(Some(news)) => {
                failed = None;
                news.tell(request.json, args.once)?;
            }
            Ok(None) => failed = None,
            Err(Missed::Ours(error)) if is_final(&error) => return Err(error.into()),
            Err(missed) if args.once => return Err(missed.into()),
            Err(missed) => {
                // Once, until something else goes wrong.
                let text = format!("{}; trying again", Failure::from(missed).what);
                if failed.as_ref() != Some(&text) {
                    print::note(&text);
                    failed = Some(text);
                }
            }
        }
        if args.once {
            return follower.verdict();
        }
        session.wait(async { tokio::time::sleep(Duration::from_secs(args.interval)).await });
    }
}

/// Adopts the lock that is to be followed, and gives the nodes that did not come; none if the plan was
/// shown and not agreed to.
fn begun(
    args: &Adopt,
    socket: &Path,
    theirs: &Client,
    current: Option<&AdoptionBody>,
    request: &Request,
    session: &Session,
) -> Result<Option<Vec<NotBrought>>, Failure> {
    let plan = match &args.source {
        Some(_) => Plan::of_source(args, true)?,
        None => {
            let name = socket.to_string_lossy();
            let aums = session.wait(theirs::history(theirs))?.ok_or_else(|| {
                Failure::new(format!(
                    "tailnet lock is not on at {name}: there is nothing to follow"
                ))
            })?;
            Plan::of(&name, aums, args, true)?
        }
    };
    if let Some(AdoptionBody { adopted_record: None, followed: true, root, .. }) = current
        && !current.is_some_and(|current| plan.is(current))
        && *root == plan.root.hash().to_string()
    {
        // The lock has changed since an earlier try was cut short. Nothing of that is in force.
        let ended = session.wait(session.client.adoption_end(&Asked::default()));
        ended.map_err(|error| request.failed(error))?;
    }
    if !asked(args, &plan, request, session)? {
        return Ok(None);
    }
    let members = Members::read(&args.status)?;
    let brought = bring(&plan, &members, request, session)?;
    if request.json {
        brought.not_brought.iter().for_each(|node| print::note(&node.text()));
    } else {
        print::stdout(&brought.text(session)?)?;
    }
    Ok(Some(brought.not_brought))
}

/// Whether trying again cannot help.
fn is_final(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Status { status: 400 | 403 | 409, .. } | ClientError::NeedsLockstep { .. }
    )
}

/// Whose answer failed.
enum Missed {
    Theirs(ClientError),
    Ours(ClientError),
}

impl From<Missed> for Failure {
    fn from(missed: Missed) -> Self {
        let (whose, error) = match missed {
            Missed::Theirs(error) => ("the followed daemon", error),
            Missed::Ours(error) => ("this signing node", error),
        };
        let failure = Failure::from(error);
        Failure { what: format!("{whose}: {}", failure.what), ..failure }
    }
}

/// What has changed since the look before.
#[derive(Debug, Serialize)]
struct News {
    #[serde(flatten)]
    adoption: AdoptionBody,
    nodes: Vec<AdoptionNodeAnswer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_brought: Vec<NotBrought>,
    /// Whether the last AUM that our door would have refused is another one than before.
    #[serde(skip)]
    objected: bool,
}

impl News {
    fn tell(&self, json: bool, once: bool) -> Result<(), Failure> {
        if json {
            let line = serde_json::to_string(self)
                .map_err(|error| Failure::new(format!("writing JSON: {error}")))?;
            return print::stdout(&format!("{line}\n"));
        }
        let News { adoption, nodes, not_brought, objected } = self;
        if let Some(seen) = &adoption.seen {
            let head = seen.head.as_deref().unwrap_or("none");
            let (epoch, taken, record) = (adoption.epoch, adoption.taken, seen.record);
            print::stdout(&format!(
                "Epoch {epoch}: {taken} AUMs on record; shown as head: {head} (record {record}).\n"
            ))?;
            // A single look ends with it.
            if let Some(text) = seen.text.as_ref().filter(|_| !once) {
                print::note(&format!("ALARM: the server of the followed lock: {text}."));
            }
        }
        if let Some(last) = adoption.last_objection.as_ref().filter(|_| *objected) {
            print::note(&format!(
                "ALARM: the followed lock has taken AUM {}, which this ledger would have refused \
                 (record {}).",
                last.aum, last.record
            ));
        }
        not_brought.iter().for_each(|node| print::note(&node.text()));
        print::stdout(&told(nodes))
    }
}

/// Looks at a tailscaled and has recorded what is new.
struct Follower<'a> {
    theirs: Client,
    ours: &'a Client,
    /// The nodes as they were brought in last, by node key.
    nodes: BTreeMap<String, AdoptionNodeRequest>,
    /// What was told last.
    last: Option<AdoptionBody>,
    /// Nodes that the ledger did not take in, by node key, and how many looks ago they were asked for.
    missing: BTreeMap<String, u32>,
}

impl Follower<'_> {
    /// One look. None if nothing has changed.
    async fn look(&mut self) -> Result<Option<News>, Missed> {
        let status = self.theirs.lock_status().await.map_err(Missed::Theirs)?;
        let adoption = if status.enabled && status.head == self.settled() {
            self.ours.adoption().await.map_err(Missed::Ours)?
        } else if status.enabled {
            self.shown().await?
        } else {
            let off = AdoptionObserveRequest::default();
            self.ours.adoption_observe(&off).await.map_err(Missed::Ours)?
        };
        let Some(adoption) = adoption else { return Ok(None) };
        let mut members = Members::default();
        let odd = adoption.seen.as_ref().is_some_and(|seen| seen.alarm.is_some());
        // What it says of nodes then is not about the lock that is on record.
        if status.enabled && !odd {
            let machine = self.theirs.machine_status(true).await.map_err(Missed::Theirs)?;
            members.shown(&status);
            members.named(&machine);
        }
        let (mut nodes, mut not_brought) = (Vec::new(), Vec::new());
        for member in members.all() {
            if self.nodes.get(&member.node_key) == Some(&member) {
                continue;
            }
            // What stood against it may be gone some time.
            if let Some(looks) = self.missing.get_mut(&member.node_key)
                && *looks < LOOKS
            {
                *looks += 1;
                continue;
            }
            let answer = match self.ours.adoption_node(&member, &Asked::default()).await {
                Ok(answer) => answer.value,
                Err(error) => {
                    // The others come all the same.
                    let node = NotBrought::of(&member, error).map_err(Missed::Ours)?;
                    if self.missing.insert(member.node_key, 0).is_none() {
                        not_brought.push(node);
                    }
                    continue;
                }
            };
            self.missing.remove(&member.node_key);
            // Its signer may be trusted later.
            if answer.locked_out.is_none() {
                self.nodes.insert(member.node_key.clone(), member);
            }
            if answer.changed {
                nodes.push(answer);
            }
        }
        let none = nodes.is_empty() && not_brought.is_empty();
        let same = none && self.last.as_ref() == Some(&adoption);
        let before = self.last.replace(adoption.clone());
        let objected = before.is_none_or(|before| before.last_objection != adoption.last_objection);
        Ok((!same).then_some(News { adoption, nodes, not_brought, objected }))
    }

    /// The head that it showed last, if nothing was wrong with it.
    fn settled(&self) -> Option<AumHash> {
        let seen = self.last.as_ref()?.seen.as_ref()?;
        if seen.alarm.is_some() {
            return None;
        }
        AumHash::from_any(seen.head.as_ref()?).ok()
    }

    /// Sends what of its log is new, and what it calls the head.
    async fn shown(&self) -> Result<Option<AdoptionBody>, Missed> {
        let recent = self.theirs.log(RECENT).await.map_err(Missed::Theirs)?;
        let mut new = self.unknown(&recent).await?;
        let all = recent.len() < RECENT as usize;
        let mut log = recent;
        if new == log.len() && !all {
            log = self.theirs.log(LOG_LIMIT).await.map_err(Missed::Theirs)?;
            new = self.unknown(&log).await?;
        }
        let Some(head) = log.first().map(|entry| entry.hash.to_string()) else {
            return Err(Missed::Theirs(ClientError::Unexpected {
                path: "tka/log".into(),
                what: "it lists nothing, although the lock is on".into(),
            }));
        };
        // Oldest first.
        let mut left: Vec<LogEntry> = log.into_iter().take(new).rev().collect();
        loop {
            let page = page(&left);
            let rest = left.split_off(page);
            let aums = left.into_iter().map(|entry| cut(entry.raw)).collect();
            let more = !rest.is_empty();
            let body = AdoptionObserveRequest { head: Some(head.clone()), aums, more };
            let adoption = self.ours.adoption_observe(&body).await.map_err(Missed::Ours)?;
            let seen = adoption.as_ref().and_then(|adoption| adoption.seen.as_ref());
            // What follows stands on what was not taken in.
            let stuck =
                seen.is_some_and(|seen| seen.head.as_ref() == Some(&head) && seen.alarm.is_some());
            if !more || stuck {
                return Ok(adoption);
            }
            left = rest;
        }
    }

    /// How many AUMs at the top of a log are not on record.
    async fn unknown(&self, log: &[LogEntry]) -> Result<usize, Missed> {
        let mut new = 0;
        for page in log.chunks(PAGE_AUMS) {
            let hashes = page.iter().map(|entry| entry.hash.to_string()).collect();
            let request = AdoptionUnknownRequest { hashes };
            let unknown = self.ours.adoption_unknown(&request).await.map_err(Missed::Ours)?;
            let known = |entry: &LogEntry| !unknown.contains(&entry.hash.to_string());
            match page.iter().position(known) {
                Some(place) => return Ok(new + place),
                None => new += page.len(),
            }
        }
        Ok(new)
    }

    /// How a single look ends.
    fn verdict(&self) -> Result<(), Failure> {
        let seen = self.last.as_ref().and_then(|last| last.seen.as_ref());
        match seen.and_then(|seen| seen.text.as_ref().map(|text| (text, seen.record))) {
            Some((text, record)) => Err(Failure {
                code: Code::Failed,
                what: format!("ALARM: the server of the followed lock: {text} (record {record})"),
                remedy: None,
            }),
            None if !self.missing.is_empty() => {
                let missing = self.missing.len();
                Err(Failure::new(format!("not brought in: {missing} of the followed lock's nodes")))
            }
            None => Ok(()),
        }
    }
}

/// How many entries one request carries.
fn page(entries: &[LogEntry]) -> usize {
    let mut bytes = 0;
    let fits = entries.iter().take(PAGE_AUMS).take_while(|entry| {
        let first = bytes == 0;
        bytes += entry.raw.0.len().min(ADOPTION_AUM_BYTES);
        first || bytes <= ADOPTION_PAGE_BYTES
    });
    fits.count()
}

/// What is longer than any AUM is none, and its beginning shows that as well.
fn cut(mut raw: Base64) -> Base64 {
    raw.0.truncate(ADOPTION_AUM_BYTES);
    raw
}
