//! `lock submit`: what was signed on another machine comes in.

use data_encoding::HEXLOWER;
use replica::local_api::bodies::{MAX_SIGNING_BYTES, SignedRequest};
use sha2::{Digest, Sha256};

use super::Session;
use crate::args::Submit;
use crate::commands::change::{Done, Request};
use crate::commands::words::bounded_file;
use crate::exit::Failure;

pub(super) fn run(args: &Submit, session: &Session) -> Result<(), Failure> {
    let bytes = bounded_file(&args.file, MAX_SIGNING_BYTES as u64);
    let mut request = Request::new(&args.change)?;
    if let (Ok(bytes), false) = (&bytes, request.named) {
        // The same file is the same request, so that submitting it again is safe.
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        request.id = format!("signed-{}", HEXLOWER.encode(&digest[..16]));
    }
    let result = bytes.and_then(|bytes| submit(args, &bytes, &request, session));
    request.conclude(result).map(drop)
}

fn submit(
    args: &Submit,
    bytes: &[u8],
    request: &Request,
    session: &Session,
) -> Result<Done, Failure> {
    let signed: SignedRequest = serde_json::from_slice(bytes).map_err(|error| {
        Failure::new(format!("{} is no signed request: {error}", args.file.display()))
            .remedy("Give the file that 'lockstep key sign' wrote.")
    })?;
    let changed = session.wait(session.client.signed(&signed, &request.asked()));
    let changed = changed.map_err(|error| {
        let overtaken = error.overtaken();
        let failure = request.failed(error);
        if overtaken {
            failure.remedy("Export it again, and sign what it is now.")
        } else {
            failure
        }
    })?;
    Ok(Done { receipt: changed.receipt, node: None })
}
