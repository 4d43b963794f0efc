//! The relay between the nodes and the ledger, which nobody trusts: it keeps back, repeats and
//! changes what it passes on, and shows some nodes another history.
//!
//! It has no key. Whatever it makes the nodes believe, it makes from what others have signed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ledger::Fault as LedgerFault;
use ledger::ids::AumHash;
use ledger::lock::client::{Bootstrap, Client, Question, Reply, Told};
use ledger::lock::signatures::OneCore;
use ledger::lock::{Chain, ChainId, Sealed};
use ledger::rows::{Draft, Memory, Rows};

use super::client::{answer, stored};
use super::keys;
use super::wire::{Answer, Ask};
use crate::world::clock::SECOND;
use crate::world::{Fault, Mix, Ms, ProcessId, Random};

/// Answers that it remembers for each node.
const REMEMBERED: usize = 8;
/// Other histories that it keeps.
const VIEWS: usize = 2;

/// The relay.
#[derive(Debug)]
pub struct Relay {
    mix: Mix,
    random: Random,
    honest: bool,
    earlier: BTreeMap<ProcessId, VecDeque<Answer>>,
    views: Vec<View>,
    /// Which history a node is shown; the ledger's if none.
    shown: BTreeMap<ProcessId, usize>,
}

/// Another history: some of the ledger's AUMs, and what nodes have sent.
#[derive(Debug, Default)]
struct View {
    rows: Memory,
    withheld: BTreeSet<AumHash>,
}

/// What the relay does with a message.
#[derive(Debug)]
pub enum Passed<T> {
    /// It passes this on after a while.
    On(Ms, T),
    /// It answers by itself.
    Answered(Box<Answer>),
    /// It keeps it back for ever.
    Kept,
}

impl Relay {
    /// A relay that does what the mix says.
    pub fn new(seed: u64, mix: Mix) -> Self {
        Relay {
            mix,
            random: Random::new(seed, "relay"),
            honest: false,
            earlier: BTreeMap::new(),
            views: Vec::new(),
            shown: BTreeMap::new(),
        }
    }

    /// It passes on everything as it is from now on.
    pub fn be_honest(&mut self) {
        self.honest = true;
        self.shown.clear();
    }

    fn strikes(&mut self, fault: Fault) -> bool {
        !self.honest && self.mix.strikes(fault, &mut self.random)
    }

    /// A node's question on its way to the ledger, whose rows the relay can read as any node can.
    pub fn ask(
        &mut self,
        node: ProcessId,
        ask: Ask,
        ledger: &dyn Rows,
        epoch: Option<ChainId>,
    ) -> Result<Passed<Ask>, LedgerFault> {
        if let (Ask::Map { .. }, Some(epoch)) = (&ask, epoch)
            && self.strikes(Fault::Views)
        {
            while self.views.len() < VIEWS {
                self.views.push(View::default());
            }
            let view = self.random.place(VIEWS);
            self.views[view].learn(ledger, epoch, &mut self.random)?;
            self.shown.insert(node, view);
        } else if matches!(ask, Ask::Map { .. }) && self.random.chance(300) {
            self.shown.remove(&node);
        }
        if let Some(view) = self.shown.get(&node) {
            return Ok(Passed::Answered(Box::new(self.views[*view].answer(ask)?)));
        }
        if self.strikes(Fault::Withhold) {
            return Ok(Passed::Kept);
        }
        Ok(Passed::On(self.wait(), ask))
    }

    fn wait(&mut self) -> Ms {
        if self.strikes(Fault::Delay) { self.random.between(1, 20) * SECOND } else { 0 }
    }

    /// The ledger's answer on its way to a node.
    pub fn answer(&mut self, node: ProcessId, answer: Answer) -> Passed<Answer> {
        if self.strikes(Fault::Withhold) {
            return Passed::Kept;
        }
        let replay = self.strikes(Fault::Replay);
        let earlier = self.earlier.entry(node).or_default();
        earlier.push_back(answer.clone());
        if earlier.len() > REMEMBERED {
            earlier.pop_front();
        }
        let mut answer = answer;
        if replay {
            let place = self.random.place(earlier.len());
            answer = earlier.get(place).cloned().unwrap_or(answer);
        }
        if self.strikes(Fault::Tamper) {
            answer = self.tampered(answer);
        }
        if self.strikes(Fault::Lie) {
            answer = self.lied(answer);
        }
        Passed::On(self.wait(), answer)
    }

