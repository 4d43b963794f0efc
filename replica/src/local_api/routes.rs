//! Which endpoints there are, who may call them, how, and with how large a body.

use hyper::Method;
use ledger::formats::tlog::Tile;

use super::Permission;
use super::bodies::{MAX_ADOPTION_BYTES, MAX_SIGNING_BYTES};

/// An endpoint below `/localapi/v0/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    MachineStatus,
    LockStatus,
    Log,
    Init,
    Modify,
    Sign,
    Disable,
    AffectedSignatures,
    VerifyDeeplink,
    WrapAuthKey,
    Identity,
    Records,
    Checkpoint,
    Tile(Tile),
    Record(u64),
    EpochLog,
    Epochs,
    Request(String),
    RemoveKeys,
    Unsigned,
    Signed,
    GenerateRevocation,
    CosignRevocation,
    SubmitRevocation,
    Revocations,
    RevocationShow,
    RevocationOpen,
    RevocationSign,
    RevocationFinish,
    RevocationWithdraw,
    Nodes,
    NodeShow,
    NodeAdd,
    NodeRotate,
    NodeRemove,
    AuthKeys,
    AuthKeyCreate,
    AuthKeyRevoke,
    CheckSecret,
    LocalDisable,
    LocalEnable,
    MachineMap,
    MachineBootstrap,
    MachineOffer,
    MachineSend,
    Acknowledgements,
    Adoption,
    AdoptionBegin,
    AdoptionAums,
    AdoptionEnd,
    AdoptionUnknown,
    AdoptionObserve,
    AdoptionNode,
    Group,
    GroupInvite,
    GroupApprove,
    GroupPromote,
    GroupDemote,
    GroupRemove,
    GroupLeader,
}

/// What an endpoint asks of its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Demands {
    pub(super) method: Method,
    pub(super) permission: Permission,
    /// What a caller without the permission is told; the original's sentence where there is one.
    pub(super) denial: &'static str,
    /// Bytes of the body, at most.
    pub(super) max_body: usize,
}

/// Bytes of a JSON body: 512 keys of the largest size fit.
const JSON: usize = 1 << 20;
/// Bytes of an AUM: no larger one fits into a record.
const AUM: usize = 1 << 20;
/// Bytes of a JSON body with an AUM in it as base64.
const BLOB: usize = 2 << 20;
/// Bytes of a small JSON body.
const SMALL: usize = 64 << 10;
/// Bytes of a disablement secret (spec 12.8).
const SECRET: usize = 1 << 20;
/// Bytes of an auth key to be wrapped and the key that signs its credential (spec 12.8).
const WRAP: usize = 12 << 10;
/// Bytes of a key ID (spec 12.8).
const KEY_ID: usize = 2048;

