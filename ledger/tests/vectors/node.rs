//! A client node: one authority over rows in memory, informed as the reference's was.

use ledger::ids::AumHash;
use ledger::lock::signatures::{Unverified, Verified, verify_one};
use ledger::lock::{Authority, Chain, ChainId, Informed, Sealed};
use ledger::rows::{Draft, Memory};
use ledger::{Failure, Refusal};
use serde_json::Value;

use crate::case::{Case, bytes_list, hash, list, member, number};
use crate::report::same;
use crate::rules::noncanonical_aum;

const CHAIN: ChainId = ChainId(0);

/// One authority over rows of its own.
#[derive(Debug, Clone)]
pub struct Node {
    pub rows: Memory,
    pub authority: Authority,
}

/// The verdict of a step that must not end in a fault.
pub fn verdict<T>(result: Result<T, Failure>) -> Result<T, Refusal> {
    match result {
        Ok(done) => Ok(done),
        Err(Failure::Refused(refusal)) => Err(refusal),
        Err(Failure::Fault(fault)) => panic!("fault: {fault}"),
    }
}

impl Node {
    pub fn bootstrap(aum: Sealed) -> Result<Self, Refusal> {
        let aum = verify_one(Unverified::new(aum))?;
        let mut rows = Memory::new();
        let mut draft = Draft::on(&rows);
        let authority = verdict(Authority::bootstrap(&mut draft, CHAIN, &aum))?;
        let changes = draft.finish();
        rows.apply(changes);
        Ok(Node { rows, authority })
    }

    /// Informs of AUMs; a refusal must leave no row behind.
    pub fn inform(&mut self, batch: &[Verified<Sealed>]) -> Result<Informed, Refusal> {
        let mut draft = Draft::on(&self.rows);
        let informed = verdict(self.authority.inform(&mut draft, batch));
        let changes = draft.finish();
        assert!(informed.is_ok() || changes.is_empty(), "a refused batch left rows");
        self.rows.apply(changes);
        informed
    }

    /// Verifies and informs, as one step.
    pub fn hear(&mut self, batch: &[Sealed]) -> Result<Informed, Refusal> {
        let batch: Result<Vec<_>, _> =
            batch.iter().map(|aum| verify_one(Unverified::new(aum.clone()))).collect();
        self.inform(&batch?)
    }

    pub fn head(&self) -> AumHash {
        self.authority.head()
    }

    pub fn chain(&self) -> Chain<'_> {
        self.authority.chain(&self.rows)
    }

    /// All stored AUMs.
    pub fn stored(&self) -> Vec<AumHash> {
        self.chain().nodes().unwrap().map(|row| row.unwrap().0).collect()
    }

    /// The same, opened again from its rows: must come out the same.
    pub fn reopened(&self) -> Result<Authority, String> {
        let again = Authority::open(&self.rows, CHAIN).unwrap().unwrap();
        let same = again.head() == self.head()
            && again.state() == self.authority.state()
            && again.oldest() == self.authority.oldest();
        if same { Ok(again) } else { Err(format!("opened again: {again:?}")) }
    }

    /// From a pool of AUMs and {bootstrap, informs}; every step must succeed.
    pub fn from_side(pool: &[Sealed], side: &Value) -> Result<Self, String> {
        Self::from_parts(pool, member(side, "bootstrap"), member(side, "informs"))
    }

    pub fn from_parts(pool: &[Sealed], first: &Value, informs: &Value) -> Result<Self, String> {
        let text = |e: Refusal| e.to_string();
        let mut node = Node::bootstrap(pool[index(first)].clone()).map_err(text)?;
        for batch in list(informs) {
            node.hear(&picked(pool, batch)).map_err(text)?;
        }
        Ok(node)
    }
}

pub fn index(value: &Value) -> usize {
    usize::try_from(number(value)).unwrap()
}

/// The AUMs of a pool at those indexes.
pub fn picked(pool: &[Sealed], indexes: &Value) -> Vec<Sealed> {
    list(indexes).iter().map(|at| pool[index(at)].clone()).collect()
}

/// What decoding a pool comes to.
pub enum Pool {
    Aums(Vec<Sealed>),
    /// Some AUM is not canonical (rule `noncanonical`).
    NonCanonical,
}

/// Decodes a list of AUMs in hex.
pub fn pool(value: &Value) -> Result<Pool, String> {
    let mut aums = Vec::new();
    for (i, bytes) in bytes_list(value).iter().enumerate() {
        match Sealed::decode(bytes) {
            Ok(aum) => aums.push(aum),
            Err(_) if noncanonical_aum(bytes) => return Ok(Pool::NonCanonical),
            Err(e) => return Err(format!("AUM {i}: {e}")),
        }
    }
    Ok(Pool::Aums(aums))
}

/// The hashes of a pool are the reference's, where it gives them.
pub fn same_hashes(pool: &[Sealed], case: &Case<'_>) -> Result<(), String> {
    let Some(shown) = case.may_expect("aum_hashes_b32") else { return Ok(()) };
    let ours: Vec<AumHash> = pool.iter().map(Sealed::hash).collect();
    same("hashes", ours, list(shown).iter().map(hash).collect())
}

/// The index of each AUM in a pool.
pub fn indexes(pool: &[Sealed], aums: &[AumHash]) -> Vec<usize> {
    aums.iter().map(|hash| pool.iter().position(|aum| aum.hash() == *hash).unwrap()).collect()
}
