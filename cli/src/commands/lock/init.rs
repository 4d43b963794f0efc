//! `lock init`.

use std::os::fd::AsFd;

use ledger::limits::{DISABLEMENT_VALUE_BYTES, LABEL_BYTES, MAX_DISABLEMENT_VALUES};
use ledger::lock::disablement::{DisablementText, image, secret_to_text};
use replica::local_api::bodies::{Base64, InitRequest, LockStatus};
use replica::local_api::client::{Asked, ClientError};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::Session;
use crate::args::Init;
use crate::commands::change::{Done, Request, random};
use crate::commands::words::{Voter, can_ask, confirmed, listed, quoted};
use crate::exit::{Code, Failure};
use crate::print;

/// Bytes of a disablement secret.
const SECRET_BYTES: usize = 32;

/// What is to be initialized, checked.
struct Plan {
    keys: Vec<Voter>,
    /// Values of secrets that were made elsewhere.
    values: Vec<[u8; DISABLEMENT_VALUE_BYTES]>,
    /// How many secrets to make.
    secrets: usize,
    /// Whether to make one more, for the escrow.
    support: bool,
    /// Who has the secret of each value, as far as it is said.
    holders: Vec<String>,
}

pub(super) fn run(args: Init, session: &Session) -> Result<(), Failure> {
    let request = Request::new(&args.change)?;
    match init(&args, &request, session) {
        Ok(None) => Ok(()),
        Ok(Some(done)) => {
            request.conclude(Ok(done))?;
            request.say("Initialization complete.\n")
        }
        Err(failure) => request.conclude(Err(failure)).map(drop),
    }
}

/// None if the plan was shown and the user has not agreed to it.
fn init(args: &Init, request: &Request, session: &Session) -> Result<Option<Done>, Failure> {
    let status = session.wait(session.client.lock_status())?;
    let plan = Plan::new(args, &status);
    // Repeated: above all no more secrets are made, which would never be valid.
    if let Ok(plan) = &plan
        && let Some(receipt) = request.earlier(plan.digest(), session)?
    {
        print::note("The disablement secrets are those that this request printed the first time.");
        return Ok(Some(Done { receipt, node: None }));
    }
    if status.enabled {
        return Err(Failure::new("tailnet lock is already enabled")
            .remedy("'lockstep lock status' shows it; 'lockstep lock add' adds keys."));
    }
    let plan = plan?;
    let support = plan.support.then(|| escrow(session)).transpose()?;
    request.say(&plan.text())?;
    if !args.confirm && !agreed(args, request, &plan, session)? {
        return Ok(None);
    }

    let mut secrets = Vec::new();
    for _ in 0..plan.secrets {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        random(&mut *secret)?;
        secrets.push(secret);
    }
    show(&secrets, request)?;
    let mut for_support = Zeroizing::new(Vec::new());
    if let Some(escrow) = &support {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        random(&mut *secret)?;
        for_support.extend_from_slice(&*secret);
        request.say(
            "A disablement secret for Tailscale support has been generated and will be \
             transmitted to Tailscale upon initialization.\n",
        )?;
        print::note(&format!("The support secret goes to {escrow}."));
    }
    let made =
        secrets.iter().map(|secret| &secret[..]).chain(support.iter().map(|_| &for_support[..]));
    let values = plan.values.iter().copied().chain(made.map(image));
    let mut body = InitRequest {
        keys: Some(plan.keys.iter().map(Voter::body).collect()),
        disablement_values: Some(values.map(|v| Some(Base64(v.to_vec()))).collect()),
        support_disablement: support.is_some().then(|| Base64(for_support.to_vec())),
        disablement_holders: Some(plan.holders.clone()).filter(|holders| !holders.is_empty()),
    };
    let asked = Asked { digest: Some(plan.digest()), ..request.asked() };
    let answer = session.wait(session.client.init(&body, &asked));
    if let Some(secret) = &mut body.support_disablement {
        secret.0.zeroize();
    }
    match answer {
        // Somebody has applied this request since we looked: the values on record are not ours.
        Ok(changed) if changed.receipt.repeated => {
            print::note(
                "This request was on record already. The secrets printed above are void; those \
                 that were printed the first time are valid.",
            );
            Ok(Some(Done { receipt: changed.receipt, node: None }))
        }
        Ok(changed) => Ok(Some(Done { receipt: changed.receipt, node: None })),
        Err(error) => {
            let failure = request.failed(error);
            if support.is_some() && failure.code == Code::Unknown {
                print::note("The support secret may be in the escrow.");
            }
            if secrets.is_empty() {
                return Err(failure);
            }
            print::note(if failure.code == Code::Unknown {
                "Keep the disablement secrets printed above: if the lock was initialized, they \
                 are the ones."
            } else {
                "The disablement secrets printed above are void: nothing was initialized."
            });
            Err(failure)
        }
    }
}

