//! The group of replicas: how it is, who is invited, and who takes part.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::{Response, StatusCode};
use ledger::Fault;
use ledger::history::members::{self, Member, Standing};
use ledger::history::{Event, InvitationKey, MemberFingerprint, ReplicaId};
use ledger::lock::signatures::{PrivateKey, Signer};
use ledger::rows::raft::Group;
use tokio::time::{Instant, timeout, timeout_at};
use zeroize::Zeroizing;

use super::{json, marked, ours, parsed};
use crate::core::Role;
use crate::disk::space;
use crate::joining::Token;
use crate::local_api::api::{Api, blocking};
use crate::local_api::bodies::{
    ApproveRequest, InvitationBody, InviteRequest, LeaderBody, MemberChangeBody, MemberRequest,
    SecretText, to_json,
};
use crate::local_api::call::Call;
use crate::local_api::changes::{Done, Plan};
use crate::local_api::group_body::{self, Sight};
use crate::local_api::http::Body;
use crate::local_api::problem::Problem;
use crate::local_api::reading;
use crate::node::{GroupView, introduced};
use crate::operations::members::{self as plans, Seen};
use crate::operations::{Ground, NotPlanned};
use crate::rfc3339::rfc3339;

/// How long a change of the group may take until its recording is answered all the same.
const SETTLE: Duration = Duration::from_secs(10);
/// How long another replica may take to lead.
const TAKE_OVER: Duration = Duration::from_secs(5);
/// How long it may take until it is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long a leader waits for an answer of those that it is connected to: more than two of its
/// checks of who is active.
const ANSWERS: Duration = Duration::from_secs(1);

