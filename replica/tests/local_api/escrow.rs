//! The support secret: to the escrow before anything is proposed, and never into the ledger.

use std::fs;
use std::path::Path;

use ledger::lock::disablement::{image, value_to_text};
use replica::local_api::bodies::{Base64, InitRequest};
use replica::local_api::client::Asked;

use super::{Daemon, key_body, refused};

const SECRET: [u8; 32] = [0xab; 32];

/// What the official command line sends: the support secret, and its value among the others.
async fn request(daemon: &Daemon) -> InitRequest {
    let values = [[1; 32], image(&SECRET)];
    InitRequest {
        keys: Some(vec![key_body(daemon.lock_key().await)]),
        disablement_values: Some(values.map(|v| Some(Base64(v.to_vec()))).to_vec()),
        support_disablement: Some(Base64(SECRET.to_vec())),
        ..InitRequest::default()
    }
}

fn file_escrow(path: &Path) -> String {
    format!("[support_escrow]\nname = 'the vault'\nfile = {path:?}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_escrow_has_the_secret_and_the_ledger_has_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("support");
    let daemon = Daemon::start_with(dir.path(), &file_escrow(&path)).await;
    let identity = daemon.client.identity().await.unwrap();
    assert_eq!(identity.support_escrow, Some(format!("the vault (file {})", path.display())));

    let holders = Some(vec!["office safe".to_owned()]);
    let request = InitRequest { disablement_holders: holders, ..request(&daemon).await };
    let asked = Asked::by("init-1");
    let first = daemon.client.init(&request, &asked).await.unwrap();
    assert!(first.value.enabled);
    let text = format!("disablement-secret:{}\n", "AB".repeat(32));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);

    // Asked again under the same name: the escrow is not asked again.
    fs::remove_file(&path).unwrap();
    let again = daemon.client.init(&request, &asked).await.unwrap();
    assert!(again.receipt.repeated && again.receipt.record_index == first.receipt.record_index);
    assert!(!path.exists());

    let records = daemon.client.records(0, 100).await.unwrap();
    for record in &records {
        assert!(!record.raw.0.windows(16).any(|window| window == &SECRET[..16]));
    }
    let record = records.iter().find(|record| record.kind == "lock-initialized").unwrap();
    let labels = &record.disablements;
    assert_eq!(labels.len(), 2);
    assert_eq!(labels[0].holder.as_deref(), Some("office safe"));
    assert_eq!(labels[1].holder.as_deref(), Some("support: the vault"));
    assert_eq!(labels[1].value, value_to_text(&image(&SECRET)));
    assert_eq!(labels[0].maker, record.actor.name);
    assert!(labels[0].made <= record.time);
    let epochs = daemon.client.epochs().await.unwrap();
    assert_eq!(&epochs[0].disablements, labels);

    // It is a secret of this lock.
    daemon.client.disable(&SECRET, &Asked::default()).await.unwrap();
    assert!(!daemon.client.lock_status().await.unwrap().enabled);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_escrow_nothing_is_initialized() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("support");
    let put = |words: &str| format!("[support_escrow]\nname = 'put'\ncommand = [{words}]\n");
    fs::write(&path, "an earlier secret").unwrap();
    for (settings, says) in [
        (String::new(), "no escrow is configured"),
        (file_escrow(&path), "exists already and may hold the secret of an earlier lock"),
        (file_escrow(&dir.path().join("no/where")), "No such file or directory"),
        (put("'/bin/false'"), "/bin/false ended with exit status: 1"),
        (put("'/nonexistent/put'"), "/nonexistent/put: No such file"),
    ] {
        let daemon = Daemon::start_with(dir.path(), &settings).await;
        let before = daemon.client.records(0, 100).await.unwrap().len();
        let answer = daemon.client.init(&request(&daemon).await, &Asked::default()).await;
        let (status, text) = refused(answer);
        assert_eq!(status, 400, "{text}");
        assert!(text.starts_with("initialization failed: ") && text.contains(says), "{text}");
        assert!(!text.contains("ABAB"), "{text}");
        assert_eq!(daemon.client.records(0, 100).await.unwrap().len(), before);
        assert!(!daemon.client.lock_status().await.unwrap().enabled);
        daemon.stop().await;
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "an earlier secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_initialized_is_told_before_the_escrow_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("support");
    let daemon = Daemon::start_with(dir.path(), &file_escrow(&path)).await;
    let good = request(&daemon).await;
    let other = InitRequest { support_disablement: Some(Base64(vec![1; 32])), ..good.clone() };
    let long = InitRequest { support_disablement: Some(Base64(vec![1; 1025])), ..good.clone() };
    let keys = Some(vec![key_body(ledger::ids::LockKey([7; 32]))]);
    let without_own = InitRequest { keys, ..good.clone() };
    let many = Some(vec![String::new(); 3]);
    let holders = InitRequest { disablement_holders: many, ..good.clone() };
    let long_holder = Some(vec!["x".repeat(257)]);
    let long_holder = InitRequest { disablement_holders: long_holder, ..good.clone() };
    for (request, says) in [
        (other, "value is not among the disablement values"),
        (long, "more than 1024 bytes"),
        (without_own, "must be one of the trusted keys"),
        (holders, "more holders of disablement secrets than values"),
        (long_holder, "more than 256 bytes"),
    ] {
        let (status, text) = refused(daemon.client.init(&request, &Asked::default()).await);
        assert_eq!(status, 400, "{text}");
        assert!(text.contains(says), "{text}");
        assert!(!path.exists());
    }
    daemon.init(&[]).await;
    let (status, text) = refused(daemon.client.init(&good, &Asked::default()).await);
    assert_eq!(status, 409);
    assert!(text.contains("already enabled"), "{text}");
    assert!(!path.exists());
    daemon.stop().await;
}