impl Endpoint {
    /// The endpoint of a path; the original serves no path with a slash at its end.
    pub(super) fn of(path: &str) -> Option<Self> {
        use Endpoint as E;
        let path = path.strip_prefix("/localapi/v0/")?;
        if let Some(id) = path.strip_prefix("lockstep/requests/") {
            return Some(E::Request(id.to_owned()));
        }
        // Below `lockstep/` as below any prefix of a log.
        if let Some(tile) = path.strip_prefix("lockstep/").and_then(|path| path.parse().ok()) {
            return Some(E::Tile(tile));
        }
        if let Some(text) = path.strip_prefix("lockstep/record/") {
            let index = text.parse::<u64>().ok()?;
            return (index.to_string() == text).then_some(E::Record(index));
        }
        Some(match path {
            "status" => E::MachineStatus,
            "tka/status" => E::LockStatus,
            "tka/log" => E::Log,
            "tka/init" => E::Init,
            "tka/modify" => E::Modify,
            "tka/sign" => E::Sign,
            "tka/disable" => E::Disable,
            "tka/affected-sigs" => E::AffectedSignatures,
            "tka/verify-deeplink" => E::VerifyDeeplink,
            "tka/force-local-disable" => E::LocalDisable,
            "tka/wrap-preauth-key" => E::WrapAuthKey,
            "tka/generate-recovery-aum" => E::GenerateRevocation,
            "tka/cosign-recovery-aum" => E::CosignRevocation,
            "tka/submit-recovery-aum" => E::SubmitRevocation,
            "lockstep/identity" => E::Identity,
            "lockstep/records" => E::Records,
            "lockstep/checkpoint" => E::Checkpoint,
            "lockstep/log" => E::EpochLog,
            "lockstep/epochs" => E::Epochs,
            "lockstep/remove" => E::RemoveKeys,
            "lockstep/unsigned" => E::Unsigned,
            "lockstep/signed" => E::Signed,
            "lockstep/revocations" => E::Revocations,
            "lockstep/revocations/show" => E::RevocationShow,
            "lockstep/revocations/open" => E::RevocationOpen,
            "lockstep/revocations/sign" => E::RevocationSign,
            "lockstep/revocations/finish" => E::RevocationFinish,
            "lockstep/revocations/withdraw" => E::RevocationWithdraw,
            "lockstep/nodes" => E::Nodes,
            "lockstep/nodes/show" => E::NodeShow,
            "lockstep/nodes/add" => E::NodeAdd,
            "lockstep/nodes/rotate" => E::NodeRotate,
            "lockstep/nodes/remove" => E::NodeRemove,
            "lockstep/authkeys" => E::AuthKeys,
            "lockstep/authkeys/create" => E::AuthKeyCreate,
            "lockstep/authkeys/revoke" => E::AuthKeyRevoke,
            "lockstep/check-disablement" => E::CheckSecret,
            "lockstep/local-enable" => E::LocalEnable,
            "lockstep/machine/map" => E::MachineMap,
            "lockstep/machine/bootstrap" => E::MachineBootstrap,
            "lockstep/machine/sync/offer" => E::MachineOffer,
            "lockstep/machine/sync/send" => E::MachineSend,
            "lockstep/acknowledgements" => E::Acknowledgements,
            "lockstep/adoption" => E::Adoption,
            "lockstep/adoption/begin" => E::AdoptionBegin,
            "lockstep/adoption/aums" => E::AdoptionAums,
            "lockstep/adoption/end" => E::AdoptionEnd,
            "lockstep/adoption/unknown" => E::AdoptionUnknown,
            "lockstep/adoption/observe" => E::AdoptionObserve,
            "lockstep/adoption/node" => E::AdoptionNode,
            "lockstep/group" => E::Group,
            "lockstep/group/invite" => E::GroupInvite,
            "lockstep/group/approve" => E::GroupApprove,
            "lockstep/group/promote" => E::GroupPromote,
            "lockstep/group/demote" => E::GroupDemote,
            "lockstep/group/remove" => E::GroupRemove,
            "lockstep/group/transfer-leader" => E::GroupLeader,
            _ => return None,
        })
    }

