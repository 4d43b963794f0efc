//! What those who package and run the program get: completions, man pages, and what a service
//! manager is told.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::time::Duration;

use crate::harness::{Daemon, Place};

/// The next message to the service manager.
fn heard(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 1024];
    let length = socket.recv(&mut bytes).expect("a message before the patience ends");
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

/// Messages up to one that is `wanted`, that one included.
fn heard_until(socket: &UnixDatagram, wanted: &str) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        all.push(heard(socket));
        if all.last().unwrap() == wanted {
            return all;
        }
    }
}

fn life_as_a_service(socket: &UnixDatagram, notify: &str) {
    let place = Place::new();
    // Only a failed test waits for it.
    socket.set_read_timeout(Some(Duration::from_secs(180))).unwrap();
    let mut command = place.serve();
    command.env("NOTIFY_SOCKET", notify).env("WATCHDOG_USEC", "400000");
    let daemon = Daemon::start(&place, command);
    // What comes before is progress; it is ready only after recovery.
    let before = heard_until(socket, "READY=1");
    assert!(before.contains(&"STATUS=recovers what the data directory holds".to_owned()));
    // The first beat may come before it is ready, or after.
    let leads = |message: &String| message.starts_with("STATUS=leads; ");
    let mut status = before.into_iter().find(leads);
    while status.is_none() {
        let message = heard(socket);
        assert!(message == "WATCHDOG=1" || message.starts_with("STATUS="), "{message}");
        status = Some(message).filter(leads);
    }
    let status = status.unwrap();
    assert!(status.ends_with("1 voters"), "{status}");
    for _ in 0..5 {
        heard_until(socket, "WATCHDOG=1");
    }
    assert_eq!(daemon.terminate().code(), Some(0));
    heard_until(socket, "STOPPING=1");
}

#[test]
fn the_service_manager_is_told_at_a_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    life_as_a_service(&socket, path.to_str().unwrap());
}

#[test]
fn the_service_manager_is_told_at_an_abstract_name() {
    let name = format!("lockstep-packaging-{}", std::process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    life_as_a_service(&socket, &format!("@{name}"));
}

/// Whoever does not start says so in its exit code, and is never taken for ready.
#[test]
fn who_does_not_start_is_not_ready() {
    let place = Place::new();
    let path = place.file("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut command = place.serve();
    command.env("NOTIFY_SOCKET", &path);
    place.write("s.sock", "no socket");
    assert!(Daemon::try_start(&place, command).is_err());
    socket.set_nonblocking(true).unwrap();
    let mut bytes = [0; 1024];
    while let Ok(length) = socket.recv(&mut bytes) {
        assert_ne!(&bytes[..length], b"READY=1");
    }
}

#[test]
fn every_shown_command_can_be_completed_and_has_a_man_page() {
    let place = Place::new();
    let words = ["revoke-keys", "--disablement-for", "--peer-listen", "promote", "check-proof"];
    for shell in ["bash", "fish", "zsh"] {
        let script = place.ok(&format!("completions {shell}"));
        for word in words {
            let word = if shell == "fish" { word.trim_start_matches('-') } else { word };
            assert!(script.contains(word), "{shell} knows no {word}");
        }
        assert!(!script.contains("completions"), "{shell}: it is hidden");
        let file = place.write(&format!("completion.{shell}"), &script);
        // The shell itself says whether it can read it, where it is installed.
        match Command::new(shell).arg("-n").arg(&file).output() {
            Ok(output) => assert!(output.status.success(), "{shell}: {output:?}"),
            Err(error) => assert!(shell != "bash", "{error}"),
        }
    }
    // What bash offers behind `lockstep lock r`.
    let lines = format!(
        ". {}; COMP_WORDS=(lockstep lock r); COMP_CWORD=2; _lockstep lockstep r lock; \
         echo \"${{COMPREPLY[*]}}\"",
        place.file("completion.bash").display()
    );
    let offered = Command::new("bash").args(["-c", &lines]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&offered.stdout), "remove revoke-keys\n", "{offered:?}");
    place.run("completions tcsh").fails(2);

    assert_eq!(place.ok("man man1"), "");
    let pages: Vec<_> = fs::read_dir(place.file("man1")).unwrap().map(|e| e.unwrap()).collect();
    assert!(pages.len() > 50, "{}", pages.len());
    let read = |name: &str| fs::read_to_string(place.file(&format!("man1/{name}.1"))).unwrap();
    assert!(read("lockstep").contains(".TH lockstep 1"));
    assert!(read("lockstep").contains("lockstep\\-lock(1)"));
    assert!(!read("lockstep").contains("completions"));
    let page = read("lockstep-lock-revoke-keys");
    assert!(page.contains("cosign") && page.contains("Example"), "{page}");
    assert!(page.contains("lockstep lock revoke\\-keys"), "{page}");
    let again = place.run("man /proc/nowhere").fails(1);
    assert!(again.starts_with("writing the man pages to /proc/nowhere: "), "{again}");
}