/// Where the support secret would go. Not asking first would print secrets that become void.
fn escrow(session: &Session) -> Result<String, Failure> {
    match session.wait(session.client.identity()) {
        Ok(identity) => match identity.support_escrow {
            Some(escrow) => Ok(format!("the escrow {escrow}")),
            None => Err(Failure::new(
                "--gen-disablement-for-support: no escrow is configured that would receive the \
                 secret",
            )
            .remedy(
                "Leave the flag out, or configure one ([support_escrow] in the daemon's \
                 configuration file). For a secret that somebody else keeps, let them run \
                 'lockstep lock disablement-kdf' and give the value that it prints.",
            )),
        },
        Err(ClientError::NeedsLockstep { .. }) => {
            Ok("Tailscale, through the daemon's coordination server".to_owned())
        }
        Err(error) => Err(error.into()),
    }
}

/// Asks on a terminal; elsewhere says how to go on.
fn agreed(args: &Init, request: &Request, plan: &Plan, session: &Session) -> Result<bool, Failure> {
    let support = if plan.support {
        "A disablement secret will be generated and transmitted to Tailscale support.\n"
    } else {
        ""
    };
    request
        .say(&format!("{} disablement secrets will be generated.\n{support}\n", plan.secrets))?;
    if can_ask() && !request.json {
        return confirmed("Initialize tailnet lock? [y/N]", false);
    }
    let mut line = format!("lockstep lock init --confirm --gen-disablements {}", plan.secrets);
    if plan.support {
        line.push_str(" --gen-disablement-for-support");
    }
    for holder in &plan.holders {
        line.push_str(&format!(" --disablement-for {}", quoted(holder)));
    }
    for word in &args.keys {
        line.push(' ');
        line.push_str(&quoted(word));
    }
    if request.named {
        line.push_str(&format!(" --request-id {}", request.id));
    }
    if request.json {
        line.push_str(" --json");
    }
    line.push_str(&session.socket_words());
    request.say(&format!(
        "If this is correct, please re-run this command with the --confirm flag:\n\t{line}\n"
    ))?;
    Ok(false)
}

/// Prints the secrets, and returns only once they are out: to stdout, or to stderr where that
/// belongs to the outcome.
fn show(secrets: &[Zeroizing<[u8; SECRET_BYTES]>], request: &Request) -> Result<(), Failure> {
    let mut text = Zeroizing::new(String::with_capacity(256 + 96 * secrets.len()));
    text.push_str(&format!(
        "{} disablement secrets have been generated and are printed below. Take note of them \
         now, they WILL NOT be shown again.\n",
        secrets.len()
    ));
    for secret in secrets {
        text.push('\t');
        text.push_str(&secret_to_text(&**secret));
        text.push('\n');
    }
    let out = if request.json { print::stderr(&text) } else { print::stdout(&text) };
    out.map_err(|failure| Failure {
        what: format!(
            "the disablement secrets could not be printed; nothing was initialized. {}",
            failure.what
        ),
        ..failure
    })?;
    // If that is a file, a power cut must not leave the lock without its secrets.
    let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
    let out = if request.json { stderr.as_fd() } else { stdout.as_fd() };
    if let Ok(out) = out.try_clone_to_owned() {
        let _ = std::fs::File::from(out).sync_all();
    }
    Ok(())
}

impl Plan {
    fn new(args: &Init, status: &LockStatus) -> Result<Self, Failure> {
        let mut keys = Vec::new();
        let mut values = Vec::new();
        for (place, piece) in (1..).zip(listed(&args.keys)) {
            if piece.starts_with("disablement") {
                values.push(value(place, piece)?);
            } else {
                keys.push((place, piece));
            }
        }
        let keys = Voter::parse_all(keys)?;
        if !keys.iter().any(|voter| voter.key == status.public_key) {
            let failure = Failure::new(
                "the tailnet lock key of the current node must be one of the trusted keys during \
                 initialization",
            );
            return Err(if status.public_key.is_zero() {
                failure.remedy("This node has no tailnet lock key.")
            } else {
                failure.remedy(format!("Add {} to the keys.", status.public_key))
            });
        }
        let at_most = format!("There are at least 1 and at most {MAX_DISABLEMENT_VALUES} in all.");
        let secrets = usize::try_from(args.gen_disablements)
            .ok()
            .filter(|n| *n <= MAX_DISABLEMENT_VALUES)
            .ok_or_else(|| {
                Failure::new(format!(
                    "--gen-disablements: {} disablement secrets cannot be generated",
                    args.gen_disablements
                ))
                .remedy(&at_most)
            })?;
        let support = args.gen_disablement_for_support;
        let all = secrets + values.len() + usize::from(support);
        if !(1..=MAX_DISABLEMENT_VALUES).contains(&all) {
            return Err(
                Failure::new(format!("{all} disablement secrets are not possible")).remedy(at_most)
            );
        }
        let holders = args.disablement_for.clone();
        if holders.len() > values.len() + secrets {
            return Err(Failure::usage(format!(
                "--disablement-for: {} holders for {} disablement secrets",
                holders.len(),
                values.len() + secrets
            )));
        }
        if holders.iter().any(|holder| holder.len() > LABEL_BYTES || holder.contains('\0')) {
            return Err(Failure::usage(format!(
                "--disablement-for: a holder has more than {LABEL_BYTES} bytes, or a zero byte"
            )));
        }
        Ok(Plan { keys, values, secrets, support, holders })
    }