/// What is done to a member by its number.
type PlanMember = fn(Ground<'_>, ReplicaId, &Seen, bool) -> Result<Event, NotPlanned>;

impl Api {
    pub(super) async fn group(&self, _call: &Call) -> Result<Response<Body>, Problem> {
        let view = self.read().await?;
        let (group, seen) = self.seen().await;
        let (stale, local) = (reading::is_stale(), reading::is_local());
        let (own, incarnation) = (self.node.replica(), self.node.incarnation());
        let version = self.node.supported().version();
        let data_dir = self.data_dir.clone();
        blocking(move || {
            let ground = Ground { fold: view.fold(), rows: view.rows() };
            let disk_bytes = bytes_below(&data_dir).ok();
            let now_ms = now_ms();
            let free_bytes = space::free_bytes(&data_dir).ok();
            let sight = Sight {
                own,
                version,
                incarnation,
                group,
                seen,
                stale,
                local,
                disk_bytes,
                free_bytes,
                now_ms,
            };
            Ok(json(&group_body::body(ground, &sight)?))
        })
        .await?
    }

    /// How this replica sees its group, and whom it reaches: those that it is connected to and, if
    /// it leads, that answer it.
    async fn seen(&self) -> (Arc<GroupView>, Seen) {
        let mut views = self.node.watch_group();
        let until = Instant::now() + ANSWERS;
        let mut answer = BTreeSet::new();
        loop {
            let now = views.borrow_and_update().clone();
            let leads = now.raft.role == Role::Leader;
            answer.extend(now.raft.active.iter().copied());
            let mut reachable: BTreeSet<ReplicaId> = now.up.keys().copied().collect();
            reachable.retain(|id| !now.silent.contains(id));
            let silent = leads && !reachable.is_subset(&answer);
            if silent && matches!(timeout_at(until, views.changed()).await, Ok(Ok(()))) {
                continue;
            }
            reachable.retain(|id| !leads || answer.contains(id));
            reachable.insert(self.node.replica());
            let voters = now.raft.group.voters.iter().copied().map(ReplicaId).collect();
            let seen = Seen { voters, reachable };
            return (now, seen);
        }
    }

    /// Draws the secret, has its public half recorded, and answers with the token. It is kept
    /// nowhere.
    pub(super) async fn group_invite(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: InviteRequest = ours(call)?;
        let named = request.named.as_deref();
        let named: Option<MemberFingerprint> = named.map(|text| parsed("for", text)).transpose()?;
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).map_err(|e| Fault::from_error("drawing a secret", e))?;
        let secret = PrivateKey::from_seed(&seed);
        let (key, expires_ms) = (InvitationKey(secret.public().0), request.expires_ms);
        let plan: Arc<Plan> = Arc::new(move |_| Ok(Some(plans::invite(key, expires_ms, named))));
        let done = self.change(call, "cluster invite", &to_json(&request), plan).await?;
        if !done.is_new() {
            let record = done.index().unwrap_or_default();
            let text = format!(
                "the invitation of this request is on record already (record {record}), and its \
                 token was shown then: nobody has kept it"
            );
            return Err(Problem::new(StatusCode::CONFLICT, text)
                .with_remedy("make another invitation, with another request ID")
                .refused(done.request()));
        }
        let view = self.read().await?;
        let own = self.node.replica();
        let mut peers: Vec<_> = introduced(view.rows())?.into_iter().collect();
        // Whoever was asked for the invitation is the first to be asked to let somebody in.
        peers.sort_by_key(|(id, _)| (*id != own, *id));
        let named = peers.into_iter().filter_map(|(_, peer)| Some((peer.key, peer.address?)));
        let token = Token {
            cluster: self.node.cluster(),
            incarnation: self.node.incarnation(),
            members: named.collect(),
            secret,
        };
        let body = InvitationBody {
            token: SecretText::new(token.to_text().as_str()),
            expires: rfc3339(expires_ms),
            cluster_id: token.cluster.to_string(),
        };
        Ok(marked(json(&body), &done))
    }

    pub(super) async fn group_approve(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: ApproveRequest = ours(call)?;
        let fingerprint: MemberFingerprint = parsed("fingerprint", &request.fingerprint)?;
        let (_, seen) = self.seen().await;
        let force = request.force;
        let plan: Arc<Plan> =
            Arc::new(move |ground| plans::approve(ground, fingerprint, &seen, force).map(Some));
        // Insisting is not what is asked for.
        let asked = fingerprint.to_string();
        let done = self.change(call, "cluster approve", asked.as_bytes(), plan).await?;
        let member = self.find(move |ground| plans::by_fingerprint(ground, fingerprint)).await?;
        self.settled(member, &done).await
    }

    pub(super) async fn group_promote(&self, call: &Call) -> Result<Response<Body>, Problem> {
        self.change_member(call, "cluster promote", plans::promote).await
    }

    pub(super) async fn group_demote(&self, call: &Call) -> Result<Response<Body>, Problem> {
        self.change_member(call, "cluster demote", plans::demote).await
    }

    pub(super) async fn group_remove(&self, call: &Call) -> Result<Response<Body>, Problem> {
        self.change_member(call, "cluster remove", plans::remove).await
    }

    async fn change_member(
        &self,
        call: &Call,
        verb: &'static str,
        plan_member: PlanMember,
    ) -> Result<Response<Body>, Problem> {
        let request: MemberRequest = ours(call)?;
        let id = replica_id(&request.replica_id)?;
        let (_, seen) = self.seen().await;
        let force = request.force;
        let plan: Arc<Plan> =
            Arc::new(move |ground| plan_member(ground, id, &seen, force).map(Some));
        let done = self.change(call, verb, id.to_string().as_bytes(), plan).await?;
        let member = self.find(move |ground| plans::by_id(ground, id)).await?;
        self.settled(member, &done).await
    }

    /// The member after a change; none if somebody has removed it since.
    async fn find(
        &self,
        find: impl FnOnce(Ground<'_>) -> Result<Member, NotPlanned> + Send + 'static,
    ) -> Result<Option<Member>, Problem> {
        self.look(move |ground| match find(ground) {
            Ok(member) => Ok(Some(member)),
            Err(NotPlanned::Group(_)) => Ok(None),
            Err(other) => Err(other.into()),
        })
        .await
    }

    /// Waits for a while until Raft's configuration is what the records want of that member.
    async fn settled(
        &self,
        member: Option<Member>,
        done: &Done,
    ) -> Result<Response<Body>, Problem> {
        let Some(member) = member else { return Ok(marked(json(&None::<MemberChangeBody>), done)) };
        let id = member.id.0;
        let is_there = move |group: &Group, standing: Standing| match standing {
            Standing::Voter => group.voters.contains(&id) && group.voters_outgoing.is_empty(),
            Standing::Learner => group.learners.contains(&id) && group.voters_outgoing.is_empty(),
            Standing::Pending | Standing::Removed(_) => {
                let Group { voters, learners, voters_outgoing, .. } = group;
                ![voters, learners, voters_outgoing].iter().any(|part| part.contains(&id))
            }
        };
        // The daemon of a member that is removed ends: nobody would hear of it here any more.
        let gone = member.id == self.node.replica() && !member.is_active();
        let (mut views, standing) = (self.node.watch_group(), member.standing);
        let reached = views.wait_for(|now| is_there(&now.raft.group, standing));
        let settled = gone || matches!(timeout(SETTLE, reached).await, Ok(Ok(_)));
        let group = self.node.group().raft.group.clone();
        let response = self.look(move |ground| {
            let member = members::member(ground.rows, member.id)?.unwrap_or(member);
            let lock_key = member.details.lock_key.filter(|key| {
                let state = ground.fold.authority().map(|authority| authority.state());
                state.is_some_and(|state| state.key(&key.0).is_some())
            });
            Ok(json(&Some(MemberChangeBody {
                replica_id: member.id.to_string(),
                name: member.details.name.clone(),
                role: group_body::role(&member, &group).to_owned(),
                settled,
                trusted_lock_key: lock_key.map(|key| key.to_tlpub()),
            })))
        });
        Ok(marked(response.await?, done))
    }

    /// Has another replica lead.
    pub(super) async fn group_leader(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let request: MemberRequest = ours(call)?;
        let id = replica_id(&request.replica_id)?;
        let (before, seen) = self.seen().await;
        self.look(move |ground| Ok(plans::may_lead(ground, id, &seen)?)).await?;
        let led_before = before.raft.leader == Some(id);
        let view = timeout(TAKE_OVER, self.lets_lead(id)).await;
        let view = view.ok().transpose()?;
        let Some(view) = view else {
            let leader = self.node.group().raft.leader;
            let now = leader.map_or("nobody leads".to_owned(), |id| format!("replica {id} leads"));
            let text = format!("replica {id} has not taken over within 5 s; {now} at the moment");
            return Err(Problem::new(StatusCode::CONFLICT, text).with_remedy(
                "see whether it can be reached and has all records (lockstep cluster status)",
            ));
        };
        Ok(json(&LeaderBody { leader: id.to_string(), term: view.raft.term, led_before }))
    }

    /// Asks for that leader until it leads: a transfer is given up when somebody is late.
    async fn lets_lead(&self, id: ReplicaId) -> Result<Arc<GroupView>, Problem> {
        let stopped = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the replica stops");
        let mut views = self.node.watch_group();
        loop {
            if self.node.group().raft.leader != Some(id) {
                self.node.hand_over(Some(id)).map_err(|_| stopped())?;
            }
            let leads = views.wait_for(|now| now.raft.leader == Some(id));
            match timeout(ASK_AGAIN, leads).await {
                Ok(Ok(now)) => return Ok(now.clone()),
                Ok(Err(_)) => return Err(stopped()),
                Err(_) => {}
            }
        }
    }
}

fn replica_id(text: &str) -> Result<ReplicaId, Problem> {
    let number = text.parse().ok().filter(|id| *id > 0);
    number
        .map(ReplicaId)
        .ok_or_else(|| Problem::bad(format!("replica_id: {text:?} is no replica's number")))
}

fn now_ms() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Bytes of the files below a directory. A file that goes away meanwhile does not count.
fn bytes_below(dir: &Path) -> std::io::Result<u64> {
    let mut sum = 0_u64;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(metadata) = entry.metadata() else { continue };
        let bytes = if metadata.is_dir() {
            bytes_below(&entry.path()).unwrap_or(0)
        } else {
            metadata.len()
        };
        sum = sum.saturating_add(bytes);
    }
    Ok(sum)
}
