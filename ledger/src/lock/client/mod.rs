//! A node of the tailnet, as far as the lock goes (spec 6.4, 8.6, 9).
//!
//! It takes no server's word for anything. What a server sends can move the head only along the
//! rules of the lock; it can switch the lock off only by revealing a secret of the lock that the
//! node has; and of what is refused, nothing stays. A server can withhold, which nobody but the
//! server's other readers can notice, and until a node has its first lock it can give it any.
//!
//! [`Client`] is what a node knows, kept in rows. [`Round`] is the conversation that brings it up
//! to date: questions and replies as data, so that whoever has a connection carries them.

mod filter;
mod round;

use crate::cbor::{Malformed, Reader, Writer};
use crate::ids::AumHash;
use crate::rows::{Draft, Rows, tables};
use crate::{Failure, Fault, Refusal};

use super::chain::Storing;
use super::signatures::{BadClaim, Cores, Unverified, verify_all, verify_one};
use super::sync::{Offer, missing_aums, offer};
use super::{Authority, ChainId, Informed, Sealed};

pub use filter::{Admission, Peer, judge};
pub use round::{Bootstrap, Progress, Question, Reply, Round, Told};

/// The chain that a client node's rows hold.
pub const CHAIN: ChainId = ChainId(0);

/// What distinguishes one lock from every other: both halves of its state ID.
pub type StateId = (u64, u64);

/// Why a node does not do what it was told to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTold {
    /// A lock is to be switched off or set aside where there is none.
    #[error("tailnet-lock is not active")]
    LockOff,
    /// A second lock on top of the first.
    #[error("this node has a lock already; only its disablement secret ends it")]
    LockOn,
    /// A first AUM that has a parent.
    #[error("the genesis has a parent")]
    GenesisParent,
    /// The lock is said to be on, but there is no genesis.
    #[error("the server says that the lock is on, but gives no genesis")]
    NoGenesis,
    /// The lock is said to be off, but there is no secret that proves it.
    #[error("the server says that the lock is off, but reveals no secret that would prove it")]
    NoSecret,
    /// The lock is not set aside on this node.
    #[error("the lock is not disabled on this node alone")]
    NotDisabledHere,
    /// A reply to a question that was not asked.
    #[error("the server answered something else than was asked")]
    OtherReply,
}

/// What a node knows of the lock. Small to clone; its chain is in the rows.
#[derive(Debug, Clone)]
pub struct Client {
    authority: Option<Authority>,
    /// Whether the user has set the lock aside on this node.
    disabled_here: bool,
}

impl Client {
    /// Reads what the node knows. Costs the same however long its chain is.
    pub fn open(rows: &dyn Rows) -> Result<Self, Fault> {
        let authority = Authority::open(rows, CHAIN)?;
        let mut client = Client { authority, disabled_here: false };
        client.disabled_here = client.is_disabled_here(rows)?;
        Ok(client)
    }

