//! What an auditor demands beyond the rules of tailnet lock: a TOML file. What it does not name is
//! not demanded; a key that is not known here is refused.

use std::num::NonZero;

use serde::Deserialize;

/// Bytes of such a file, at most.
pub const MAX_BYTES: u64 = 1 << 20;

/// An auditor's demands. Each section may be left out, and each key in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Policy {
    /// How near limits a history may come.
    pub thresholds: Thresholds,
    /// What is demanded of checkpoints.
    pub checkpoints: Checkpoints,
    /// What is demanded of trusted keys.
    pub keys: Keys,
    /// What is demanded of keys' metadata.
    pub metadata: Metadata,
    /// What is demanded of changes.
    pub changes: Changes,
}

/// `[thresholds]`: how near limits a history may come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Thresholds {
    /// Trusted keys, at most.
    pub trusted_keys: Option<usize>,
    /// AUMs of the active branch, at most.
    pub chain_aums: Option<u64>,
    /// Nodes that may be locked out at the end.
    pub locked_out: Option<u64>,
    /// Levels of a node's signature, at most.
    pub signature_levels: Option<usize>,
}

/// `[checkpoints]`: what is demanded of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Checkpoints {
    /// Keys that have to sign each, the genesis apart.
    pub signatures: Option<NonZero<usize>>,
    /// Disablement values that each has to carry.
    pub disablement_values: Option<usize>,
}

/// `[keys]`: what is demanded of trusted keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Keys {
    /// Days for which a key may be trusted.
    pub max_age_days: Option<u64>,
    /// Days for which a key that was made for an auth key may be trusted.
    pub preauth_max_age_days: Option<u64>,
    /// Trusted keys, at least.
    pub min_trusted: Option<usize>,
    /// Votes of one key, at most.
    pub max_votes: Option<u64>,
}

/// `[metadata]`: what is demanded of keys' metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Metadata {
    /// Names that no key's metadata may have.
    pub forbidden: Vec<String>,
    /// Names that every key's metadata has to have.
    pub required: Vec<String>,
}

/// `[changes]`: what is demanded of changes to the trusted keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Changes {
    /// Whether two keys have to sign each change of the trusted keys.
    pub two_persons: bool,
}

/// Why a file is no policy.
#[derive(Debug, thiserror::Error)]
pub enum BadPolicy {
    /// It is no TOML of this shape.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
}

impl Policy {
    /// Reads a file.
    pub fn parse(text: &str) -> Result<Self, BadPolicy> {
        Ok(toml::from_str(text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The manual's two examples are what it says they are.
    #[test]
    fn the_manuals_examples_are_read() {
        let manual = include_str!("../../docs/audit.md");
        let mut examples =
            manual.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
        let policy = Policy::parse(examples.next().unwrap()).unwrap();
        assert_ne!(policy, Policy::default());
        assert!(crate::accept::Acceptances::parse(examples.next().unwrap()).is_ok());
        assert_eq!(examples.next(), None);
    }

    #[test]
    fn every_key_is_known_and_none_other() {
        let whole = "
            [thresholds]
            trusted-keys = 100
            chain-aums = 1500
            locked-out = 0
            signature-levels = 8
            [checkpoints]
            signatures = 2
            disablement-values = 2
            [keys]
            max-age-days = 365
            preauth-max-age-days = 30
            min-trusted = 2
            max-votes = 1
            [metadata]
            forbidden = ['email']
            required = ['owner']
            [changes]
            two-persons = true";
        let policy = Policy::parse(whole).unwrap();
        assert_eq!(policy.keys.max_age_days, Some(365));
        assert!(policy.changes.two_persons && policy.metadata.forbidden == ["email"]);
        assert_eq!(Policy::parse("").unwrap(), Policy::default());
        for bad in [
            "[threshold]\n",
            "[thresholds]\nkeys = 1\n",
            "[checkpoints]\nsignatures = 0\n",
            "[checkpoints]\nsignatures = -1\n",
            "[keys]\nmax_age_days = 1\n",
            "[changes]\ntwo-persons = 'yes'\n",
            "two-persons = true\n",
        ] {
            assert!(Policy::parse(bad).is_err(), "{bad}");
        }
    }
}
