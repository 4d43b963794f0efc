//! Those who are no members yet.

use std::collections::BTreeSet;
use std::sync::Arc;

use ledger::history::{ClusterId, MemberKey};
use replica::peers::{Event, HelloError, JoinStream, NotReached, Reason, dial};

use super::harness::*;

async fn host(joins: bool) -> Member {
    let mut membership = membership([(A, None)]);
    membership.joins = joins;
    member(local(A), replica::peers::Limits { joiners: 1, ..limits() }, spot().await, membership)
}

async fn join(a: &Member, cluster: ClusterId, pin: MemberKey) -> Result<JoinStream, NotReached> {
    let program = local(B).program;
    let pins = BTreeSet::from([pin]);
    soon(dial(&identity(B), cluster, &program, &a.address, pins, &limits())).await
}

async fn joiner(a: &mut Member) -> JoinStream {
    a.event(|event| match event {
        Event::Joiner(joiner) => Some(*joiner),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_joiner_and_a_member_share_a_binding_that_no_other_connection_has() {
    let mut a = host(true).await;
    let cluster = local(A).cluster;
    let mut near = join(&a, cluster, key_of(A)).await.unwrap();
    let mut far = joiner(&mut a).await;
    assert_eq!((near.key(), far.key()), (key_of(A), key_of(B)));
    assert_eq!(near.binding(), far.binding());
    near.send(b"a proof").await.unwrap();
    assert_eq!(far.receive(LONG).await.unwrap(), b"a proof");
    far.send(b"welcome").await.unwrap();
    assert_eq!(near.receive(LONG).await.unwrap(), b"welcome");
    near.send(&vec![0; 65_537]).await.unwrap_err();
    // There is one place, and it is taken.
    let error = join(&a, cluster, key_of(A)).await.unwrap_err();
    assert!(matches!(error, NotReached::Hello(HelloError::Refused(Reason::Busy))), "{error}");
    let binding = far.binding();
    drop(far);
    let again = join(&a, cluster, key_of(A)).await.unwrap();
    assert_ne!(again.binding(), binding);
}

#[tokio::test]
async fn joiners_pin_the_member_and_name_the_cluster() {
    let a = host(true).await;
    let cluster = local(A).cluster;
    let error = join(&a, cluster, key_of(C)).await.unwrap_err();
    assert!(matches!(error, NotReached::Tls(_)), "{error}");
    let error = join(&a, ClusterId([9; 16]), key_of(A)).await.unwrap_err();
    assert!(matches!(error, NotReached::Hello(HelloError::Refused(Reason::Cluster))), "{error}");
}

#[tokio::test]
async fn where_nobody_is_invited_no_unknown_key_is_let_in() {
    let mut a = host(false).await;
    let cluster = local(A).cluster;
    join(&a, cluster, key_of(A)).await.unwrap_err();
    let mut open = (**a.publish.borrow()).clone();
    open.joins = true;
    a.publish.send_replace(Arc::new(open));
    join(&a, cluster, key_of(A)).await.unwrap();
    joiner(&mut a).await.close().await;
}