    /// The authority, while the node has a lock: also when it is set aside on this node, which
    /// goes on following it.
    pub fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }

    /// The head of the lock that the node has.
    pub fn head(&self) -> Option<AumHash> {
        self.authority.as_ref().map(Authority::head)
    }

    /// The state ID of the lock that the node has.
    pub fn state_id(&self) -> Option<StateId> {
        self.authority.as_ref().map(|authority| authority.state().state_id())
    }

    /// Whether the lock is set aside on this node.
    pub fn disabled_here(&self) -> bool {
        self.disabled_here
    }

    /// The authority whose keys decide whom this node lets in; none while it has no lock or has
    /// set it aside.
    pub fn enforced(&self) -> Option<&Authority> {
        self.authority.as_ref().filter(|_| !self.disabled_here)
    }

    /// Begins a lock with a genesis that verifies against itself (spec 6.4).
    pub fn bootstrap(&mut self, draft: &mut Draft<'_>, genesis: &Sealed) -> Result<(), Failure> {
        if self.authority.is_some() {
            return Err(NotTold::LockOn.into());
        }
        if genesis.parent.is_some() {
            return Err(NotTold::GenesisParent.into());
        }
        let genesis = verify_one(Unverified::new(genesis.clone()))?;
        self.authority = Some(Authority::bootstrap(draft, CHAIN, &genesis)?);
        self.disabled_here = self.is_disabled_here(&*draft)?;
        Ok(())
    }

    /// What the node offers a server (spec 6.1).
    pub fn offer(&self, rows: &dyn Rows) -> Result<Offer, Failure> {
        Ok(offer(rows, self.needed()?)?)
    }

    /// The AUMs that a server with that offer lacks or may lack (spec 6.3).
    pub fn missing(&self, rows: &dyn Rows, remote: &Offer) -> Result<Vec<Sealed>, Failure> {
        missing_aums(rows, self.needed()?, remote)
    }

    /// Takes in AUMs from a server, parents first. One that does not hold refuses them all.
    pub fn inform(
        &mut self,
        draft: &mut Draft<'_>,
        aums: Vec<Sealed>,
        cores: &dyn Cores,
    ) -> Result<Informed, Failure> {
        let authority = self.authority.as_mut().ok_or(NotTold::LockOff)?;
        let aums = aums.into_iter().map(Unverified::new).collect();
        let verified = verify_all(aums, cores).into_iter().collect::<Result<Vec<_>, _>>()?;
        authority.inform(draft, &verified)
    }

    /// Ends the lock, if the secret is one of its own: nothing of its chain stays (spec 9).
    /// Asks for its image once.
    pub fn disable(
        &mut self,
        draft: &mut Draft<'_>,
        secret: &[u8],
        cores: &dyn Cores,
    ) -> Result<(), Failure> {
        let state = self.needed()?.state();
        let value = cores.image(secret).and_then(|image| state.listed(image));
        if !planted!(AnySecret) && value.is_none() {
            return Err(Refusal::from(BadClaim::Disablement).into());
        }
        Storing { draft: &mut *draft, id: CHAIN }.erase()?;
        self.authority = None;
        self.disabled_here = false;
        Ok(())
    }

    /// Sets the lock aside on this node: it lets everybody in, but follows the lock as before. It
    /// lasts until [`local_enable`](Self::local_enable), and concerns this lock alone: the next
    /// one has another state ID.
    pub fn local_disable(&mut self, draft: &mut Draft<'_>) -> Result<(), Failure> {
        let state_id = self.needed()?.state().state_id();
        if self.disabled_here {
            return Err(NotTold::LockOff.into());
        }
        if planted!(ForgetLocalDisable) {
            self.disabled_here = true;
            return Ok(());
        }
        set_aside(draft, state_id);
        self.disabled_here = true;
        Ok(())
    }

    /// Takes [`local_disable`](Self::local_disable) back.
    pub fn local_enable(&mut self, draft: &mut Draft<'_>) -> Result<(), Failure> {
        let state_id = self.needed()?.state().state_id();
        if !self.disabled_here {
            return Err(NotTold::NotDisabledHere.into());
        }
        draft.delete(tables::CLIENT, key(state_id));
        self.disabled_here = false;
        Ok(())
    }

    fn needed(&self) -> Result<&Authority, NotTold> {
        self.authority.as_ref().ok_or(NotTold::LockOff)
    }

    fn is_disabled_here(&self, rows: &dyn Rows) -> Result<bool, Fault> {
        match self.state_id() {
            Some(state_id) => Ok(rows.get(tables::CLIENT, &key(state_id))?.is_some()),
            None => Ok(false),
        }
    }
}

/// Notes that the lock with that state ID, present or to come, is set aside on this node.
pub fn set_aside(draft: &mut Draft<'_>, state_id: StateId) {
    draft.put(tables::CLIENT, key(state_id), []);
}

/// The locks that are or were set aside on this node.
pub fn all_set_aside(rows: &dyn Rows) -> Result<Vec<StateId>, Fault> {
    rows.scan(tables::CLIENT, &[][..]..&[][..])?
        .map(|row| read_key(&row?.0).map_err(|e| Fault::from_error("damaged row of client", e)))
        .collect()
}

fn key((id1, id2): StateId) -> Vec<u8> {
    let mut out = Writer::new();
    out.array(2).uint(id1).uint(id2);
    out.into_bytes()
}

