//! `cargo xtask bench scale`: how the cost of `summary` grows with the recording.
//!
//! Thirty days of two hosts, one segment a day as `compact` leaves them. The recorder's writer
//! makes them as long as that: it would write a thousand million resets twice otherwise.

use std::fs;
use std::num::NonZeroU32;

use anyhow::{Context, Result, ensure};

use super::super::{conditions, stats::median};
use super::ours::Ours;
use super::plot::{self, Line};
use super::{docs, process, sample};
use crate::print::line;
use crate::workspace;

#[derive(Debug, clap::Args)]
pub(crate) struct ScaleArgs {
    /// Sizes of the samples
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1M,10M,100M,1G")]
    events: Vec<String>,
    /// Measure each this often, and take the median
    #[arg(long, value_name = "R", default_value = "5")]
    rounds: NonZeroU32,
    /// Write the table to docs/analyze.md and the plot to docs/images/scale.svg
    #[arg(long)]
    write_docs: bool,
}

pub(crate) fn run(args: &ScaleArgs) -> Result<()> {
    let ours = Ours::find()?;
    let mut lines = vec![
        conditions::machine()?,
        String::new(),
        "| resets | files | size | `summary` | memory |".to_owned(),
        "|--:|--:|--:|--:|--:|".to_owned(),
    ];
    line(&lines[0])?;
    let (mut times, mut peaks) = (Vec::new(), Vec::new());
    for events in &args.events {
        let data = sample::make_compacted(&ours, &format!("scale-{events}"), &options(events))?;
        let (files, bytes) = sample::size(&data.join("resets"))?;
        // The first one brings the footers into the page cache.
        process::run(ours.command(&data, "summary"))?;
        let (mut seconds, mut memory) = (Vec::new(), 0);
        for _ in 0..args.rounds.get() {
            let run = process::run(ours.command(&data, "summary"))?;
            seconds.push(run.time.as_secs_f64());
            memory = memory.max(run.memory);
        }
        let seconds = median(seconds).unwrap_or(f64::NAN);
        let mib = memory as f64 / (1 << 20) as f64;
        let text = format!(
            "| {events} | {files} | {:.2} GB | {seconds:.3} s | {mib:.0} MiB |",
            bytes as f64 / 1e9
        );
        line(&text)?;
        lines.push(text);
        let resets = number(events).context("not a number of resets")?;
        times.push((resets, seconds));
        peaks.push((resets, mib));
    }
    if args.write_docs {
        ensure!(times.len() > 1, "one size does not make a line: give --events more than once");
        let svg = plot::svg(
            "resets",
            &[
                Line { name: "seconds for summary", points: &times },
                Line { name: "memory, MiB", points: &peaks },
            ],
        );
        let path = workspace::root().join("docs").join("images").join("scale.svg");
        fs::write(&path, svg).with_context(|| format!("write {}", path.display()))?;
        docs::write("bench scale", &lines)?;
    }
    Ok(())
}

fn options(events: &str) -> [&str; 8] {
    ["--events", events, "--days", "30", "--segment", "1d", "--segment-size", "0"]
}

/// `100M` as a number.
fn number(text: &str) -> Option<f64> {
    let (digits, factor) = match text.chars().last()? {
        'k' | 'K' => (&text[..text.len() - 1], 1e3),
        'M' => (&text[..text.len() - 1], 1e6),
        'G' => (&text[..text.len() - 1], 1e9),
        _ => (text, 1.0),
    };
    Some(digits.parse::<f64>().ok()? * factor)
}
