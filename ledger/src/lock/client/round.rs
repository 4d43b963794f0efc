//! How a node is brought up to date: questions and replies as data (spec 6.4).

use super::{Client, NotTold};
use crate::Failure;
use crate::ids::AumHash;
use crate::limits::EVENT_AUMS;
use crate::lock::Sealed;
use crate::lock::signatures::Cores;
use crate::lock::sync::Offer;
use crate::rows::{Draft, Rows};

/// Bytes of AUMs that are sent at once, at most: in base64 they fit into the 1 MiB that servers
/// commonly read. A single AUM is sent whatever its size.
const SEND_BYTES: usize = 512 << 10;

/// What a server says the lock is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// There is none, or it was disabled.
    Off,
    /// It is on, and this is its head.
    On(AumHash),
}

/// What a node asks a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// How the lock begins or, with the head of the lock that the node has, how that one ended.
    Bootstrap {
        /// The node's head, if it has a lock.
        head: Option<AumHash>,
    },
    /// What each lacks that the other has.
    Offer(Offer),
    /// To take in what the server may lack, which may be nothing.
    Send {
        /// The node's head.
        head: AumHash,
        /// The AUMs, parents first.
        aums: Vec<Sealed>,
    },
}

/// How a lock begins or ended.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bootstrap {
    /// The first AUM of the lock that is on.
    pub genesis: Option<Sealed>,
    /// The secret that ended the lock that the node has.
    pub secret: Option<Vec<u8>>,
}

impl std::fmt::Debug for Bootstrap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bootstrap")
            .field("genesis", &self.genesis.as_ref().map(Sealed::hash))
            .field("secret", &self.secret.is_some())
            .finish()
    }
}

/// What a server replied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To [`Question::Bootstrap`].
    Bootstrap(Bootstrap),
    /// To [`Question::Offer`].
    Offer {
        /// The server's own offer.
        offer: Offer,
        /// The AUMs that the node lacks, parents first.
        aums: Vec<Sealed>,
    },
    /// To [`Question::Send`].
    Sent {
        /// The server's head after it.
        head: AumHash,
    },
}

/// What a round has done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// A lock was begun.
    pub began: bool,
    /// The lock was ended with its secret.
    pub ended: bool,
    /// AUMs that were new to the node.
    pub received: usize,
    /// AUMs that were given to the server.
    pub sent: usize,
    /// The server's head at the end, where it is another than the node's: the server has more, has
    /// not taken what it was sent, or does not follow the rules.
    pub differs: Option<AumHash>,
}

/// One conversation with a server, after it has said what the lock is. It asks three questions at
/// most. A refused reply ends it: whatever the node knew before, it knows still.
#[derive(Debug)]
pub struct Round {
    told: Told,
    next: Option<Question>,
    progress: Progress,
}

impl Round {
    /// Begins; nothing is to be asked if the node knows it all.
    pub fn begin(client: &Client, rows: &dyn Rows, told: Told) -> Result<Self, Failure> {
        let next = match (client.head(), told) {
            (None, Told::Off) => None,
            (Some(head), Told::Off) => Some(Question::Bootstrap { head: Some(head) }),
            (None, Told::On(_)) => Some(Question::Bootstrap { head: None }),
            (Some(head), Told::On(theirs)) if head == theirs => None,
            (Some(_), Told::On(_)) => Some(Question::Offer(client.offer(rows)?)),
        };
        Ok(Round { told, next, progress: Progress::default() })
    }

    /// What is to be asked now; none when the round is over.
    pub fn question(&self) -> Option<&Question> {
        self.next.as_ref()
    }

    /// Takes the reply to the question. When it is refused the round is over, and neither the node
    /// nor the draft has changed by it.
    pub fn reply(
        &mut self,
        client: &mut Client,
        draft: &mut Draft<'_>,
        reply: Reply,
        cores: &dyn Cores,
    ) -> Result<(), Failure> {
        match (self.next.take(), reply) {
            (Some(Question::Bootstrap { .. }), Reply::Bootstrap(reply)) => {
                self.bootstrap(client, draft, reply, cores)
            }
            (Some(Question::Offer(_)), Reply::Offer { offer, aums }) => {
                self.exchange(client, draft, &offer, aums, cores)
            }
            (Some(Question::Send { head, aums }), Reply::Sent { head: theirs }) => {
                self.progress.sent = aums.len();
                self.progress.differs = Some(theirs).filter(|theirs| *theirs != head);
                Ok(())
            }
            _ => Err(NotTold::OtherReply.into()),
        }
    }

    /// What the round has done.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    fn bootstrap(
        &mut self,
        client: &mut Client,
        draft: &mut Draft<'_>,
        reply: Bootstrap,
        cores: &dyn Cores,
    ) -> Result<(), Failure> {
        match self.told {
            Told::Off => {
                client.disable(draft, &reply.secret.ok_or(NotTold::NoSecret)?, cores)?;
                self.progress.ended = true;
            }
            Told::On(_) => {
                client.bootstrap(draft, &reply.genesis.ok_or(NotTold::NoGenesis)?)?;
                self.progress.began = true;
                self.next = Some(Question::Offer(client.offer(&*draft)?));
            }
        }
        Ok(())
    }

    /// What the server may lack is found before its AUMs are taken in: afterwards everything would
    /// look as if it came from the server.
    fn exchange(
        &mut self,
        client: &mut Client,
        draft: &mut Draft<'_>,
        offer: &Offer,
        aums: Vec<Sealed>,
        cores: &dyn Cores,
    ) -> Result<(), Failure> {
        if client.head() == Some(offer.head) {
            return Ok(());
        }
        let mut missing = client.missing(&*draft, offer)?;
        // What is left over is sent the next time, when the server's offer says that it has these.
        let mut bytes = 0_usize;
        let fits = missing.iter().take(EVENT_AUMS).take_while(|aum| {
            bytes = bytes.saturating_add(aum.bytes().len());
            bytes <= SEND_BYTES
        });
        let fits = fits.count().max(1);
        missing.truncate(fits);
        if !aums.is_empty() {
            self.progress.received = client.inform(draft, aums, cores)?.stored.len();
        }
        self.next = client.head().map(|head| Question::Send { head, aums: missing });
        Ok(())
    }
}
