//! Honest members talk; members that do not belong together say why not.

use ledger::history::{ClusterId, ReplicaId};
use replica::peers::{
    Event, HelloError, LinkError, Local, Message, NotReached, SendError, Versions,
};

use super::harness::*;

#[tokio::test]
async fn two_members_talk_in_order() {
    let (mut a, mut b) = pair().await;
    a.up(B).await;
    b.up(A).await;
    for commit in 0..100 {
        a.links.send(B, heartbeat(A, B, commit)).unwrap();
    }
    // The longest record there can be.
    let records = vec![vec![9; ledger::limits::RECORD_BYTES]];
    b.links.send(A, Message::Records { request: 7, first: 3, records: records.clone() }).unwrap();
    for commit in 0..100 {
        assert_eq!(b.message().await, (A, heartbeat(A, B, commit)));
    }
    assert_eq!(a.message().await, (B, Message::Records { request: 7, first: 3, records }));
    assert_eq!(a.links.send(C, heartbeat(A, C, 1)), Err(SendError::Down));
}

#[tokio::test]
async fn the_sender_is_whoever_holds_the_key() {
    let (mut a, mut b) = pair().await;
    a.up(B).await;
    // A claims to speak for C, to somebody else. Neither is on the wire.
    a.links.send(B, heartbeat(C, ReplicaId(77), 5)).unwrap();
    assert_eq!(b.message().await, (A, heartbeat(A, B, 5)));
}

#[tokio::test]
async fn a_peer_that_stops_and_starts_is_found_again() {
    let (mut a, mut b) = pair().await;
    a.up(B).await;
    b.up(A).await;
    let (address, both) = (b.address.clone(), b.publish.borrow().clone());
    b.links.stop().await;
    a.down(B).await;
    assert_eq!(a.links.send(B, heartbeat(A, B, 1)), Err(SendError::Down));
    a.unreachable(B).await;
    let mut b = member(local(B), limits(), spot_at(&address).await, (*both).clone());
    a.up(B).await;
    b.up(A).await;
    a.links.send(B, heartbeat(A, B, 2)).unwrap();
    assert_eq!(b.message().await, (A, heartbeat(A, B, 2)));
}

async fn refusal(of: impl FnOnce(&mut Local)) -> (HelloError, HelloError) {
    let mut other = local(B);
    of(&mut other);
    let (mut a, mut b) = pair_with(local(A), other).await;
    let hello = |error| match error {
        LinkError::NotReached(NotReached::Hello(error)) => error,
        other => panic!("{other}"),
    };
    (hello(a.unreachable(B).await), hello(b.unreachable(A).await))
}

#[tokio::test]
async fn members_that_do_not_belong_together_are_told_why() {
    // Both dial, and both are refused by the other end.
    use replica::peers::Reason;
    let both = |errors: (HelloError, HelloError), reason: Reason| match errors {
        (HelloError::Refused(a), HelloError::Refused(b)) => assert_eq!((a, b), (reason, reason)),
        other => panic!("{other:?}"),
    };
    both(refusal(|b| b.cluster = ClusterId([8; 16])).await, Reason::Cluster);
    both(refusal(|b| b.incarnation = 2).await, Reason::Incarnation);
    both(refusal(|b| b.program.wire = Versions { least: 2, most: 3 }).await, Reason::Wire);
    both(refusal(|b| b.program.rules = Versions { least: 2, most: 3 }).await, Reason::Rules);
}

#[tokio::test]
async fn the_newest_common_version_is_spoken() {
    let with = |id, least, most| {
        let mut local = local(id);
        local.program.wire = Versions { least, most };
        local
    };
    let (mut a, _b) = pair_with(with(A, 1, 4), with(B, 2, 3)).await;
    let session = a
        .event(|event| match event {
            Event::Up(_, session) => Some(session),
            _ => None,
        })
        .await;
    assert_eq!((session.wire, session.software.as_str()), (3, "test"));
}
