//! bench/: the long chains that are measured give the right answers, too.

use data_encoding::HEXLOWER;
use ledger::ids::{AumHash, LockKey};
use ledger::lock::Sealed;
use ledger::lock::revocation::fork_point;
use ledger::lock::signatures::{OneCore, Unverified, Verified, verify_all};

use crate::files;
use crate::node::{Node, verdict};

fn chain(name: &str) -> Option<Vec<Verified<Sealed>>> {
    let text = String::from_utf8(files::read(name)?).unwrap();
    let aums = text.lines().map(|line| {
        Unverified::new(Sealed::decode(&HEXLOWER.decode(line.as_bytes()).unwrap()).unwrap())
    });
    Some(verify_all(aums.collect(), &OneCore).into_iter().map(Result::unwrap).collect())
}

fn informed(aums: &[Verified<Sealed>]) -> Node {
    let mut node = Node::bootstrap(aums[0].get().clone()).unwrap();
    let informed = node.inform(&aums[1..]).unwrap();
    assert_eq!(informed.stored.len(), aums.len() - 1);
    assert_eq!(node.head(), aums.last().unwrap().get().hash());
    node.reopened().unwrap();
    node
}

#[test]
fn a_chain_of_2000_is_taken_as_a_whole() {
    if let Some(aums) = chain("bench/chain2000.hex") {
        assert_eq!(aums.len(), 2000);
        informed(&aums);
    }
}

#[test]
fn fork_points_of_long_chains() {
    for at in [10, 500, 990] {
        let name = format!("bench/revoke1000-at{at}");
        let Some(aums) = chain(&format!("{name}.hex")) else { continue };
        let params = String::from_utf8(files::read(&format!("{name}.params")).unwrap()).unwrap();
        let param = |key: &str| {
            let line = params.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.trim().to_owned()
        };
        let key = |name: &str| HEXLOWER.decode(param(name).as_bytes()).unwrap();
        let node = informed(&aums);
        let our = LockKey(key("our_key_id_hex").try_into().unwrap());
        let keys = [key("remove_key_id_hex")];
        let found = verdict(fork_point(&node.rows, &node.authority, &keys, &our)).unwrap();
        let expected: AumHash = param("expected_fork_parent_b32").parse().unwrap();
        assert_eq!(found, expected, "{name}");
    }
}
