//! What is to be adopted, and what it rests on.

use std::fmt::Write as _;
use std::path::Path;

use audit::report::Report;
use audit::source::{Aums, Detected, detect, detect_stream};
use audit::trust_anchor::{Anchored, Anchors};
use audit::{History, Options, verified_history};
use ledger::ids::AumHash;
use ledger::lock::Sealed;
use replica::local_api::bodies::AdoptionBody;

use crate::args::Adopt;
use crate::exit::Failure;
use crate::print::line;

/// Findings that are shown before one is asked; the rest is counted.
const SHOWN: usize = 10;

/// A history that was verified, and what is to become of it.
pub(super) struct Plan {
    source: String,
    report: Report,
    pub(super) history: History,
    pub(super) root: Sealed,
    /// Whether its own server goes on deciding it.
    pub(super) followed: bool,
}

impl Plan {
    /// Reads the source that was named.
    pub(super) fn of_source(args: &Adopt, followed: bool) -> Result<Self, Failure> {
        let Some(path) = args.source.as_deref() else {
            return Err(Failure::usage("adopt: no SOURCE"));
        };
        let name = path.to_string_lossy().into_owned();
        let detected = if path == Path::new("-") {
            detect_stream(std::io::stdin().lock(), Path::new("stdin"))
        } else {
            detect(path)
        };
        match detected.map_err(|error| Failure::new(error.to_string()))? {
            Detected::Aums(aums) => Self::of(&name, aums, args, followed),
            Detected::Socket(_) => Err(Failure::new(format!("{name} is a socket")).remedy(
                "Follow the lock of a running tailscaled with --follow, or export it first: \
                     tailscale lock log --json --limit 100000 > export.json",
            )),
            Detected::Backup(_) => Err(Failure::new(format!(
                "{name} is a backup of a Lockstep ledger, which has a history of its own"
            ))
            .remedy("Give an export of the lock that is to be adopted.")),
            Detected::Bundle(_) => Err(Failure::new(format!(
                "{name} is a bundle of a Lockstep ledger, which has a history of its own"
            ))
            .remedy("Give an export of the lock that is to be adopted.")),
            Detected::DataDir(_) => Err(Failure::new(format!(
                "{name} is the data directory of a Lockstep replica, which has a history of its own"
            ))
            .remedy("Export its lock ('lockstep lock log --json --limit 100000') and adopt that.")),
        }
    }

    /// Judges a history; refuses one in which not everything was verified from a root.
    pub(super) fn of(
        name: &str,
        aums: Aums,
        args: &Adopt,
        followed: bool,
    ) -> Result<Self, Failure> {
        let anchors = Anchors {
            genesis: hash("genesis", args.genesis.as_deref())?,
            head: hash("head", args.head.as_deref())?,
            ..Anchors::default()
        };
        let options = Options { anchors, ..Options::default() };
        let (report, history) = verified_history(name, aums, &options);
        let refused = |what: String| {
            Failure::new(format!("{name} cannot be adopted: {what}")).remedy(format!(
                "See 'lockstep audit verify {name}'. Export the whole history: tailscale lock log \
                 --json --limit 100000, or copy the state directory of a tailscaled that was \
                 there from the start."
            ))
        };
        if let Anchored::Contradicted { kind, value, found } = &report.anchored {
            return Err(refused(format!("--{kind} names {value}, and it has {found}")));
        }
        let Some(history) = history else { return Err(refused(why_not(&report))) };
        let Some(root) = history.root().cloned() else {
            return Err(refused("it is empty".to_owned()));
        };
        Ok(Plan { source: name.to_owned(), report, history, root, followed })
    }

    /// Whether an adoption is this one.
    pub(super) fn is(&self, adoption: &AdoptionBody) -> bool {
        adoption.root == self.root.hash().to_string()
            && adoption.head == self.history.head.to_string()
            && adoption.aums == self.history.aums.len() as u64
            && adoption.followed == self.followed
    }

    /// What it rests on.
    pub(super) fn text(&self) -> String {
        let Plan { report, history, root, .. } = self;
        let mut out = String::from(if self.followed {
            "You are about to follow this tailnet lock, which its own server goes on deciding:\n"
        } else {
            "You are about to adopt this tailnet lock, which is changed here from then on:\n"
        });
        let kind = report.kind.map(|kind| format!(" ({kind})")).unwrap_or_default();
        let (id1, id2) = history.state.state_id();
        let beaten = match (history.losing, history.one_branch) {
            (_, true) => "other branches cannot be seen in this source".to_owned(),
            (0, false) => "no branch has lost".to_owned(),
            (1, false) => "1 branch has lost".to_owned(),
            (n, false) => format!("{n} branches have lost"),
        };
        let begins = if history.assumed {
            "assumed: a later checkpoint; what came before it is taken for granted"
        } else {
            "the genesis"
        };
        let _ = writeln!(
            out,
            "  source:   {}{kind}\n  root:     {} ({begins})\n  head:     {}\n  state ID: \
             {id1}:{id2}\n  AUMs:     {}, {} of them on the active branch; {beaten}\n  trusted \
             keys:",
            line(&self.source),
            root.hash(),
            history.head,
            history.aums.len(),
            history.active,
        );
        for key in &report.trusted_keys {
            let votes =
                if key.votes == 1 { String::new() } else { format!("\tvotes {}", key.votes) };
            let _ = writeln!(out, "\t{}{votes}", key.key);
        }
        let vouched = match &report.anchored {
            Anchored::By { kind, value } => format!("{value}, which you named with --{kind}"),
            _ => "nothing from outside. Compare the head with a node that you trust (tailscale \
                  lock log --limit 1), or name it with --head"
                .to_owned(),
        };
        let _ = writeln!(out, "  what vouches for it: {vouched}");
        let findings: Vec<String> = report
            .findings
            .iter()
            .map(|finding| format!("{}: {}", finding.check.id, line(&finding.message)))
            .collect();
        if !findings.is_empty() {
            out.push_str("  what an audit finds odd:\n");
        }
        for finding in findings.iter().take(SHOWN) {
            let _ = writeln!(out, "\t{finding}");
        }
        if findings.len() > SHOWN {
            let _ = writeln!(out, "\t... and {} more", findings.len() - SHOWN);
        }
        out.push('\n');
        out
    }
}

/// The first thing that keeps a history from holding.
fn why_not(report: &Report) -> String {
    if let Anchored::Unknown { kind, value } = &report.anchored {
        return format!("it does not reach back to {value}, which --{kind} names");
    }
    let worst = report.findings.iter().max_by_key(|finding| finding.check.severity);
    match (report.undecided.first(), worst) {
        (Some(reason), _) => reason.clone(),
        (None, Some(finding)) => format!("{} ({})", finding.message, finding.check.id),
        (None, None) => format!("its verdict is {}", report.verdict),
    }
}

fn hash(flag: &str, text: Option<&str>) -> Result<Option<AumHash>, Failure> {
    let Some(text) = text else { return Ok(None) };
    AumHash::from_any(text).map(Some).map_err(|error| {
        Failure::usage(format!("invalid value for -{flag}: {error}"))
            .remedy("Give a hash as 52 base32 characters or 64 hex digits.")
    })
}