    /// The list of keys, as the page has it.
    fn text(&self) -> String {
        let mut text = String::from(
            "You are initializing tailnet lock with the following trusted signing keys:\n",
        );
        for voter in &self.keys {
            text.push_str(&format!(" - {} (25519 key)\n", voter.key));
        }
        text.push('\n');
        text
    }

    /// Stands for what was asked, without the secrets that are drawn anew each time.
    fn digest(&self) -> [u8; 32] {
        let mut text = format!("lock init\n{}\n", self.secrets);
        if self.support {
            text.push_str("support\n");
        }
        for holder in &self.holders {
            text.push_str(&format!("for {holder:?}\n"));
        }
        for voter in &self.keys {
            text.push_str(&format!("{}?{}\n", voter.key, voter.votes));
        }
        for value in &self.values {
            text.push_str(&ledger::lock::disablement::value_to_text(value));
            text.push('\n');
        }
        Sha256::digest(text).into()
    }
}

/// A disablement value; a secret in its place would be published.
fn value(place: usize, text: &str) -> Result<[u8; DISABLEMENT_VALUE_BYTES], Failure> {
    match DisablementText::parse(text) {
        Ok(DisablementText::Value(value)) => {
            let len = value.len();
            value.try_into().map_err(|_| {
                Failure::new(format!(
                    "parsing disablement {place}: it has {len} bytes, expected \
                     {DISABLEMENT_VALUE_BYTES}"
                ))
            })
        }
        Ok(DisablementText::Secret(_)) => Err(Failure::new(format!(
            "parsing disablement {place}: this is a secret; initializing with it would publish it"
        ))
        .remedy(
            "Give its value, which 'lockstep lock disablement-kdf' computes. Other users of this \
             machine may have seen the command line: better take another secret.",
        )),
        Err(error) => Err(Failure::new(format!("parsing disablement {place}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use ledger::ids::LockKey;

    use super::*;

    const OWN: LockKey = LockKey([7; 32]);

    fn plan(keys: &[&str], secrets: i64) -> Result<Plan, Failure> {
        let args = Init {
            confirm: false,
            gen_disablements: secrets,
            gen_disablement_for_support: false,
            disablement_for: Vec::new(),
            change: crate::args::Change::default(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        };
        Plan::new(&args, &LockStatus { public_key: OWN, ..LockStatus::default() })
    }

    #[test]
    fn the_own_key_is_among_them() {
        let failure = plan(&[], 1).err().unwrap();
        assert!(failure.what.starts_with("the tailnet lock key of the current node must be one"));
        assert_eq!(failure.remedy.unwrap(), format!("Add {OWN} to the keys."));
        let plan = plan(&[&format!("{}?3,{OWN}", LockKey([1; 32]))], 1).unwrap();
        assert_eq!(plan.keys.len(), 2);
        assert_eq!(plan.keys[0].votes, 3);
    }

    #[test]
    fn one_to_32_secrets_and_values() {
        let own = OWN.to_tlpub();
        let value = format!("disablement:{}", "ab".repeat(32));
        assert!(plan(&[&own], 32).is_ok());
        assert!(plan(&[&own, &value], 0).is_ok());
        for (keys, secrets) in [
            (vec![own.as_str()], 0),
            (vec![own.as_str()], -1),
            (vec![own.as_str()], 33),
            (vec![own.as_str(), value.as_str()], 32),
        ] {
            assert!(plan(&keys, secrets).is_err(), "{secrets}");
        }
    }

    #[test]
    fn a_secret_is_not_published() {
        let own = OWN.to_tlpub();
        let failure = plan(&[&own, "disablement-secret:ABCD"], 1).err().unwrap();
        assert!(failure.what.contains("would publish it") && !failure.what.contains("ABCD"));
        let failure = plan(&[&own, "disablement:abcd"], 1).err().unwrap();
        assert_eq!(failure.what, "parsing disablement 2: it has 2 bytes, expected 32");
        let failure = plan(&[&own, "disablement:zz"], 1).err().unwrap();
        assert!(failure.what.starts_with("parsing disablement 2: "));
    }

    #[test]
    fn the_digest_stands_for_what_was_asked() {
        let own = OWN.to_tlpub();
        let digest = |keys: &[&str], n| plan(keys, n).unwrap().digest();
        assert_eq!(digest(&[&own], 1), digest(&[&own], 1));
        assert_ne!(digest(&[&own], 1), digest(&[&own], 2));
        assert_ne!(digest(&[&own], 1), digest(&[&format!("{own}?2")], 1));
    }
}
