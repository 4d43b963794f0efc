use ledger::history::roster;

use super::*;

#[tokio::test]
async fn what_is_acknowledged_is_there_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path()).await.unwrap();
    let handle = node.handle().clone();
    assert_eq!(handle.view().fold().next_index(), 1, "the group's own record");
    assert_eq!(handle.view().fold().cluster(), Some(handle.cluster()));
    assert_eq!(applied(handle.submit(joins(1)).await), 1);
    assert_eq!(roster::list(handle.view().rows()).unwrap().len(), 1);
    assert_eq!(applied(handle.submit(joins(2)).await), 2);

    let repeated = handle.submit(joins(1)).await;
    assert!(matches!(repeated, Outcome::Repeated { index: 1, .. }), "{repeated:?}");
    let other = handle.submit(Submission { digest: [8; 32], ..joins(1) }).await;
    assert!(matches!(other, Outcome::Refused(_)), "{other:?}");
    let request = "another".parse().unwrap();
    let taken = handle.submit(Submission { request, ..joins(1) }).await;
    assert!(matches!(taken, Outcome::Refused(_)), "{taken:?}");
    let before = handle.read().await.unwrap();
    assert_eq!(before.fold().next_index(), 3, "refusals leave no trace");

    node.stop().await.unwrap();
    assert_eq!(handle.submit(joins(3)).await, Outcome::Unknown);
    assert!(handle.read().await.is_err());
    let fold_hash = before.fold().fold_hash();
    // A view keeps the database open, as long as somebody has it.
    drop((handle, before));

    let node = start(dir.path()).await.unwrap();
    let handle = node.handle().clone();
    assert_eq!(handle.view().fold().fold_hash(), fold_hash);
    let repeated = handle.submit(joins(2)).await;
    assert!(matches!(repeated, Outcome::Repeated { index: 2, .. }), "{repeated:?}");
    assert_eq!(applied(handle.submit(joins(3)).await), 3);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn many_at_once_are_recorded_in_one_order() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path()).await.unwrap();
    let mut asked = Vec::new();
    for number in 1..=3000 {
        let handle = node.handle().clone();
        asked.push(tokio::spawn(async move { applied(handle.submit(joins(number)).await) }));
    }
    let mut indexes = Vec::new();
    for answer in asked {
        indexes.push(answer.await.unwrap());
    }
    indexes.sort_unstable();
    assert_eq!(indexes, (1..=3000).collect::<Vec<_>>());
    let view = node.handle().read().await.unwrap();
    assert_eq!(view.fold().next_index(), 3001);
    drop(view);
    node.stop().await.unwrap();
    // By now the Raft log has been cut down more than once.
    let node = start(dir.path()).await.unwrap();
    assert_eq!(node.handle().view().fold().next_index(), 3001);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_watcher_sees_every_acknowledged_state() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path()).await.unwrap();
    let mut watch = node.handle().watch();
    watch.mark_unchanged();
    let index = applied(node.handle().submit(joins(1)).await);
    assert!(watch.has_changed().unwrap(), "published before it is acknowledged");
    assert_eq!(watch.borrow_and_update().fold().next_index(), index + 1);
    node.stop().await.unwrap();
}
