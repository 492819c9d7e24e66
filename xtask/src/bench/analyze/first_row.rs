//! How soon the first row is there, the start of the process included.

use anyhow::Result;

use super::super::stats::median;
use super::duck::Duck;
use super::ours::Ours;
use super::{process, sample};

/// Any row; the process ends with it, so that its whole life is measured.
const FIRST: &str = "SELECT * FROM resets LIMIT 1";

/// The table.
pub(crate) fn run(ours: &Ours, duck: &Duck, rounds: u32) -> Result<Vec<String>> {
    let few = sample::make("files-10", &["--events", "1M", "--days", "5", "--files", "10"])?;
    let many = sample::make("files-10000", &["--events", "1M", "--days", "5", "--files", "10000"])?;
    let copy = sample::compacted(ours, &many)?;
    let mut lines = vec![
        String::new(),
        "Milliseconds to the first row, the start and the end of the process included:".to_owned(),
        String::new(),
        "| files | DuckDB | tcprst-analyze |".to_owned(),
        "|---|--:|--:|".to_owned(),
    ];
    for (name, data) in [("few", &few), ("many, small", &many), ("these, compacted", &copy)] {
        let (files, _) = sample::size(&data.join("resets"))?;
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..=rounds {
            let commands = [ours.command(data, FIRST), duck.command(data, FIRST)];
            for (times, command) in times.iter_mut().zip(commands) {
                let time = process::run(command)?.time.as_secs_f64() * 1000.0;
                // The first brings the files into the page cache.
                if round > 0 {
                    times.push(time);
                }
            }
        }
        let [ours, duck] = times.map(|times| median(times).unwrap_or(f64::NAN));
        lines.push(format!("| {files} ({name}) | {duck:.1} | {ours:.1} |"));
    }
    Ok(lines)
}
