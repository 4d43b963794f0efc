//! Who is let in changes while members talk.

use std::sync::Arc;

use replica::peers::testing::{Shows, Wire};
use replica::peers::{HelloError, LinkError, NotReached, Reason};

use super::harness::*;

#[tokio::test]
async fn a_removed_member_is_cut_off_and_told() {
    let (mut a, mut b) = pair().await;
    a.up(B).await;
    b.up(A).await;
    let mut without = membership([(A, None)]);
    without.removed.insert(key_of(B), B);
    a.publish.send_replace(Arc::new(without));
    // Its connection to A is closed with the reason, and so is each further one.
    b.down(A).await;
    let first = b.unreachable(A).await;
    assert!(matches!(first, LinkError::Goodbye(Reason::Removed)), "{first}");
    let again = b.unreachable(A).await;
    assert!(
        matches!(
            again,
            LinkError::NotReached(NotReached::Hello(HelloError::Refused(Reason::Removed)))
        ),
        "{again}"
    );
    a.down(B).await;
    assert!(a.links.send(B, heartbeat(A, B, 1)).is_err());
}

#[tokio::test]
async fn a_key_that_is_not_pinned_is_refused_at_either_end() {
    let (at_a, at_b) = (spot().await, spot().await);
    // B holds its own key; A expects that of C there, and does not know B.
    let mut a_says = membership([(A, None), (B, Some(&*at_b.address))]);
    a_says.members.get_mut(&B).unwrap().key = key_of(C);
    let b_says = membership([(A, Some(&*at_a.address)), (B, None)]);
    let mut a = member(local(A), limits(), at_a, a_says.clone());
    let mut b = member(local(B), limits(), at_b, b_says.clone());
    let error = a.unreachable(B).await;
    assert!(matches!(error, LinkError::NotReached(NotReached::Tls(_))), "{error}");
    let error = b.unreachable(A).await;
    assert!(
        matches!(error, LinkError::NotReached(NotReached::Hello(HelloError::Frame(_)))),
        "{error}"
    );
    // The right key is published: both reach each other.
    a_says.members.get_mut(&B).unwrap().key = key_of(B);
    a.publish.send_replace(Arc::new(a_says));
    a.up(B).await;
    b.up(A).await;
}

#[tokio::test]
async fn a_member_that_moves_is_dialled_at_its_new_address() {
    let (mut a, mut b) = pair().await;
    a.up(B).await;
    b.up(A).await;
    let elsewhere = spot().await;
    let mut moved = (**a.publish.borrow()).clone();
    moved.members.get_mut(&B).unwrap().address = Some(elsewhere.address.clone());
    let mut b2 = member(local(B), limits(), elsewhere, membership([(A, None), (B, None)]));
    a.publish.send_replace(Arc::new(moved));
    a.down(B).await;
    a.up(B).await;
    a.links.send(B, heartbeat(A, B, 3)).unwrap();
    assert_eq!(b2.message().await, (A, heartbeat(A, B, 3)));
}

#[tokio::test]
async fn the_newer_connection_of_a_member_wins() {
    let at_a = spot().await;
    let address = at_a.address.clone();
    let mut a = member(local(A), limits(), at_a, membership([(A, None), (B, None)]));
    let (own, says) = (identity(B), local(B));
    let dial = || Wire::member(&own, &says, A, &address, key_of(A));
    let mut older = soon(dial()).await.unwrap();
    older.message(&heartbeat(B, A, 1)).await.unwrap();
    assert_eq!(a.message().await, (B, heartbeat(B, A, 1)));
    let mut newer = soon(dial()).await.unwrap();
    assert_eq!(soon(older.parting()).await.unwrap(), Reason::Superseded);
    newer.message(&heartbeat(B, A, 2)).await.unwrap();
    assert_eq!(a.message().await, (B, heartbeat(B, A, 2)));
}

#[tokio::test]
async fn whoever_shows_no_key_hears_nothing() {
    let at_a = spot().await;
    let address = at_a.address.clone();
    let _a = member(local(A), limits(), at_a, membership([(A, None), (B, None)]));
    let wire = Wire::dial(&identity(B), Shows::Nothing, &address, key_of(A)).await;
    if let Ok(mut wire) = wire {
        let _ = wire.hello(&local(B), A).await;
        assert!(soon(wire.heard()).await.is_err());
    }
    // With the wrong pin the client itself gives up.
    assert!(Wire::dial(&identity(B), Shows::Key, &address, key_of(C)).await.is_err());
    // With its key it is heard.
    assert!(soon(Wire::member(&identity(B), &local(B), A, &address, key_of(A))).await.is_ok());
}
