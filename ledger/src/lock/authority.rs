//! The authority: the active branch of a chain and the state at its head (spec 5.4, 5.5).

use std::sync::Arc;

use super::builder::sign;
use super::chain::{Chain, ChainId, Jumps, Node, Place, Storing, ends};
use super::signatures::{Signer, Verified};
use super::{Aum, AumKind, NotApplicable, Sealed, State};
use crate::ids::AumHash;
use crate::rows::{Draft, Rows};
use crate::{Failure, Fault, Refusal};

/// Why AUMs are not taken into a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotInformed {
    /// There is nothing to inform of.
    #[error("inform called with empty slice")]
    Empty,
    /// A chain begins once.
    #[error("this chain has begun already")]
    NotEmpty,
    /// A chain begins with a checkpoint.
    #[error("bootstrap AUMs must be checkpoint messages, got {0}")]
    BootstrapKind(AumKind),
    /// The AUM that would begin the chain is refused.
    #[error("invalid bootstrap: {0}")]
    Bootstrap(#[source] Box<Refusal>),
    /// An AUM of the batch has no parent.
    #[error("update {0}: missing parent")]
    NoParent(usize),
    /// The parent of an AUM of the batch is neither stored nor before it in the batch.
    #[error("update {index} computing state: its parent {parent} is not known")]
    UnknownParent {
        /// Place in the batch, from 0.
        index: usize,
        /// The parent.
        parent: AumHash,
    },
    /// An AUM of the batch is refused.
    #[error("update {index} invalid: {reason}")]
    Update {
        /// Place in the batch, from 0.
        index: usize,
        /// Why.
        #[source]
        reason: Box<Refusal>,
    },
}

/// What a batch of AUMs did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Informed {
    /// The AUMs that were new, in the order of the batch, on whichever branch.
    pub stored: Vec<AumHash>,
    /// The head before.
    pub head_before: AumHash,
    /// The head now.
    pub head_after: AumHash,
}

/// The active branch of one chain, with the state at its head in memory. Small to clone.
#[derive(Debug, Clone)]
pub struct Authority {
    chain: ChainId,
    oldest: Place,
    head: Place,
    state: Arc<State>,
}

impl Authority {
    /// The genesis of a new lock: a checkpoint of `state`, signed by one of its keys (spec 5.4).
    pub fn genesis(state: State, signer: &dyn Signer) -> Result<Sealed, Refusal> {
        let mut aum = Aum::new(AumKind::CHECKPOINT, None);
        aum.state = Some(state);
        aum.signatures.push(sign(&aum, signer));
        let genesis = Sealed::new(aum);
        admit_first(&genesis)?;
        Ok(genesis)
    }

    /// Reads where a chain begins and ends and the state at its head; `None` if nothing has begun
    /// it. At most [`super::chain::SNAPSHOT_EVERY`] steps, however long the chain is.
    pub fn open(rows: &dyn Rows, id: ChainId) -> Result<Option<Authority>, Fault> {
        let Some((oldest, head)) = ends(rows, id)? else { return Ok(None) };
        let chain = Chain::new(rows, id);
        let node = chain.known(&head)?;
        let oldest = Place { hash: oldest, height: chain.known(&oldest)?.height };
        let head_place = Place { hash: head, height: node.height };
        if oldest.height > head_place.height {
            return Err(Fault::new(format!("damaged row: the chain ends below {}", oldest.hash)));
        }
        Ok(Some(Authority {
            chain: id,
            oldest,
            head: head_place,
            state: Arc::new(chain.state_of(&head, &node)?),
        }))
    }

    /// Begins a chain with a checkpoint: a genesis, or a later one whose parent is not known
    /// (spec 5.4). Nothing is stored when it is refused. A few rows, and one for each key.
    pub fn bootstrap(
        draft: &mut Draft<'_>,
        id: ChainId,
        aum: &Verified<Sealed>,
    ) -> Result<Authority, Failure> {
        let aum = aum.get();
        if ends(draft, id)?.is_some() {
            return Err(NotInformed::NotEmpty.into());
        }
        let (state, weight) = admit_first(aum)?;
        let at = Place { hash: aum.hash(), height: 0 };
        let mut storing = Storing { draft, id };
        storing.root(aum, weight);
        storing.ends(&at.hash, &at.hash);
        Ok(Authority { chain: id, oldest: at, head: at, state: Arc::new(state) })
    }

