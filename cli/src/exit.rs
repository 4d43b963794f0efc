//! Why a command ends as it does: exit codes and what stderr says, in one place.
//!
//! 0 done, 1 refused or failed, 2 usage, 4 outcome unknown; `cluster status` adds 3. `audit` has its
//! own codes.

use replica::local_api::client::ClientError;

/// What the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// Refused or failed: nothing was changed by it.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The group has no quorum, or something is wrong in it (`cluster status`).
    Alarm = 3,
    /// The change may or may not have happened.
    Unknown = 4,
}

/// Why a command did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// How the process ends.
    pub(crate) code: Code,
    /// What went wrong; empty when there is nobody left to tell.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) remedy: Option<String>,
}

impl Failure {
    /// Refused or failed.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Failure { code: Code::Failed, what: what.into(), remedy: None }
    }

    /// A wrong command line.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Failure { code: Code::Usage, what: what.into(), remedy: None }
    }

    /// With advice.
    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl From<ClientError> for Failure {
    /// For what only reads; `Request::failed` maps the error of a change.
    fn from(error: ClientError) -> Self {
        let failure = Failure::new(describe(&error));
        match &error {
            ClientError::Connect { source, .. }
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                failure.remedy("Run it as root, or as a member of the socket's group.")
            }
            ClientError::Connect { .. } => failure.remedy(
                "Start the daemon with 'lockstep serve', or name its socket with --socket or \
                 LOCKSTEP_SOCKET.\nOne that waits to be let into its group does not listen yet.",
            ),
            ClientError::NeedsLockstep { .. } => failure
                .remedy("Name the socket of a Lockstep daemon with --socket or LOCKSTEP_SOCKET."),
            ClientError::Status { status: 403, .. } => failure.remedy(
                "Run it as root, or as the operator that the daemon was started with \
                 (lockstep serve --operator).",
            ),
            _ => failure,
        }
    }
}

/// The daemon's words as `tailscale lock` shows them.
fn describe(error: &ClientError) -> String {
    match error {
        ClientError::Status { status: 403, text, .. } => format!("error: Access denied: {text}"),
        // What ours says stands for itself.
        ClientError::Status { text, json: true, .. } => text.clone(),
        ClientError::Status { status_line, text, .. } => format!("error: {status_line}: {text}"),
        error => error.to_string(),
    }
}
