//! A small language for chains: `G -> A -> B` and, on further lines, `A -> C -> D`.

use std::collections::BTreeMap;

use crate::ids::AumHash;
use crate::lock::signatures::{PrivateKey, Signer};
use crate::lock::{Aum, AumKind, AumSignature, Sealed};

/// Named AUMs, made from text.
///
/// The first name is the genesis. Every other one is a no-op that carries its name, unless
/// `make` says otherwise; all are signed with the one key.
#[derive(Debug, Clone)]
pub struct Chains {
    aums: BTreeMap<String, Sealed>,
    order: Vec<String>,
}

impl Chains {
    /// No-ops as `text` draws them, below `genesis`, signed with `signer`.
    pub fn of(text: &str, genesis: &Sealed, signer: &PrivateKey) -> Self {
        Self::with(text, genesis, signer, |_| None)
    }

    /// As [`of`](Self::of), with `make` giving the AUM of a name; parent and signature are set here.
    pub fn with(
        text: &str,
        genesis: &Sealed,
        signer: &PrivateKey,
        mut make: impl FnMut(&str) -> Option<Aum>,
    ) -> Self {
        let mut chains = Chains { aums: BTreeMap::new(), order: Vec::new() };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut parent: Option<AumHash> = None;
            for name in line.split("->").map(str::trim) {
                if let Some(known) = chains.aums.get(name) {
                    parent = Some(known.hash());
                    continue;
                }
                let aum = match parent {
                    None if chains.aums.is_empty() => genesis.clone(),
                    None => panic!("{name} begins a line but is not known"),
                    Some(parent) => {
                        let mut aum = make(name).unwrap_or_else(|| no_op(name));
                        aum.parent = Some(parent.0.to_vec());
                        signed(aum, signer)
                    }
                };
                parent = Some(aum.hash());
                chains.aums.insert(name.to_owned(), aum);
                chains.order.push(name.to_owned());
            }
        }
        chains
    }

    /// The AUM of that name.
    pub fn aum(&self, name: &str) -> &Sealed {
        self.aums.get(name).unwrap_or_else(|| panic!("no AUM {name}"))
    }

    /// Several by name, separated by spaces, in that order.
    pub fn aums(&self, names: &str) -> Vec<Sealed> {
        names.split_whitespace().map(|name| self.aum(name).clone()).collect()
    }

    /// All but the genesis, parents first.
    pub fn all(&self) -> Vec<Sealed> {
        self.order.iter().skip(1).map(|name| self.aum(name).clone()).collect()
    }

    /// The name of an AUM, for messages.
    pub fn name(&self, hash: AumHash) -> Option<&str> {
        self.aums.iter().find(|(_, aum)| aum.hash() == hash).map(|(name, _)| name.as_str())
    }
}

fn no_op(name: &str) -> Aum {
    let mut aum = Aum::new(AumKind::NO_OP, None);
    // Without a difference, two no-ops of one parent would be one AUM.
    aum.key_id = Some(name.as_bytes().to_vec());
    aum
}

fn signed(mut aum: Aum, signer: &PrivateKey) -> Sealed {
    let signature = signer.sign(&aum.sig_hash().0);
    aum.signatures.push(AumSignature {
        key_id: Some(signer.public().0.to_vec()),
        signature: Some(signature.to_vec()),
    });
    Sealed::new(aum)
}

#[cfg(test)]
mod tests {
    use super::super::{genesis, key};
    use super::*;

    #[test]
    fn lines_continue_what_earlier_ones_named() {
        let signer = key(1);
        let root = genesis(1, &[(&signer, 1)]);
        let chains = Chains::of("G -> A -> B\n A -> C", &root, &signer);
        let parent = |name| chains.aum(name).parent_hash().unwrap();
        assert_eq!(parent("A"), root.hash());
        assert_eq!(parent("B"), chains.aum("A").hash());
        assert_eq!(parent("C"), chains.aum("A").hash());
        assert_eq!(chains.name(parent("C")), Some("A"));
        assert_eq!(chains.all(), chains.aums("A B C"));
    }
}
