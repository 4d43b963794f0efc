//! The daemon's log: lines on stderr.

use tracing::level_filters::LevelFilter;

/// Starts logging. `LOCKSTEP_LOG` sets the level (`error`, `warn`, `info`, `debug`, `trace`; `info`
/// by default), `LOCKSTEP_LOG_FORMAT=json` makes each line a JSON object. Whoever has set up a
/// log of their own keeps it.
pub(super) fn start() {
    let variable = |name| std::env::var(name).unwrap_or_default();
    // Nothing at all would parse as the lowest level.
    let level = Some(variable("LOCKSTEP_LOG")).filter(|text| !text.is_empty());
    let level = level.and_then(|text| text.parse().ok()).unwrap_or(LevelFilter::INFO);
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // A log that cannot be written, as on a full disk, must not stop what it tells about.
        .log_internal_errors(false)
        .with_max_level(level);
    let _ = if variable("LOCKSTEP_LOG_FORMAT") == "json" {
        log.json().try_init()
    } else {
        log.try_init()
    };
}