    /// What it asks of its caller.
    pub(super) fn demands(&self) -> Demands {
        use Endpoint as E;
        let read = |method, max_body| Demands {
            method,
            permission: Permission::Read,
            denial: "",
            max_body,
        };
        let write = |denial, max_body| Demands {
            method: Method::POST,
            permission: Permission::Write,
            denial,
            max_body,
        };
        match self {
            E::MachineStatus
            | E::LockStatus
            | E::Log
            | E::Identity
            | E::Records
            | E::Checkpoint
            | E::Tile(_)
            | E::Record(_)
            | E::EpochLog
            | E::Epochs
            | E::Request(_)
            | E::Revocations
            | E::Nodes
            | E::NodeShow
            | E::AuthKeys
            | E::Acknowledgements
            | E::Adoption
            | E::Group => read(Method::GET, 0),
            E::AdoptionUnknown => read(Method::POST, JSON),
            E::MachineBootstrap => read(Method::POST, SMALL),
            E::MachineOffer => read(Method::POST, JSON),
            E::AffectedSignatures => read(Method::POST, KEY_ID),
            E::VerifyDeeplink => read(Method::POST, SMALL),
            E::RevocationShow => read(Method::POST, BLOB),
            E::GenerateRevocation => write("access denied", JSON),
            E::CosignRevocation | E::SubmitRevocation => write("access denied", AUM),
            E::RevocationOpen | E::RevocationSign | E::RevocationFinish => {
                write("tailnet-lock revoke access denied", BLOB)
            }
            E::RevocationWithdraw => write("tailnet-lock revoke access denied", SMALL),
            E::Init => write("lock init access denied", JSON),
            E::Modify | E::RemoveKeys => write("tailnet-lock modify access denied", JSON),
            E::Unsigned | E::Signed => {
                write("tailnet-lock modify access denied", MAX_SIGNING_BYTES)
            }
            E::Sign => write("lock sign access denied", SMALL),
            E::LocalDisable | E::LocalEnable => write("tailnet-lock modify access denied", SMALL),
            E::MachineMap => write("node access denied", SMALL),
            E::MachineSend => write("node access denied", JSON),
            E::Disable | E::CheckSecret => write("tailnet-lock modify access denied", SECRET),
            E::WrapAuthKey => write("tailnet-lock modify access denied", WRAP),
            E::NodeAdd | E::NodeRotate | E::NodeRemove => write("node access denied", SMALL),
            E::AdoptionBegin | E::AdoptionAums | E::AdoptionObserve => {
                write("adoption access denied", MAX_ADOPTION_BYTES)
            }
            E::AdoptionEnd | E::AdoptionNode => write("adoption access denied", SMALL),
            E::AuthKeyCreate | E::AuthKeyRevoke => write("auth key access denied", SMALL),
            E::GroupInvite
            | E::GroupApprove
            | E::GroupPromote
            | E::GroupDemote
            | E::GroupRemove
            | E::GroupLeader => write("cluster access denied", SMALL),
        }
    }
}

/// The first value of a name in a query, percent-decoded; what is no text is not there.
pub(super) fn query(query: Option<&str>, name: &str) -> Option<String> {
    query?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| decode(value))?
    })
}

/// Undoes percent-encoding and `+` for a space.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
                out.push(u8::try_from(high * 16 + low).ok()?);
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_exact() {
        assert_eq!(Endpoint::of("/localapi/v0/tka/status"), Some(Endpoint::LockStatus));
        let tile = "tile/0/x001/067.p/3".parse().unwrap();
        let path = "/localapi/v0/lockstep/tile/0/x001/067.p/3";
        assert_eq!(Endpoint::of(path), Some(Endpoint::Tile(tile)));
        assert_eq!(Endpoint::of("/localapi/v0/lockstep/record/7"), Some(Endpoint::Record(7)));
        for path in [
            "/localapi/v0/lockstep/record/07",
            "/localapi/v0/lockstep/tile/0/7",
            "/localapi/v0/lockstep/tile/0/000.p/0",
            "/localapi/v0/tile/0/000",
        ] {
            assert_eq!(Endpoint::of(path), None, "{path}");
        }
        for path in ["/localapi/v0/tka/status/", "/localapi/v1/tka/status", "/", "tka/status"] {
            assert_eq!(Endpoint::of(path), None, "{path}");
        }
    }

    #[test]
    fn the_first_value_of_a_query_counts() {
        let text = Some("limit=1&limit=2&x=nodekey%3Aab+c&empty&bad=%zz");
        assert_eq!(query(text, "limit").as_deref(), Some("1"));
        assert_eq!(query(text, "x").as_deref(), Some("nodekey:ab c"));
        assert_eq!(query(text, "empty").as_deref(), Some(""));
        assert_eq!(query(text, "bad"), None);
        assert_eq!(query(text, "none"), None);
        assert_eq!(query(None, "limit"), None);
    }
}
