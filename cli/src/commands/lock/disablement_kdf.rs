//! `lock disablement-kdf`.

use data_encoding::HEXLOWER_PERMISSIVE;
use ledger::lock::disablement::{image, value_to_text};
use zeroize::Zeroizing;

use crate::args::DisablementKdf;
use crate::exit::Failure;
use crate::print;

pub(super) fn run(args: DisablementKdf) -> Result<(), Failure> {
    let words: Vec<_> = args.secret.into_iter().map(Zeroizing::new).collect();
    let [word] = words.as_slice() else {
        return Err(Failure::new(
            "usage: lockstep lock disablement-kdf <hex-encoded-disablement-secret>",
        ));
    };
    let secret = HEXLOWER_PERMISSIVE.decode(word.as_bytes()).map(Zeroizing::new).map_err(|_| {
        Failure::new("parsing the secret: it is not an even number of hex digits")
            .remedy("Give the digits alone, without disablement-secret: before them.")
    })?;
    print::stdout(&format!("{}\n", value_to_text(&image(&secret))))
}
