//! `audit demo`: a sample history, made by the real ledger, and its report.

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::process::ExitCode;

use audit::Options;
use audit::demo::stolen_key;
use audit::source::{Detected, detect_stream};

use super::failed;
use crate::args::AuditDemo;
use crate::exit::Failure;
use crate::print;

pub(super) fn run(args: &AuditDemo) -> ExitCode {
    match demo(&args.dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure),
    }
}

fn demo(dir: &Path) -> Result<(), Failure> {
    let writing =
        |error: std::io::Error| Failure::new(format!("writing {}: {error}", dir.display()));
    fs::create_dir_all(dir).map_err(writing)?;
    let story = stolen_key().map_err(|error| Failure::new(format!("making the story: {error}")))?;
    fs::write(dir.join("history.tar"), &story.bundle).map_err(writing)?;
    let name = Path::new("history.tar");
    let detected = detect_stream(Cursor::new(&story.bundle), name);
    let Ok(Detected::Bundle(bundle)) = detected else {
        return Err(Failure::new("the bundle that was made is none; please report this as a bug"));
    };
    let options = Options { chronicle: true, now_ms: story.now_ms, ..Options::default() };
    let report = audit::verify_bundle("history.tar", &bundle, &options).report;
    fs::write(dir.join("report.html"), report.to_html()).map_err(writing)?;
    print::stdout(&format!(
        "{}\n{}\n",
        dir.join("history.tar").display(),
        dir.join("report.html").display()
    ))
}
