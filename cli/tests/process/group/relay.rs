//! Relays in a network's switch, which keep every byte for a while.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

#[derive(Default)]
struct Settings {
    delay_ms: AtomicU64,
    carried: AtomicU64,
}

/// One relay for each of some addresses. They end with the process.
pub(super) struct Relays {
    settings: Arc<Settings>,
    addresses: Vec<String>,
}

impl Relays {
    /// In the switch of that network.
    pub(super) fn start(switch: &str, targets: &[String]) -> Relays {
        let settings = Arc::new(Settings::default());
        let mut addresses = Vec::new();
        for target in targets {
            let (tell, told) = channel();
            let (switch, target, settings) = (switch.to_owned(), target.clone(), settings.clone());
            thread::spawn(move || serve(&switch, &target, &settings, &tell));
            addresses.push(told.recv().expect("a relay"));
        }
        Relays { settings, addresses }
    }

    /// Where they listen, in the order of what they lead to.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &str> {
        self.addresses.iter().map(String::as_str)
    }

    /// How long bytes take from now on, each way.
    pub(super) fn delay(&self, milliseconds: u64) {
        self.settings.delay_ms.store(milliseconds, Ordering::Relaxed);
    }

    /// Bytes that were carried so far.
    pub(super) fn carried(&self) -> u64 {
        self.settings.carried.load(Ordering::Relaxed)
    }
}

/// A thread's sockets are of the namespace that it is in.
fn enter(switch: &str) {
    let namespace = File::open(format!("/run/netns/{switch}")).unwrap();
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

fn serve(switch: &str, target: &str, settings: &Arc<Settings>, tell: &Sender<String>) {
    enter(switch);
    let listener = TcpListener::bind("10.0.0.254:0").unwrap();
    tell.send(listener.local_addr().unwrap().to_string()).unwrap();
    for near in listener.incoming() {
        // The member may be down: whoever has dialled sees that the connection ends.
        let (Ok(near), Ok(far)) = (near, TcpStream::connect(target)) else { continue };
        let both = near.set_nodelay(true).and_then(|()| far.set_nodelay(true));
        let copies = both.and_then(|()| Ok((near.try_clone()?, far.try_clone()?)));
        let Ok((near_out, far_out)) = copies else { continue };
        carry(near, far_out, settings.clone());
        carry(far, near_out, settings.clone());
    }
}

/// Carries what comes from one to the other, which gets it later.
fn carry(from: TcpStream, to: TcpStream, settings: Arc<Settings>) {
    // What is under way is bounded; a sender that is faster waits, as on a real line.
    let (send, due) = sync_channel::<(Instant, Vec<u8>)>(4096);
    thread::spawn(move || write(&to, &due));
    thread::spawn(move || {
        let mut from = from;
        let mut bytes = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            settings.carried.fetch_add(length as u64, Ordering::Relaxed);
            let delay = Duration::from_millis(settings.delay_ms.load(Ordering::Relaxed));
            if send.send((Instant::now() + delay, bytes[..length].to_vec())).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Read);
    });
}

fn write(to: &TcpStream, due: &Receiver<(Instant, Vec<u8>)>) {
    let mut out = to;
    for (at, bytes) in due {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        if out.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
