//! How messages travel: through the network, past the relay, to whoever is up.

use ledger::lock::ChainId;

use super::{Due, LEDGER, Tailnet};
use crate::actors::client::Next;
use crate::actors::relay::Passed;
use crate::actors::wire::{Answer, Ask, Envelope};
use crate::invariants::{Result, broken, unexpected};
use crate::world::disk::Durable;
use crate::world::{Ms, ProcessId};

impl<A: std::fmt::Display> Tailnet<'_, A> {
    /// A node begins to ask a server: the ledger, or another node.
    pub fn visit(&mut self, n: usize, server: ProcessId) -> Result<()> {
        let now = self.now();
        if self.nodes[n].process.stalled(now).is_some() {
            return Ok(());
        }
        if let Some((visit, said)) = self.nodes[n].begin_visit(server) {
            self.send(n + 1, server, Envelope { visit, turn: 0, said }.encode(), true);
        }
        Ok(())
    }

    fn send(&mut self, from: ProcessId, to: ProcessId, bytes: Vec<u8>, is_ask: bool) {
        for at in self.network.arrivals(self.agenda.now(), from, to) {
            self.agenda.plan(at, Due::Arrives { from, to, bytes: bytes.clone(), is_ask });
        }
    }

    pub(super) fn arrives(
        &mut self,
        from: ProcessId,
        to: ProcessId,
        bytes: Vec<u8>,
        is_ask: bool,
    ) -> Result<()> {
        let now = self.now();
        if !self.process(to).is_up() {
            return Ok(());
        }
        if let Some(until) = self.process(to).stalled(now) {
            self.agenda.plan(until, Due::Arrives { from, to, bytes, is_ask });
            return Ok(());
        }
        match (is_ask, to) {
            (true, LEDGER) => self.ledger_asked(from, &bytes),
            (true, _) => self.node_asked(from, to - 1, &bytes),
            (false, _) => self.node_answered(from, to - 1, &bytes),
        }
    }

    fn ledger_asked(&mut self, from: ProcessId, bytes: &[u8]) -> Result<()> {
        let Ok(Envelope { visit, turn, said }) = Envelope::<Ask>::decode(bytes) else {
            return Err(broken("messages_decode", "a node's own question does not decode"));
        };
        let epoch = self.ledger.fold.as_ref().and_then(|fold| {
            fold.lifecycle().is_on().then(|| fold.epoch().map(|epoch| ChainId(epoch.0)))?
        });
        let rows = self.ledger.process.disk.inspect();
        let answer = match self.relay.ask(from, said, rows, epoch).map_err(unexpected)? {
            Passed::Kept => return Ok(()),
            Passed::Answered(answer) => {
                self.count("shown another history");
                *answer
            }
            Passed::On(0, said) => {
                let before = self.ledger.head();
                self.wears();
                match self.ledger.answer(self.agenda.now(), said) {
                    Ok(answer) => {
                        self.look_at_ledger(before)?;
                        match self.relay.answer(from, answer) {
                            Passed::On(wait, answer) => {
                                let bytes = Envelope { visit, turn, said: answer }.encode();
                                self.answer_after(wait, LEDGER, from, bytes);
                                return Ok(());
                            }
                            _ => return Ok(()),
                        }
                    }
                    Err(fault) => return self.failed(LEDGER, &fault),
                }
            }
            // It arrives once more, later; the relay may then do something else with it.
            Passed::On(wait, said) => {
                let bytes = Envelope { visit, turn, said }.encode();
                let at = self.now() + wait;
                self.agenda.plan(at, Due::Arrives { from, to: LEDGER, bytes, is_ask: true });
                return Ok(());
            }
        };
        let bytes = Envelope { visit, turn, said: answer }.encode();
        self.send(LEDGER, from, bytes, false);
        Ok(())
    }

    fn answer_after(&mut self, wait: Ms, from: ProcessId, to: ProcessId, bytes: Vec<u8>) {
        let now = self.agenda.now();
        for at in self.network.arrivals(now, from, to) {
            let due = Due::Arrives { from, to, bytes: bytes.clone(), is_ask: false };
            self.agenda.plan(at + wait, due);
        }
    }

    fn node_asked(&mut self, from: ProcessId, n: usize, bytes: &[u8]) -> Result<()> {
        let now = self.now();
        let Ok(Envelope { visit, turn, said }) = Envelope::<Ask>::decode(bytes) else {
            return Err(broken("messages_decode", "a node's own question does not decode"));
        };
        match self.nodes[n].answer(now, said) {
            Ok(answer) => {
                self.look(n)?;
                self.send(n + 1, from, Envelope { visit, turn, said: answer }.encode(), false);
                Ok(())
            }
            Err(fault) => self.failed(n + 1, &fault),
        }
    }

    fn node_answered(&mut self, from: ProcessId, n: usize, bytes: &[u8]) -> Result<()> {
        let now = self.now();
        let said = Envelope::<Answer>::decode(bytes);
        let (visit, turn, answer) = match said {
            Ok(Envelope { visit, turn, said }) => (visit, turn, said),
            // What the relay has broken ends the visit: nothing can be read.
            Err(_) => {
                self.nodes[n].visit = None;
                return Ok(());
            }
        };
        let durable = if self.random.chance(500) { Durable::Now } else { Durable::Later };
        match self.nodes[n].take(now, visit, turn, answer, durable) {
            Ok(Next::Ask(turn, said)) => {
                self.look(n)?;
                self.send(n + 1, from, Envelope { visit, turn, said }.encode(), true);
                Ok(())
            }
            Ok(Next::Over(refused)) => {
                if let Some(why) = refused {
                    self.count("answer refused");
                    self.say(format_args!("node {n} does not believe {from}: {why}"));
                }
                self.look(n)
            }
            Ok(Next::Stale) => Ok(()),
            Err(fault) => self.failed(n + 1, &fault),
        }
    }
}
