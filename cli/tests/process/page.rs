//! The documentation page of `tailscale lock`, line by line: what it shows is what ours prints,
//! character for character, with our program's name and this machine's keys.

use crate::harness::{Place, node_key, tlpub};

/// An example of the page with other words in the places of its own.
fn filled(example: &str, words: &[(&str, &str)]) -> String {
    let mut text = example.replace("tailscale lock", "lockstep lock");
    for (theirs, ours) in words {
        assert!(text.contains(theirs), "the page has no {theirs}");
        text = text.replace(theirs, ours);
    }
    text
}

const STATUS: &str = "\
Tailnet lock is ENABLED.

This node is accessible under tailnet lock.

This node's tailnet-lock key: tlpub:1234abcdef

Trusted signing keys:
	tlpub:1234abcdef	(us)
";

const LOCKED_OUT: &str = "\
This node is LOCKED OUT by tailnet-lock, and action is required to establish connectivity.
Run the following command on a node with a trusted key:
	tailscale lock sign nodekey:abcdef12 tlpub:11223344
";

/// The page's three fields, and then the node key (our addition, for `lock sign`).
const PEER_LOCKED_OUT: &str =
    " The following nodes are locked out by tailnet lock and cannot connect to other nodes:
	bob.yak-bebop.ts.net.	100.111.222.33, fd7a:115c:a1e0:aabb:ccdd:eeff:0123:4567	n12345CNTRL";

const INIT: &str = "\
You are initializing tailnet lock with the following trusted signing keys:
 - tlpub:1234abcdef (25519 key)

3 disablement secrets have been generated and are printed below. Take note of them now, they WILL NOT be shown again.
	disablement-secret:ABC1234
	disablement-secret:DEF5678
	disablement-secret:GHI9012
Initialization complete.
";

const LOG: &str = "\
update 17310b8e655867d3973a72cd20bc7c21f81f7687b4e7911c285f2eb16df5df36 (checkpoint)
Disablement values:
 - 1234abcd
 - 9876aaaa
 - c1d2e3f4
Keys:
  Type: 25519
  KeyID: 1234abcdef
  Votes: 1
";

#[test]
fn every_example_of_the_page() {
    let place = Place::new();
    let _daemon = place.start();
    let own = place.own_key();

    // The page's example names two flags; without an escrow the second is refused.
    let init = place.ok(&format!("lock init --gen-disablements=3 --confirm {own}"));
    let secrets: Vec<_> = init.lines().filter_map(|line| line.strip_prefix('\t')).collect();
    assert_eq!(secrets.len(), 3);
    for secret in &secrets {
        let digits = secret.strip_prefix("disablement-secret:").unwrap();
        let upper = |c: char| c.is_ascii_digit() || ('A'..='F').contains(&c);
        assert!(digits.len() == 64 && digits.chars().all(upper), "{secret}");
    }
    assert_eq!(
        init,
        filled(
            INIT,
            &[
                ("tlpub:1234abcdef", &own),
                ("disablement-secret:ABC1234", secrets[0]),
                ("disablement-secret:DEF5678", secrets[1]),
                ("disablement-secret:GHI9012", secrets[2]),
            ]
        )
    );

    let status = filled(STATUS, &[("tlpub:1234abcdef", &own)]);
    assert_eq!(place.ok("lock status"), status);
    assert_eq!(place.ok("lock"), status);

    let values: Vec<String> = secrets
        .iter()
        .map(|secret| {
            let digits = secret.strip_prefix("disablement-secret:").unwrap();
            let text = place.ok(&format!("lock disablement-kdf {digits}"));
            text.trim_end().strip_prefix("disablement:").unwrap().to_owned()
        })
        .collect();
    let log = place.ok("lock log");
    let hash = log.split(' ').nth(1).unwrap();
    assert_eq!(hash.len(), 64);
    assert_eq!(
        log,
        // A blank line follows each update.
        filled(
            LOG,
            &[
                ("17310b8e655867d3973a72cd20bc7c21f81f7687b4e7911c285f2eb16df5df36", hash),
                ("1234abcd\n", &format!("{}\n", values[0])),
                ("9876aaaa", &values[1]),
                ("c1d2e3f4", &values[2]),
                ("1234abcdef", own.strip_prefix("tlpub:").unwrap()),
            ]
        ) + "\n"
    );

    // A peer that is locked out comes after the list of trusted keys, behind a blank line.
    place.ok(&format!("node add bob --node-key {}", node_key(1)));
    let peer = filled(
        PEER_LOCKED_OUT,
        &[
            ("bob.yak-bebop.ts.net.", "bob"),
            (
                "100.111.222.33, fd7a:115c:a1e0:aabb:ccdd:eeff:0123:4567",
                "100.64.0.2, fd7a:115c:a1e0::6440:2",
            ),
            ("n12345CNTRL", "n2CNTRL"),
        ],
    );
    let locked_out = format!("{status}\n{peer}\t{}\n", node_key(1));
    assert_eq!(place.ok("lock status"), locked_out);

    // Silent, as there.
    assert_eq!(place.ok(&format!("lock sign {} {}", node_key(1), tlpub(3))), "");
    assert_eq!(place.ok(&format!("lock add {}", tlpub(2))), "");
    assert_eq!(place.ok(&format!("lock add {},{}", tlpub(3), tlpub(4))), "");
    assert_eq!(place.ok(&format!("lock remove {}", tlpub(4))), "");
    assert_eq!(place.ok(&format!("lock remove --resign=false {}", tlpub(3))), "");

    // This node locked out: its own key goes.
    let machine = place.json("node show signer --json")["node_key"].as_str().unwrap().to_owned();
    assert_eq!(place.ok(&format!("lock remove --re-sign=false {own}")), "");
    let block = filled(LOCKED_OUT, &[("nodekey:abcdef12", &machine), ("tlpub:11223344", &own)]);
    let text = place.ok("lock status");
    let want = format!(
        "Tailnet lock is ENABLED.\n\n{block}\nThis node's tailnet-lock key: {own}\n\nTrusted \
         signing keys:\n\t{}\n",
        tlpub(2)
    );
    assert!(text.starts_with(&want), "{text}");

    assert_eq!(place.ok(&format!("lock disable {}", secrets[1])), "");
    assert_eq!(
        place.ok("lock"),
        format!("Tailnet lock is NOT enabled.\n\nThis node's tailnet-lock key: {own}\n\n")
    );
}