    /// Changes the AUMs or the offer of an answer.
    fn tampered(&mut self, answer: Answer) -> Answer {
        let Answer::Round(Reply::Offer { mut offer, mut aums }) = answer else { return answer };
        if aums.is_empty() {
            offer.head = AumHash(self.random.bytes());
            return Answer::Round(Reply::Offer { offer, aums });
        }
        let at = self.random.place(aums.len());
        match self.random.below(6) {
            0 => {
                aums.remove(at);
            }
            1 => aums.reverse(),
            2 => {
                let mut bytes = aums[at].bytes().to_vec();
                let byte = self.random.place(bytes.len());
                bytes[byte] ^= 1 << self.random.below(8);
                if let Ok(aum) = Sealed::decode(&bytes) {
                    aums[at] = aum;
                }
            }
            3 => {
                // One signature less: the rest still holds, but weighs less.
                let mut aum = aums[at].clone().into_aum();
                aum.signatures.pop();
                aums[at] = Sealed::new(aum);
            }
            4 => {
                let twice = aums[at].clone();
                aums.insert(at, twice);
            }
            _ => offer.head = AumHash(self.random.bytes()),
        }
        Answer::Round(Reply::Offer { offer, aums })
    }

    /// Says that there is no lock, or invents a secret.
    fn lied(&mut self, answer: Answer) -> Answer {
        match answer {
            Answer::Map { peers, .. } => Answer::Map { told: Told::Off, peers },
            Answer::Round(Reply::Bootstrap(bootstrap)) => {
                let [n, ..] = self.random.bytes();
                let secret = Some(keys::invented(n).to_vec());
                Answer::Round(Reply::Bootstrap(Bootstrap { secret, ..bootstrap }))
            }
            other => other,
        }
    }
}

impl View {
    /// Some of the ledger's AUMs become part of this history; the others never do.
    fn learn(
        &mut self,
        ledger: &dyn Rows,
        epoch: ChainId,
        random: &mut Random,
    ) -> Result<(), LedgerFault> {
        let chain = Chain::new(ledger, epoch);
        let mut nodes = chain.nodes()?.collect::<Result<Vec<_>, _>>()?;
        nodes.sort_by_key(|(hash, node)| (node.height, *hash));
        let mut client = Client::open(&self.rows)?;
        let genesis = nodes.first().map(|(hash, _)| *hash);
        if client.authority().map(|a| a.oldest().hash) != genesis {
            // Another lock than before: this history begins anew.
            *self = View::default();
            client = Client::open(&self.rows)?;
        }
        let known: BTreeSet<AumHash> = stored(&self.rows)?.iter().map(Sealed::hash).collect();
        for (hash, node) in nodes {
            if known.contains(&hash) || self.withheld.contains(&hash) {
                continue;
            }
            if node.height > 0 && random.chance(250) {
                self.withheld.insert(hash);
                continue;
            }
            let Some(aum) = chain.aum(&hash)? else { continue };
            let mut draft = Draft::on(&self.rows);
            let taken = match client.head() {
                None => client.bootstrap(&mut draft, &aum),
                Some(_) => client.inform(&mut draft, vec![aum], &OneCore).map(|_| ()),
            };
            let changes = draft.finish();
            if taken.is_ok() {
                self.rows.apply(changes);
            }
        }
        Ok(())
    }

    fn answer(&mut self, ask: Ask) -> Result<Answer, LedgerFault> {
        let mut client = Client::open(&self.rows)?;
        let Ask::Round(Question::Send { aums, .. }) = ask else {
            return answer(&client, &self.rows, &ask);
        };
        let mut draft = Draft::on(&self.rows);
        if !aums.is_empty() && client.inform(&mut draft, aums, &OneCore).is_ok() {
            let changes = draft.finish();
            self.rows.apply(changes);
        }
        Ok(match client.head() {
            Some(head) => Answer::Round(Reply::Sent { head }),
            None => Answer::Refused,
        })
    }
}