    /// The chain's rows in `rows`, which must be those at which this authority stands.
    pub fn chain<'a>(&self, rows: &'a dyn Rows) -> Chain<'a> {
        Chain::new(rows, self.chain)
    }

    /// Which chain this is.
    pub fn chain_id(&self) -> ChainId {
        self.chain
    }

    /// The oldest AUM of the chain.
    pub fn oldest(&self) -> Place {
        self.oldest
    }

    /// The AUM that the active branch ends in.
    pub fn head(&self) -> AumHash {
        self.head.hash
    }

    /// The head and its height.
    pub fn head_place(&self) -> Place {
        self.head
    }

    /// The state after the head.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Takes a batch of AUMs, ancestors first, into the chain (spec 5.5).
    ///
    /// Known ones are passed over. Valid ones are stored even on a losing branch, where they stay
    /// eligible for later forks. All or nothing: a refused batch leaves neither rows nor a trace in
    /// the authority. For each AUM a few rows, and a logarithm of the height where it forks off.
    pub fn inform(
        &mut self,
        draft: &mut Draft<'_>,
        batch: &[Verified<Sealed>],
    ) -> Result<Informed, Failure> {
        if batch.is_empty() {
            return Err(NotInformed::Empty.into());
        }
        let mut inner = Draft::on(&*draft);
        let mut step = Step::new(self, &inner)?;
        let mut stored = Vec::new();
        for (index, aum) in batch.iter().enumerate() {
            if step.take(&mut inner, index, aum.get())? {
                stored.push(aum.get().hash());
            }
        }
        let head_before = self.head.hash;
        if step.head != self.head {
            let state = step.state_of_head(&inner)?;
            Storing { draft: &mut inner, id: self.chain }.ends(&self.oldest.hash, &step.head.hash);
            self.head = step.head;
            self.state = state;
        }
        let changes = inner.finish();
        draft.absorb(changes);
        Ok(Informed { stored, head_before, head_after: self.head.hash })
    }

    /// Deletes a chain with all its rows, if it has begun. Costs as much as the chain is long.
    pub fn erase(draft: &mut Draft<'_>, id: ChainId) -> Result<(), Fault> {
        Storing { draft, id }.erase()
    }

    /// Moves the oldest AUM up to a checkpoint of the active branch, below which everything has
    /// been deleted.
    pub(super) fn begin_at(&mut self, draft: &mut Draft<'_>, oldest: Place) {
        Storing { draft, id: self.chain }.ends(&oldest.hash, &self.head.hash);
        self.oldest = oldest;
    }
}

/// Checks the first AUM of a chain; gives the state after it and its weight.
fn admit_first(aum: &Sealed) -> Result<(State, u64), Refusal> {
    let refused = |reason: Refusal| NotInformed::Bootstrap(Box::new(reason));
    if aum.kind != AumKind::CHECKPOINT {
        return Err(NotInformed::BootstrapKind(aum.kind).into());
    }
    let state = State::at_checkpoint(aum).ok_or_else(|| refused(NotApplicable::NoState.into()))?;
    let weight = state.admits_bootstrap(aum).map_err(refused)?;
    Ok((state, weight))
}

/// A batch on its way into the chain: where the last AUM left off, and the head so far.
struct Step {
    chain: ChainId,
    head: Place,
    /// The AUM at which `state`, `node` and `jumps` stand.
    at: Place,
    node: Node,
    jumps: Jumps,
    state: Arc<State>,
}

impl Step {
    fn new(authority: &Authority, rows: &dyn Rows) -> Result<Self, Fault> {
        let node = authority.chain(rows).known(&authority.head.hash)?;
        Ok(Step {
            chain: authority.chain,
            head: authority.head,
            at: authority.head,
            jumps: Jumps::from(&node),
            node,
            state: authority.state.clone(),
        })
    }

    /// Takes one AUM in; says whether it was new.
    fn take(&mut self, draft: &mut Draft<'_>, index: usize, aum: &Sealed) -> Result<bool, Failure> {
        let chain = Chain::new(&*draft, self.chain);
        let hash = aum.hash();
        if chain.has(&hash)? {
            return Ok(false);
        }
        let parent = aum.parent_hash().ok_or(NotInformed::NoParent(index))?;
        if parent != self.at.hash {
            let unknown = NotInformed::UnknownParent { index, parent };
            let node = chain.node(&parent)?.ok_or(unknown)?;
            self.state = Arc::new(chain.state_of(&parent, &node)?);
            self.at = Place { hash: parent, height: node.height };
            self.jumps = Jumps::from(&node);
            self.node = node;
        }
        let refused = |reason| NotInformed::Update { index, reason: Box::new(reason) };
        let weight = self.state.admits(aum).map_err(refused)?;
        let state = Arc::make_mut(&mut self.state);
        let before = match aum.kind {
            AumKind::CHECKPOINT => state.keys().to_vec(),
            _ => Vec::new(),
        };
        state.apply(aum).map_err(refused)?;
        let weight = if planted!(WeighAfter) { state.weight(aum) } else { weight };
        let node = chain.node_above(self.at, &self.node, &mut self.jumps, aum.kind, weight)?;
        Storing { draft: &mut *draft, id: self.chain }.child(aum, &node, &before, &self.state);

        // A new AUM has no children. It is the head if the active branch runs through its parent
        // and prefers it there.
        let chain = Chain::new(&*draft, self.chain);
        let place = Place { hash, height: node.height };
        let wins = self.at == self.head
            || chain.ancestor_at(&self.head.hash, self.at.height)? == Some(self.at.hash)
                && chain.best_child(&self.at.hash)? == Some(hash);
        if wins && (self.at == self.head || !planted!(NeverFork)) {
            self.head = place;
        }
        (self.at, self.node) = (place, node);
        Ok(true)
    }

    fn state_of_head(&self, rows: &dyn Rows) -> Result<Arc<State>, Fault> {
        if self.at == self.head {
            return Ok(self.state.clone());
        }
        let chain = Chain::new(rows, self.chain);
        let node = chain.known(&self.head.hash)?;
        Ok(Arc::new(chain.state_of(&self.head.hash, &node)?))
    }
}
