//! What a member with a valid key, or anybody who reaches the port, can do: nothing to others.

use std::time::Duration;

use replica::peers::testing::{Shows, Wire, body_of};
use replica::peers::{Kind, Limits, Reason, SendError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::harness::*;

/// A alone, who knows B and C but dials nobody.
async fn alone(limits: Limits) -> Member {
    member(local(A), limits, spot().await, membership([(A, None), (B, None), (C, None)]))
}

/// A connection as B. Whoever has just misbehaved is too busy for a moment.
async fn hostile(a: &Member) -> Wire {
    soon(async {
        loop {
            match Wire::member(&identity(B), &local(B), A, &a.address, key_of(A)).await {
                Ok(wire) => return wire,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await
}

#[tokio::test]
async fn garbage_ends_the_connection_and_names_the_member() {
    let mut a = alone(limits()).await;
    let (kind, good) = body_of(&heartbeat(B, A, 1)).unwrap();
    let mut propose = good.clone();
    propose[1] = 2;
    let over = u32::try_from(Kind::Raft.most() + 1).unwrap().to_be_bytes();
    let frame = |kind: u8, body: &[u8]| {
        [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], &[kind], body].concat()
    };
    for bad in [
        frame(kind as u8, &propose),
        frame(kind as u8, &good[1..]),
        frame(kind as u8, &[&good[..], &[0]].concat()),
        frame(Kind::Hello as u8, &[]),
        frame(Kind::Join as u8, b"let me in"),
        frame(99, &[]),
        [&over[..], &[kind as u8]].concat(),
        vec![0xff; 64],
    ] {
        let mut wire = hostile(&a).await;
        // What it says before is heard.
        wire.message(&heartbeat(B, A, 9)).await.unwrap();
        wire.raw(&bad).await.unwrap();
        assert_eq!(a.message().await, (B, heartbeat(B, A, 9)));
        assert_eq!(a.misbehaved().await.0, B);
        assert_eq!(soon(wire.parting()).await.unwrap(), Reason::Malformed);
    }
}

#[tokio::test]
async fn nothing_comes_before_hello() {
    let mut a = alone(limits()).await;
    let (kind, body) = body_of(&heartbeat(B, A, 1)).unwrap();
    for (kind, body) in [
        (kind as u8, body),
        (Kind::Hello as u8, b"hello".to_vec()),
        (Kind::Hello as u8, vec![0; 4096]),
        (Kind::Still as u8, vec![]),
    ] {
        let mut wire = Wire::dial(&identity(B), Shows::Key, &a.address, key_of(A)).await.unwrap();
        wire.frame(kind, &body).await.unwrap();
        assert_eq!(a.misbehaved().await.0, B);
        soon(wire.closed()).await;
    }
    // Another member's name under one's own key.
    let reason = soon(async {
        loop {
            let dialled = Wire::dial(&identity(B), Shows::Key, &a.address, key_of(A)).await;
            let mut wire = dialled.unwrap();
            wire.hello(&local(C), A).await.unwrap();
            match wire.parting().await.unwrap() {
                // Whoever has just misbehaved is too busy for a moment.
                Reason::Busy => {}
                other => return other,
            }
        }
    });
    assert_eq!(reason.await, Reason::Replica);
}

#[tokio::test]
async fn a_flood_fills_its_own_share_and_nobody_elses() {
    let mut a = alone(Limits { inbox_kib: 64, chunk: LONG, ..limits() }).await;
    let mut flood = hostile(&a).await;
    let message = heartbeat(B, A, 1);
    // Far more than its share: what A does not take stays with B.
    let flooding = tokio::spawn(async move {
        for _ in 0..100_000 {
            if flood.message(&message).await.is_err() {
                break;
            }
        }
        flood
    });
    // A takes nothing of B's until C has been heard.
    let mut from_b = Vec::new();
    let mut c =
        soon(Wire::member(&identity(C), &local(C), A, &a.address, key_of(A))).await.unwrap();
    c.message(&heartbeat(C, A, 2)).await.unwrap();
    let from_c = a
        .event(|event| match event {
            replica::peers::Event::Message(received) if received.from == C => Some(received),
            replica::peers::Event::Message(received) => {
                from_b.push(received);
                None
            }
            _ => None,
        })
        .await;
    assert_eq!(from_c.message, heartbeat(C, A, 2));
    assert!(from_b.len() <= 16, "64 KiB are 16 messages, not {}", from_b.len());
    drop(from_b);
    // It goes on as its messages are taken.
    for _ in 0..100 {
        assert_eq!(a.message().await.0, B);
    }
    flooding.abort();
}

#[tokio::test]
async fn connections_that_say_nothing_make_room_for_honest_ones() {
    let short = Limits { pending: 4, pending_per_address: 4, ..limits() };
    let a = alone(short).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(&a.address).await.unwrap());
    }
    hostile(&a).await;
    // The older ones have been closed.
    let mut byte = [0];
    let end = soon(silent[0].read(&mut byte)).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

#[tokio::test]
async fn half_a_handshake_runs_into_its_limit() {
    let a = alone(Limits { handshake: Duration::from_millis(50), ..limits() }).await;
    // The head of a TLS record, and no more.
    let mut socket = TcpStream::connect(&a.address).await.unwrap();
    socket.write_all(&[0x16, 3, 1, 0x40, 0]).await.unwrap();
    let mut rest = Vec::new();
    let _ = soon(socket.read_to_end(&mut rest)).await;
    // TLS, but no hello. On a slow machine TLS itself may not be done in time.
    if let Ok(mut wire) = Wire::dial(&identity(B), Shows::Key, &a.address, key_of(A)).await {
        soon(wire.closed()).await;
    }
}

#[tokio::test]
async fn silence_and_slowness_end_a_connection() {
    let short = Duration::from_millis(50);
    let a = alone(Limits { idle: short, chunk: short, ..limits() }).await;
    let mut silent = hostile(&a).await;
    soon(silent.closed()).await;
    let mut slow = hostile(&a).await;
    slow.raw(&[0, 0, 1, 0, Kind::Raft as u8, 1, 2, 3]).await.unwrap();
    soon(slow.closed()).await;
}

#[tokio::test]
async fn older_tls_is_not_spoken() {
    let a = alone(limits()).await;
    // A ClientHello of TLS 1.2: no supported_versions, one suite, Ed25519 signatures, X25519.
    let extensions: &[u8] = &[
        0, 10, 0, 4, 0, 2, 0, 29, // supported groups
        0, 11, 0, 2, 1, 0, // point formats
        0, 13, 0, 4, 0, 2, 8, 7, // signature algorithms
    ];
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0, 0, u8::try_from(extensions.len()).unwrap()]);
    hello.extend(extensions);
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![0x16, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(hello);
    let mut socket = TcpStream::connect(&a.address).await.unwrap();
    socket.write_all(&record).await.unwrap();
    let mut answer = Vec::new();
    let _ = soon(socket.read_to_end(&mut answer)).await;
    // A fatal alert: protocol_version.
    assert_eq!(answer.get(..1), Some(&[0x15][..]), "{answer:02x?}");
    assert_eq!(answer.get(5..), Some(&[2, 70][..]), "{answer:02x?}");
    // Plain text is no better.
    let mut socket = TcpStream::connect(&a.address).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = soon(socket.read_to_end(&mut answer)).await;
    assert_ne!(answer.first(), Some(&b'H'));
}

#[tokio::test]
async fn one_key_has_so_many_connections() {
    let a = alone(Limits { per_key: 2, penalty: LONG, ..limits() }).await;
    let mut spoilt = Vec::new();
    for _ in 0..2 {
        let mut wire = hostile(&a).await;
        wire.frame(99, &[]).await.unwrap();
        assert_eq!(soon(wire.parting()).await.unwrap(), Reason::Malformed);
        spoilt.push(wire);
    }
    // Both places are kept for the time of the penalty.
    let mut third = Wire::dial(&identity(B), Shows::Key, &a.address, key_of(A)).await.unwrap();
    third.hello(&local(B), A).await.unwrap();
    assert_eq!(soon(third.parting()).await.unwrap(), Reason::Busy);
    // Another member has places of its own.
    soon(Wire::member(&identity(C), &local(C), A, &a.address, key_of(A))).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_takes_nothing_holds_up_nobody() {
    // B is a hostile member that A dials and that reads nothing; C is honest.
    let (at_a, at_b, at_c) = (spot().await, spot().await, spot().await);
    let all = membership([
        (A, Some(&*at_a.address)),
        (B, Some(&*at_b.address)),
        (C, Some(&*at_c.address)),
    ]);
    let short = Limits { other_messages: 8, idle: LONG, chunk: LONG, ..limits() };
    let mut a = member(local(A), short, at_a, all.clone());
    let mut b = soon(Wire::accept(&identity(B), &at_b.listener, key_of(A))).await.unwrap();
    assert_eq!(soon(b.heard()).await.unwrap().0, Kind::Hello);
    b.hello(&local(B), A).await.unwrap();
    let mut c = member(local(C), limits(), at_c, all);
    let mut up = std::collections::BTreeSet::new();
    while up.len() < 2 {
        up.insert(
            a.event(|event| match event {
                replica::peers::Event::Up(id, _) => Some(id),
                _ => None,
            })
            .await,
        );
    }
    // Until B's queue is full: its socket takes some MiB before.
    let record = vec![0; 1 << 20];
    let records =
        || replica::peers::Message::Records { request: 1, first: 1, records: vec![record.clone()] };
    let full = soon(async {
        loop {
            if let Err(error) = a.links.send(B, records()) {
                return error;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(full, SendError::Full);
    // Raft messages still go in, and C still hears.
    for commit in 0..10_000 {
        a.links.send(B, heartbeat(A, B, commit)).unwrap();
    }
    a.links.send(C, heartbeat(A, C, 4)).unwrap();
    assert_eq!(c.message().await, (A, heartbeat(A, C, 4)));
}