fn read_key(key: &[u8]) -> Result<StateId, Malformed> {
    let mut reader = Reader::new(key);
    reader.array_of(2)?;
    let state_id = (reader.uint()?, reader.uint()?);
    reader.close();
    reader.finish()?;
    Ok(state_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::signatures::OneCore;
    use crate::rows::Memory;
    use crate::testing::{Chains, SECRET, genesis, key as lock_key};

    /// A node and its rows.
    struct Node {
        rows: Memory,
        client: Client,
    }

    impl Node {
        fn new() -> Self {
            let rows = Memory::new();
            let client = Client::open(&rows).unwrap();
            Node { rows, client }
        }

        /// Does something whose rows stay only if it succeeds; and the same again after opening.
        fn does<T>(
            &mut self,
            f: impl FnOnce(&mut Client, &mut Draft<'_>) -> Result<T, Failure>,
        ) -> Result<T, Failure> {
            let mut draft = Draft::on(&self.rows);
            let result = f(&mut self.client, &mut draft);
            let changes = draft.finish();
            assert!(result.is_ok() || changes.is_empty());
            self.rows.apply(changes);
            let again = Client::open(&self.rows).unwrap();
            assert_eq!(again.head(), self.client.head());
            assert_eq!(again.state_id(), self.client.state_id());
            assert_eq!(again.disabled_here(), self.client.disabled_here());
            result
        }

        fn refuses<T: std::fmt::Debug>(
            &mut self,
            f: impl FnOnce(&mut Client, &mut Draft<'_>) -> Result<T, Failure>,
        ) -> Refusal {
            match self.does(f) {
                Err(Failure::Refused(refusal)) => refusal,
                other => panic!("not refused: {other:?}"),
            }
        }
    }

    #[test]
    fn a_lock_begins_once_and_ends_with_its_secret_only() {
        let mut node = Node::new();
        let first = genesis(1, &[(&lock_key(1), 1)]);
        let second = genesis(2, &[(&lock_key(1), 1)]);
        node.does(|client, draft| client.bootstrap(draft, &first)).unwrap();
        let refusal = node.refuses(|client, draft| client.bootstrap(draft, &second));
        assert_eq!(refusal, NotTold::LockOn.into());
        let refusal = node.refuses(|client, draft| client.disable(draft, b"another", &OneCore));
        assert_eq!(refusal, BadClaim::Disablement.into());
        assert_eq!(node.client.head(), Some(first.hash()));

        node.does(|client, draft| client.disable(draft, SECRET, &OneCore)).unwrap();
        assert!(node.client.head().is_none());
        let refusal = node.refuses(|client, draft| client.disable(draft, SECRET, &OneCore));
        assert_eq!(refusal, NotTold::LockOff.into());
        node.does(|client, draft| client.bootstrap(draft, &second)).unwrap();
        assert_eq!(node.client.state_id(), Some((2, 0)));
    }

    #[test]
    fn what_does_not_hold_leaves_nothing() {
        let mut node = Node::new();
        let signer = lock_key(1);
        let root = genesis(1, &[(&signer, 1)]);
        let mut unsigned = root.clone().into_aum();
        unsigned.signatures[0].signature = Some(vec![7; 64]);
        let unsigned = Sealed::new(unsigned);
        node.refuses(|client, draft| client.bootstrap(draft, &unsigned));
        let chains = Chains::of("G -> A -> B", &root, &signer);
        let late = chains.aum("A").clone();
        node.refuses(|client, draft| client.bootstrap(draft, &late));
        node.does(|client, draft| client.bootstrap(draft, &root)).unwrap();

        // One by a stranger among good ones refuses them all.
        let strange = Chains::of("G -> X", &root, &lock_key(9));
        let batch = [chains.aums("A B"), strange.aums("X")].concat();
        node.refuses(|client, draft| client.inform(draft, batch, &OneCore));
        assert_eq!(node.client.head(), Some(root.hash()));
        let all = chains.all();
        node.does(|client, draft| client.inform(draft, all, &OneCore)).unwrap();
        assert_eq!(node.client.head(), Some(chains.aum("B").hash()));
    }

    #[test]
    fn local_disable_lasts_for_one_lock_and_stops_no_replication() {
        let mut node = Node::new();
        let signer = lock_key(1);
        let refusal = node.refuses(|client, draft| client.local_disable(draft));
        assert_eq!(refusal, NotTold::LockOff.into());
        let root = genesis(1, &[(&signer, 1)]);
        node.does(|client, draft| client.bootstrap(draft, &root)).unwrap();
        let refusal = node.refuses(|client, draft| client.local_enable(draft));
        assert_eq!(refusal, NotTold::NotDisabledHere.into());
        node.does(|client, draft| client.local_disable(draft)).unwrap();
        node.refuses(|client, draft| client.local_disable(draft));
        assert!(node.client.enforced().is_none());

        let chains = Chains::of("G -> A", &root, &signer);
        let all = chains.all();
        node.does(|client, draft| client.inform(draft, all, &OneCore)).unwrap();
        assert_eq!(node.client.head(), Some(chains.aum("A").hash()));
        assert!(node.client.disabled_here());

        // The next lock is enforced; the first one would still be set aside.
        node.does(|client, draft| client.disable(draft, SECRET, &OneCore)).unwrap();
        let next = genesis(2, &[(&signer, 1)]);
        node.does(|client, draft| client.bootstrap(draft, &next)).unwrap();
        assert!(node.client.enforced().is_some());
        node.does(|client, draft| client.disable(draft, SECRET, &OneCore)).unwrap();
        node.does(|client, draft| client.bootstrap(draft, &root)).unwrap();
        assert!(node.client.disabled_here());
        assert_eq!(all_set_aside(&node.rows).unwrap(), [(1, 0)]);
        node.does(|client, draft| client.local_enable(draft)).unwrap();
        assert!(node.client.enforced().is_some());
        assert_eq!(all_set_aside(&node.rows).unwrap(), []);
    }
}
