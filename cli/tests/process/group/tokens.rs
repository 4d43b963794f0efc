//! Tokens that let nobody in.

use ledger::history::ClusterId;
use replica::joining::Token;

use super::harness::Member;
use crate::harness::Daemon;

#[test]
fn a_token_is_good_once_in_time_whole_and_for_its_cluster() {
    let first = Member::founder("alpha");

    // Used by another one.
    let mut second = Member::new("beta");
    let token = first.invites(&second);
    second.join(&token);
    first.is_whole(&["1", "2"]);
    let late = Member::new("late");
    let says = late.is_turned_away(late.joining(&token));
    assert!(says.contains("was used: replica 2 has joined by it"), "{says}");
    assert!(says.contains("lockstep cluster invite"), "{says}");

    // For another one.
    let named = first.invites(&Member::new("somebody"));
    let says = late.is_turned_away(late.joining(&named));
    assert!(says.contains("is for the member key with the fingerprint"), "{says}");

    // Over.
    let token = first.place.ok("cluster invite --expiry 1s");
    first.sees("its end", |status| status["invitations_open"] == 1);
    let says = late.is_turned_away(late.joining(&token));
    assert!(says.contains("has expired"), "{says}");

    // Of another cluster: its members do not let anybody in by it.
    let token = Token::from_text(&first.place.ok("cluster invite")).unwrap();
    let foreign = Token { cluster: ClusterId([7; 16]), ..token };
    let says = late.is_turned_away(late.joining(&foreign.to_text()));
    assert!(says.contains("cluster"), "{says}");
    // Of another group altogether: the secret is unknown here.
    let other = Member::founder("other");
    let theirs = Token::from_text(&other.place.ok("cluster invite")).unwrap();
    let ours = Token::from_text(&first.place.ok("cluster invite")).unwrap();
    let mixed = Token { secret: theirs.secret, ..ours };
    let says = late.is_turned_away(late.joining(&mixed.to_text()));
    assert!(says.contains("is not on record"), "{says}");

    // Damaged, empty, nowhere, or on the command line.
    let token = first.place.ok("cluster invite");
    let damaged = token.trim_end().replace("invite-", "invite-A");
    for (text, why) in [
        (&*damaged, "it was cut off or changed on its way"),
        (&token[..token.len() - 9], "it was cut off or changed on its way"),
        ("", "an invitation begins with lockstep-invite-"),
        ("tskey-auth-x", "an invitation begins with lockstep-invite-"),
    ] {
        let says = late.is_turned_away(late.joining(text));
        assert!(says.contains(why), "{says}");
        assert!(!says.contains("AAAA") && !says.contains(token.trim_end()), "{says}");
    }
    let mut nowhere = late.serve();
    nowhere.args(["--join", "file:none"]);
    assert!(late.is_turned_away(nowhere).contains("the invitation in none: "));
    for word in [token.trim_end(), "invitation", "file:"] {
        let mut command = late.serve();
        command.args(["--join", word]);
        let Err(ran) = Daemon::try_start(&late.place, command) else { panic!("{word}") };
        let stderr = ran.fails(2);
        assert!(stderr.contains("give file:PATH, or - for stdin"), "{stderr}");
        assert!(!stderr.contains(token.trim_end()), "{stderr}");
    }
    // It has got nowhere, and gets in by a good one all the same.
    let mut late = late;
    let token = first.invites(&late);
    late.join(&token);
    first.is_whole(&["1", "2", "3"]);
}
