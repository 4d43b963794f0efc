//! What nodes and servers say to each other, as bytes. AUMs and node-key signatures travel in
//! their own encoding, and are decoded as strictly as everywhere.

use ledger::cbor::{Malformed, Reader, Writer};
use ledger::ids::{AumHash, NodeKey};
use ledger::lock::Sealed;
use ledger::lock::client::{Bootstrap, Peer, Question, Reply, Told};
use ledger::lock::sync::Offer;

/// What a node asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// What the lock is, for a node with that key and that head; and who else there is.
    Map {
        /// The node's key.
        node_key: NodeKey,
        /// Its head, if it has a lock.
        head: Option<AumHash>,
    },
    /// A question of a round.
    Round(Question),
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Ask::Map`].
    Map {
        /// What the lock is.
        told: Told,
        /// The other nodes.
        peers: Vec<Peer>,
    },
    /// To [`Ask::Round`].
    Round(Reply),
    /// The server does not answer this.
    Refused,
}

/// A message: which turn of which visit it belongs to, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<T> {
    /// The visit, by the number that the asking node gave it.
    pub visit: u64,
    /// The turn within it.
    pub turn: u64,
    /// What is said.
    pub said: T,
}

/// Elements of a list in a message, at most.
const LIST: usize = 1 << 16;

impl Envelope<Ask> {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(3).uint(self.visit).uint(self.turn);
        match &self.said {
            Ask::Map { node_key, head } => {
                out.array(3).uint(0).bytes(&node_key.0);
                out.nullable_bytes(head.as_ref().map(|head| head.0.as_slice()));
            }
            Ask::Round(Question::Bootstrap { head }) => {
                out.array(2).uint(1);
                out.nullable_bytes(head.as_ref().map(|head| head.0.as_slice()));
            }
            Ask::Round(Question::Offer(offer)) => {
                out.array(2).uint(2);
                write_offer(&mut out, offer);
            }
            Ask::Round(Question::Send { head, aums }) => {
                out.array(3).uint(3).bytes(&head.0);
                write_aums(&mut out, aums);
            }
        }
        out.into_bytes()
    }

    /// From bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let r = &mut reader;
        r.array_of(3)?;
        let (visit, turn) = (r.uint()?, r.uint()?);
        let at = r.clone();
        let len = r.array()?;
        let said = match (len, r.uint()?) {
            (3, 0) => Ask::Map { node_key: NodeKey(r.fixed()?), head: read_head(r)? },
            (2, 1) => Ask::Round(Question::Bootstrap { head: read_head(r)? }),
            (2, 2) => Ask::Round(Question::Offer(read_offer(r)?)),
            (3, 3) => Ask::Round(Question::Send { head: AumHash(r.fixed()?), aums: read_aums(r)? }),
            _ => return Err(at.malformed("an unknown question")),
        };
        r.close();
        r.close();
        reader.finish()?;
        Ok(Envelope { visit, turn, said })
    }
}

impl Envelope<Answer> {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(3).uint(self.visit).uint(self.turn);
        match &self.said {
            Answer::Refused => {
                out.array(1).uint(0);
            }
            Answer::Map { told, peers } => {
                let head = match told {
                    Told::Off => None,
                    Told::On(head) => Some(&head.0[..]),
                };
                out.array(3).uint(1).nullable_bytes(head).array(peers.len());
                for peer in peers {
                    out.array(2).bytes(&peer.node_key.0);
                    out.nullable_bytes(peer.signature.as_deref());
                }
            }
            Answer::Round(Reply::Bootstrap(Bootstrap { genesis, secret })) => {
                out.array(3).uint(2);
                out.nullable_bytes(genesis.as_ref().map(Sealed::bytes));
                out.nullable_bytes(secret.as_deref());
            }
            Answer::Round(Reply::Offer { offer, aums }) => {
                out.array(3).uint(3);
                write_offer(&mut out, offer);
                write_aums(&mut out, aums);
            }
            Answer::Round(Reply::Sent { head }) => {
                out.array(2).uint(4).bytes(&head.0);
            }
        }
        out.into_bytes()
    }

    /// From bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let r = &mut reader;
        r.array_of(3)?;
        let (visit, turn) = (r.uint()?, r.uint()?);
        let at = r.clone();
        let len = r.array()?;
        let said = match (len, r.uint()?) {
            (1, 0) => Answer::Refused,
            (3, 1) => {
                let told = read_head(r)?.map_or(Told::Off, Told::On);
                let mut peers = Vec::new();
                for _ in 0..r.array_up_to(LIST)? {
                    r.array_of(2)?;
                    let node_key = NodeKey(r.fixed()?);
                    let signature = r.nullable_bytes()?.map(<[u8]>::to_vec);
                    peers.push(Peer { node_key, signature });
                    r.close();
                }
                r.close();
                Answer::Map { told, peers }
            }
            (3, 2) => {
                let genesis = r.nullable_bytes()?.map(Sealed::decode).transpose()?;
                let secret = r.nullable_bytes()?.map(<[u8]>::to_vec);
                Answer::Round(Reply::Bootstrap(Bootstrap { genesis, secret }))
            }
            (3, 3) => Answer::Round(Reply::Offer { offer: read_offer(r)?, aums: read_aums(r)? }),
            (2, 4) => Answer::Round(Reply::Sent { head: AumHash(r.fixed()?) }),
            _ => return Err(at.malformed("an unknown answer")),
        };
        r.close();
        r.close();
        reader.finish()?;
        Ok(Envelope { visit, turn, said })
    }
}

fn read_head(reader: &mut Reader<'_>) -> Result<Option<AumHash>, Malformed> {
    if reader.null() { Ok(None) } else { Ok(Some(AumHash(reader.fixed()?))) }
}

fn write_offer(out: &mut Writer, offer: &Offer) {
    out.array(2).bytes(&offer.head.0).array(offer.ancestors.len());
    for ancestor in &offer.ancestors {
        out.bytes(&ancestor.0);
    }
}

fn read_offer(reader: &mut Reader<'_>) -> Result<Offer, Malformed> {
    reader.array_of(2)?;
    let head = AumHash(reader.fixed()?);
    let mut ancestors = Vec::new();
    for _ in 0..reader.array()? {
        ancestors.push(AumHash(reader.fixed()?));
    }
    reader.close();
    reader.close();
    Ok(Offer { head, ancestors })
}

fn write_aums(out: &mut Writer, aums: &[Sealed]) {
    out.array(aums.len());
    for aum in aums {
        out.bytes(aum.bytes());
    }
}

fn read_aums(reader: &mut Reader<'_>) -> Result<Vec<Sealed>, Malformed> {
    let mut aums = Vec::new();
    for _ in 0..reader.array_up_to(LIST)? {
        aums.push(Sealed::decode(reader.bytes()?)?);
    }
    reader.close();
    Ok(aums)
}

#[cfg(test)]
mod tests {
    use ledger::testing::{genesis, key};

    use super::*;

    #[test]
    fn what_is_said_is_what_is_heard() {
        let aum = genesis(1, &[(&key(1), 1)]);
        let offer = Offer { head: aum.hash(), ancestors: vec![aum.hash(), AumHash([3; 32])] };
        for said in [
            Ask::Map { node_key: NodeKey([4; 32]), head: Some(aum.hash()) },
            Ask::Map { node_key: NodeKey([4; 32]), head: None },
            Ask::Round(Question::Bootstrap { head: None }),
            Ask::Round(Question::Offer(offer.clone())),
            Ask::Round(Question::Send { head: aum.hash(), aums: vec![aum.clone()] }),
        ] {
            let envelope = Envelope { visit: 9, turn: 2, said };
            assert_eq!(Envelope::<Ask>::decode(&envelope.encode()), Ok(envelope));
        }
        let peers = vec![
            Peer { node_key: NodeKey([5; 32]), signature: None },
            Peer { node_key: NodeKey([6; 32]), signature: Some(vec![1, 2]) },
        ];
        let bootstrap = Bootstrap { genesis: Some(aum.clone()), secret: Some(vec![7; 32]) };
        for said in [
            Answer::Refused,
            Answer::Map { told: Told::Off, peers: Vec::new() },
            Answer::Map { told: Told::On(aum.hash()), peers },
            Answer::Round(Reply::Bootstrap(bootstrap)),
            Answer::Round(Reply::Offer { offer, aums: vec![aum.clone()] }),
            Answer::Round(Reply::Sent { head: aum.hash() }),
        ] {
            let envelope = Envelope { visit: 9, turn: 2, said };
            assert_eq!(Envelope::<Answer>::decode(&envelope.encode()), Ok(envelope));
        }
    }
}
