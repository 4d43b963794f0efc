//! What this process gives up before it opens a data directory. The one place that asks the system
//! for it.

use std::io;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::Limits;

/// What could be given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restricted {
    /// Whether the kernel denies everything but reading below the directory; older ones cannot.
    pub landlock: bool,
}

/// Restricts this process, for good: memory, processor time and open files have limits, no file can
/// grow and no core be dumped; and where the kernel has Landlock, nothing but the directory can be
/// read, nothing written, no connection made and no other process reached.
///
/// # Errors
///
/// When a limit cannot be set. That the kernel has no Landlock is none.
pub fn restrict(dir: &Path, limits: Limits) -> io::Result<Restricted> {
    for (resource, most) in [
        (Resource::As, limits.memory),
        (Resource::Cpu, limits.seconds),
        (Resource::Nofile, limits.files),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
    ] {
        // What the system allows may be less already.
        let now = rustix::process::getrlimit(resource);
        let most = now.maximum.map_or(most, |maximum| maximum.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    let landlock = landlocked(dir).map_err(io::Error::other)?;
    Ok(Restricted { landlock })
}

fn landlocked(dir: &Path) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    let abi = ABI::V6;
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .add_rule(PathBeneath::new(PathFd::new(dir)?, AccessFs::ReadFile | AccessFs::ReadDir))?;
    // Also where there is no Landlock: no program that is run from here gets more rights.
    let status = ruleset.no_new_privs(true).restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}
