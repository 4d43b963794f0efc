//! `simulations [--worlds all | --world NAME] [--seeds A..B | --seed N] [--trace] [--jobs N]`

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use simulations::runner::{self, MUST_OCCUR, Result as Seed};
use simulations::world::Tally;
use simulations::world::{Kept, TraceHash};
use simulations::worlds::{ALL, NAMED, World};

const USAGE: &str = "\
usage: simulations [--worlds all | --world NAME] [--seeds A..B | --seed N] [--trace] [--jobs N]
                   [--steps LIST] [--calm FAULTS]

  --world NAME     one world; --worlds all (the default) runs every one
  --seeds A..B     seeds A to B-1 (default 0..100); --seed N is N..N+1
  --trace          print what happens
  --jobs N         seeds at once (default: the machine's cores); never changes the trace
  --steps LIST     of one seed: run only these steps, such as 3,7-12
  --calm FAULTS    of one seed: without these kinds of faults, such as loss,rot

with the feature planted:
  --list-plants    the bugs on purpose
  --plant NAME     switch one on, and run seeds until it is found";

/// Seeds from which on the events of every kind must have occurred.
const ENOUGH_SEEDS: u64 = 1000;

/// What was asked for.
struct Asked {
    worlds: Vec<World>,
    seeds: Range<u64>,
    trace: bool,
    jobs: usize,
    kept: Kept,
    plant: Option<String>,
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok(Some(Asked { plant: Some(name), worlds, seeds, .. })) => find(&name, &worlds, seeds),
        Ok(Some(asked)) => simulate(&asked),
        Ok(None) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("simulations: {what}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn parse(args: impl Iterator<Item = String>) -> Result<Option<Asked>, String> {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut asked = Asked {
        worlds: ALL.to_vec(),
        seeds: 0..100,
        trace: false,
        jobs,
        kept: Kept::default(),
        plant: None,
    };
    let mut args = args;
    while let Some(arg) = args.next() {
        let (flag, given) = match arg.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (arg, None),
        };
        let mut value =
            || given.clone().or_else(|| args.next()).ok_or(format!("{flag} needs a value"));
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text} is no number"));
        match flag.as_str() {
            "--help" | "-h" => {
                println!("{USAGE}");
                return Ok(None);
            }
            "--list-plants" => {
                plants::list()?;
                return Ok(None);
            }
            "--plant" => asked.plant = Some(plants::known(&value()?)?),
            "--trace" => asked.trace = true,
            "--worlds" => match value()?.as_str() {
                "all" => asked.worlds = ALL.to_vec(),
                name => asked.worlds = vec![world(name)?],
            },
            "--world" => asked.worlds = vec![world(&value()?)?],
            "--seed" => {
                let seed = number(&value()?)?;
                asked.seeds = seed..seed.checked_add(1).ok_or("no such seed")?;
            }
            "--seeds" => {
                let text = value()?;
                let (from, to) = text.split_once("..").ok_or("--seeds needs A..B")?;
                asked.seeds = number(from)?..number(to)?;
            }
            "--jobs" => asked.jobs = number(&value()?)?.clamp(1, 1024) as usize,
            "--steps" => {
                let steps =
                    Kept::parse_steps(&value()?).ok_or("--steps needs places, as 3,7-12")?;
                asked.kept.steps = Some(steps);
            }
            "--calm" => {
                asked.kept.calm = Kept::parse_calm(&value()?).ok_or("an unknown kind of fault")?;
            }
            _ => return Err(format!("unknown flag {flag}")),
        }
    }
    if asked.seeds.is_empty() {
        return Err("there is no seed to run".into());
    }
    let one = asked.worlds.len() == 1 && asked.seeds.end - asked.seeds.start == 1;
    if asked.kept != Kept::default() && !one {
        return Err("--steps and --calm need --world and --seed".into());
    }
    Ok(Some(asked))
}

fn world(name: &str) -> Result<World, String> {
    let all = || ALL.into_iter().chain(NAMED);
    let names: Vec<&str> = all().map(|world| world.name).collect();
    let found = all().find(|world| world.name == name);
    found.ok_or(format!("there is no world {name}; there are {}", names.join(", ")))
}

/// What the seeds of one world came to.
#[derive(Default)]
struct Row {
    seeds: u64,
    failed: u64,
    time: u64,
    tally: Tally,
}

