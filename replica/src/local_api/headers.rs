//! The header fields that are ours, and the one host name.

use hyper::header::HeaderValue;

use crate::node::Impaired;

/// What `Host` must say, as tailscaled's clients say it; an empty one passes too.
pub(crate) const HOST: &str = "local-tailscaled.sock";
/// Request and answer: the request ID.
pub(crate) const REQUEST_ID: &str = "lockstep-request-id";
/// Request: digest of verb and arguments as the user asked, 64 hex digits.
pub(crate) const REQUEST_DIGEST: &str = "lockstep-request-digest";
/// Request: the place of this change among those of its request, from 0.
pub(crate) const REQUEST_PART: &str = "lockstep-request-part";
/// Answer: index of the record.
pub(crate) const RECORD_INDEX: &str = "lockstep-record-index";
/// Answer: hash of the record.
pub(crate) const RECORD_HASH: &str = "lockstep-record-hash";
/// Answer: `applied`, `refused` or `unknown`.
pub(crate) const OUTCOME: &str = "lockstep-outcome";
/// Answer: present when the record was there already under the same request ID.
pub(crate) const REPEATED: &str = "lockstep-repeated";
/// Answer of a tailscaled, never of ours: its version.
pub(crate) const TAILSCALED: &str = "tailscale-version";
/// Answer: something to tell the person who asked, though the change was made.
pub(crate) const WARNING: &str = "lockstep-warning";
/// Answer: `true` when it comes from this replica alone, because no majority has answered.
pub(crate) const STALE: &str = "lockstep-stale";
/// Beside it, why no majority was asked, if that is this replica's own trouble ([`because`]).
pub(crate) const STALE_BECAUSE: &str = "lockstep-stale-because";

/// What [`STALE_BECAUSE`] says.
pub(crate) fn because(why: Impaired) -> &'static str {
    match why {
        Impaired::DiskFull => "disk-full",
        Impaired::Damaged => "damaged",
    }
}

/// What such a header says.
pub(crate) fn read_because(value: &HeaderValue) -> Option<Impaired> {
    [Impaired::DiskFull, Impaired::Damaged].into_iter().find(|why| value == because(*why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_an_answer_is_stale_is_read_as_it_was_written() {
        for why in [Impaired::DiskFull, Impaired::Damaged] {
            assert_eq!(read_because(&HeaderValue::from_static(because(why))), Some(why));
        }
        assert_eq!(read_because(&HeaderValue::from_static("something else")), None);
    }
}
