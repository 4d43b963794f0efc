//! What waits to be sent to one peer.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::limits::Limits;
use super::message::Message;

/// Why a message was not taken. What was taken may still be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no connection to that peer.
    #[error("no connection to this replica")]
    Down,
    /// Too much waits for it already. Never for Raft messages: there the oldest make room.
    #[error("too much waits for this replica")]
    Full,
}

/// Messages for one peer: Raft's, of which the newest matter, and the others, each of which
/// somebody waits for. Nothing waits while there is no connection.
#[derive(Debug)]
pub(super) struct Outbox {
    queues: Mutex<Queues>,
    filled: Notify,
}

#[derive(Debug)]
struct Queues {
    up: bool,
    raft: Queue,
    other: Queue,
    /// Whose turn it is when both have something.
    others_turn: bool,
}

#[derive(Debug)]
struct Queue {
    messages: VecDeque<Message>,
    bytes: usize,
    most: usize,
    most_bytes: usize,
}

impl Queue {
    fn new(most: usize, most_bytes: usize) -> Self {
        Queue { messages: VecDeque::new(), bytes: 0, most, most_bytes }
    }

    fn has_room(&self, size: usize) -> bool {
        self.messages.is_empty()
            || (self.messages.len() < self.most
                && self.bytes.saturating_add(size) <= self.most_bytes)
    }

    fn push(&mut self, message: Message) {
        self.bytes = self.bytes.saturating_add(message.size());
        self.messages.push_back(message);
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes = self.bytes.saturating_sub(message.size());
        Some(message)
    }

    fn clear(&mut self) {
        self.messages.clear();
        self.bytes = 0;
    }
}

impl Outbox {
    pub(super) fn new(limits: &Limits) -> Self {
        let queues = Queues {
            up: false,
            raft: Queue::new(limits.raft_messages, limits.raft_bytes),
            other: Queue::new(limits.other_messages, limits.other_bytes),
            others_turn: false,
        };
        Outbox { queues: Mutex::new(queues), filled: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        // Nothing that holds the lock can leave the queues half changed.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to take messages, or stops it and forgets what waits.
    pub(super) fn set_up(&self, up: bool) {
        let mut queues = self.lock();
        queues.up = up;
        queues.raft.clear();
        queues.other.clear();
    }

    pub(super) fn push(&self, message: Message) -> Result<(), SendError> {
        let mut queues = self.lock();
        if !queues.up {
            return Err(SendError::Down);
        }
        let size = message.size();
        if let Message::Raft(_) = message {
            while !queues.raft.has_room(size) {
                queues.raft.pop();
            }
            queues.raft.push(message);
        } else if queues.other.has_room(size) {
            queues.other.push(message);
        } else {
            return Err(SendError::Full);
        }
        drop(queues);
        self.filled.notify_one();
        Ok(())
    }

    /// The next message, if there is one: by turns, so that records do not hold up heartbeats nor
    /// the other way round.
    pub(super) fn pop(&self) -> Option<Message> {
        let mut queues = self.lock();
        let others_first = queues.others_turn;
        queues.others_turn = !others_first;
        let queues = &mut *queues;
        let (first, second) = if others_first {
            (&mut queues.other, &mut queues.raft)
        } else {
            (&mut queues.raft, &mut queues.other)
        };
        first.pop().or_else(|| second.pop())
    }

    /// Waits until [`pop`](Self::pop) is worth a try. For one waiter.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use raft::eraftpb::{Entry, Message as RaftMessage};

    use super::*;
    use crate::core::PeerMessage;

    fn raft(index: u64, bytes: usize) -> Message {
        let entry = Entry { data: vec![0; bytes].into(), ..Entry::default() };
        let mut message = RaftMessage { index, ..RaftMessage::default() };
        message.set_entries(vec![entry].into());
        Message::Raft(PeerMessage(message))
    }

    fn end(request: u64) -> Message {
        Message::RecordsEnd { request, next: 0 }
    }

    fn outbox() -> Outbox {
        let limits = Limits {
            raft_messages: 3,
            raft_bytes: 4000,
            other_messages: 2,
            other_bytes: 10_000,
            ..Limits::default()
        };
        let outbox = Outbox::new(&limits);
        outbox.set_up(true);
        outbox
    }

    fn all(outbox: &Outbox) -> Vec<Message> {
        std::iter::from_fn(|| outbox.pop()).collect()
    }

    #[test]
    fn the_newest_raft_messages_win() {
        let outbox = outbox();
        for index in 1..=5 {
            outbox.push(raft(index, 10)).unwrap();
        }
        assert_eq!(all(&outbox), [raft(3, 10), raft(4, 10), raft(5, 10)]);
        // By bytes as well; one that is larger than the bound goes alone.
        outbox.push(raft(1, 1000)).unwrap();
        outbox.push(raft(2, 3500)).unwrap();
        assert_eq!(all(&outbox), [raft(2, 3500)]);
        outbox.push(raft(3, 10)).unwrap();
        outbox.push(raft(4, 9000)).unwrap();
        assert_eq!(all(&outbox), [raft(4, 9000)]);
    }

    #[test]
    fn others_are_refused_rather_than_dropped() {
        let outbox = outbox();
        outbox.push(end(1)).unwrap();
        outbox.push(end(2)).unwrap();
        assert_eq!(outbox.push(end(3)), Err(SendError::Full));
        outbox.push(raft(1, 10)).unwrap();
        outbox.push(raft(2, 10)).unwrap();
        assert_eq!(all(&outbox), [raft(1, 10), end(1), raft(2, 10), end(2)]);
        outbox.push(end(4)).unwrap();
    }

    #[test]
    fn nothing_waits_without_a_connection() {
        let outbox = outbox();
        outbox.push(raft(1, 10)).unwrap();
        outbox.push(end(1)).unwrap();
        outbox.set_up(false);
        assert_eq!(outbox.push(raft(2, 10)), Err(SendError::Down));
        outbox.set_up(true);
        assert_eq!(all(&outbox), []);
    }
}
