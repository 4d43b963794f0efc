//! Figures of Lockstep, each measured beside its floor and its rival in the same run.
//!
//! A *floor* is the work that nobody can avoid, done as barely as it goes: so many signatures, one
//! fdatasync. A *rival* is what else one could use: another program's call where one can run
//! here, otherwise the original's figure as it was recorded on a machine of the same class.
//!
//! Floor, rival and ours take turns within each sample, so that a drifting machine drifts for all
//! of them. Each figure ends in a line `ratio FIGURE floor=R rival=R`: ours divided by the other's,
//! the median over all samples; below 1 is faster.
#![allow(clippy::unwrap_used, reason = "without its data a bench has nothing to measure")]

pub mod data;
pub mod floors;
pub mod group;
pub mod histories;
pub mod replicas;
pub mod rivals;

use std::time::{Duration, Instant};

pub use audit::AllCores;
use criterion::Criterion;

use rivals::Rival;

/// What the program has, so that its figures are the program's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A measured piece of work; it returns the time that counts, without its preparation.
pub type Work<'a> = Box<dyn FnMut() -> Duration + 'a>;

/// One figure.
pub struct Figure<'a> {
    /// Its name in the `ratio` line.
    pub name: &'a str,
    /// What one unit is, such as "AUM".
    pub unit: &'static str,
    /// Units that one call of `ours` and of `floor` does.
    pub units: usize,
    /// What is measured.
    pub ours: Work<'a>,
    /// What the floor is, in words, and the floor.
    pub floor: (&'static str, Work<'a>),
    /// What it is compared with.
    pub rival: Rival<'a>,
}

/// The time that `work` takes.
pub fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    let result = std::hint::black_box(work());
    let time = start.elapsed();
    drop(result);
    time
}

/// Measures a figure with criterion and prints its ratios.
pub fn measure(criterion: &mut Criterion, mut figure: Figure<'_>) {
    let mut samples: Vec<[f64; 3]> = Vec::new();
    criterion.bench_function(figure.name, |bencher| {
        bencher.iter_custom(|iterations| {
            let mut total = Duration::ZERO;
            for _ in 0..iterations {
                let floor = (figure.floor.1)();
                let rival = figure.rival.time(figure.units);
                let ours = (figure.ours)();
                samples.push([ours, floor, rival].map(|time| time.as_secs_f64()));
                total += ours;
            }
            total
        });
    });
    // A filter on the command line may have left this figure out.
    if !samples.is_empty() {
        tell(&figure, &samples);
    }
}

/// Measures a figure whose work takes so long that a few turns have to do, and prints its ratios.
pub fn measure_by_turns(turns: usize, mut figure: Figure<'_>) {
    let mut samples = Vec::new();
    for _ in 0..turns {
        let floor = (figure.floor.1)();
        let rival = figure.rival.time(figure.units);
        let ours = (figure.ours)();
        samples.push([ours, floor, rival].map(|time| time.as_secs_f64()));
    }
    tell(&figure, &samples);
}

fn tell(figure: &Figure<'_>, samples: &[[f64; 3]]) {
    let each = |i: usize| {
        show(median(samples.iter().map(|sample| sample[i] / figure.units as f64).collect()))
    };
    let ratio = |i: usize| median(samples.iter().map(|sample| sample[0] / sample[i]).collect());
    println!(
        "figure {}: {} per {}; floor {} ({}); rival {} ({})",
        figure.name,
        each(0),
        figure.unit,
        each(1),
        figure.floor.0,
        each(2),
        figure.rival.what(),
    );
    println!("ratio {} floor={:.2} rival={:.5}", figure.name, ratio(1), ratio(2));
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn show(seconds: f64) -> String {
    match seconds {
        s if s < 1e-6 => format!("{:.0} ns", s * 1e9),
        s if s < 1e-3 => format!("{:.2} us", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}