fn simulate(asked: &Asked) -> ExitCode {
    let began = Instant::now();
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    let mut hashes = Vec::new();
    let mut failed = Vec::new();
    let mut done = |seed: Seed| {
        let row = rows.entry(seed.world.name).or_default();
        row.seeds += 1;
        row.time += seed.ran.time;
        runner::add(&mut row.tally, &seed.ran.tally);
        if asked.trace {
            for line in &seed.lines {
                println!("{} {}  {line}", seed.world.name, seed.seed);
            }
        }
        if let Some(broken) = &seed.ran.broken {
            row.failed += 1;
            eprintln!("world {} seed {}: {broken}", seed.world.name, seed.seed);
        }
        if row.seeds.is_multiple_of(100) {
            let seconds = began.elapsed().as_secs();
            eprintln!("world {}: {} seeds after {seconds} s", seed.world.name, row.seeds);
        }
        hashes.push(seed.hash);
        if seed.ran.broken.is_some() {
            failed.push(seed);
        }
    };
    if asked.kept == Kept::default() {
        runner::run_all(&asked.worlds, asked.seeds.clone(), asked.jobs, asked.trace, &mut done);
    } else {
        done(runner::run(asked.worlds[0], asked.seeds.start, &asked.kept, asked.trace));
    }
    for seed in failed.iter().take(3) {
        replay(seed, &asked.kept);
    }
    let missing = missing(&rows);
    table(&rows, began.elapsed().as_secs_f64());
    for (world, what) in &missing {
        println!("never happened in {world}: {what}");
    }
    println!("trace {}", TraceHash::over(&hashes));
    if failed.is_empty() && missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Switches a bug on, and runs seeds until an invariant breaks.
fn find(name: &str, worlds: &[World], seeds: Range<u64>) -> ExitCode {
    plants::plant(name);
    match runner::first_broken(worlds, seeds) {
        Some(found) => {
            let invariant = found.ran.broken.map_or("", |broken| broken.invariant);
            let (world, seed) = (found.world.name, found.seed);
            println!("found {name} world {world} seed {seed} invariant {invariant}");
        }
        None => println!("not found {name}"),
    }
    ExitCode::FAILURE
}

/// The bugs on purpose.
#[cfg(feature = "planted")]
mod plants {
    use ledger::planted::{Plant, plant as switch_on};

    /// Prints their names.
    pub(super) fn list() -> Result<(), String> {
        for plant in Plant::ALL {
            println!("{}", plant.name());
        }
        Ok(())
    }

    /// The name, if there is such a bug.
    pub(super) fn known(name: &str) -> Result<String, String> {
        let known = Plant::ALL.iter().any(|plant| plant.name() == name);
        if known { Ok(name.to_owned()) } else { Err(format!("there is no plant {name}")) }
    }

    /// Switches the bug of that name on.
    pub(super) fn plant(name: &str) {
        switch_on(Plant::ALL.into_iter().find(|plant| plant.name() == name));
    }
}

/// There are none in this build.
#[cfg(not(feature = "planted"))]
mod plants {
    fn none<T>() -> Result<T, String> {
        Err("no bugs on purpose are in this build: build it with --features planted".into())
    }

    pub(super) fn list() -> Result<(), String> {
        none()
    }

    pub(super) fn known(_: &str) -> Result<String, String> {
        none()
    }

    pub(super) fn plant(_: &str) {}
}

/// How to see a failure again, whole and shrunk.
fn replay(seed: &Seed, kept: &Kept) {
    let command = format!(
        "cargo run --release -p simulations -- --world {} --seed {}",
        seed.world.name, seed.seed
    );
    println!("\nreplay: {command}{kept} --trace");
    if *kept != Kept::default() {
        return;
    }
    if let Some(shrunk) = runner::shrunk(seed.world, seed.seed, &seed.ran) {
        println!("shrunk: {command}{} --trace", shrunk.kept);
        println!("        {}", shrunk.broken);
        for step in &shrunk.steps {
            println!("  {step}");
        }
    }
}

/// What should have happened over so many seeds and did not.
fn missing<'a>(rows: &BTreeMap<&str, Row>) -> Vec<(&'a str, &'a str)> {
    let never = |(world, what): &&(&str, &str)| {
        rows.get(world)
            .is_some_and(|row| row.seeds >= ENOUGH_SEEDS && !row.tally.contains_key(what))
    };
    MUST_OCCUR.iter().filter(never).copied().collect()
}

fn table(rows: &BTreeMap<&str, Row>, seconds: f64) {
    println!("\n{:<16} {:>7} {:>7} {:>14}  happened", "world", "seeds", "failed", "virtual days");
    for (name, row) in rows {
        let days = row.time / simulations::world::clock::DAY;
        println!("{name:<16} {:>7} {:>7} {days:>14}", row.seeds, row.failed);
        for (what, count) in &row.tally {
            println!("{:<48} {count:>9} {what}", "");
        }
    }
    let seeds: u64 = rows.values().map(|row| row.seeds).sum();
    let time: u64 = rows.values().map(|row| row.time).sum();
    let per_minute = seeds as f64 / seconds * 60.0;
    let virtual_seconds = time as f64 / 1000.0 / seconds;
    eprintln!("{per_minute:.0} seeds a minute, {virtual_seconds:.0} virtual seconds a second");
}
