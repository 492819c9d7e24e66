//! Writes a sample; `cargo xtask sample-data` runs this program.

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use chrono::{DateTime, NaiveDate, NaiveTime};
use clap::Parser;
use tcprst_sample::{SPOOL_ROW_BYTES, SampleOptions};

const DAY: Duration = Duration::from_secs(86_400);

/// Write a realistic, reproducible recording, through the recorder's store.
#[derive(Debug, Parser)]
#[command(name = "tcprst-sample", version)]
struct Cli {
    /// Number of resets
    #[arg(long, value_name = "N", value_parser = count)]
    events: u64,
    /// Folder to write; it must not contain a recording
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The same seed gives the same rows
    #[arg(long, value_name = "S", default_value = "1")]
    seed: u64,
    /// Start of the recording: a date, or a time in RFC 3339
    #[arg(long, value_name = "TIME", default_value = "2026-10-01", value_parser = time)]
    from: i64,
    /// Days that the recording covers
    #[arg(long, value_name = "D", default_value = "7", value_parser = clap::value_parser!(u32).range(1..=3660))]
    days: u32,
    /// Number of hosts; the 40 containers are spread over them
    #[arg(long, value_name = "H", default_value = "2", value_parser = clap::value_parser!(u16).range(1..=60))]
    hosts: u16,
    /// Seal a segment after this time
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    segment: Duration,
    /// Also seal a segment when its spool would be this large; 0 is no limit
    #[arg(long, value_name = "SIZE", default_value = "16MiB")]
    segment_size: ByteSize,
    /// Write about this many files, each of the same time span and any size
    #[arg(long, value_name = "N", conflicts_with_all = ["segment", "segment_size"], value_parser = clap::value_parser!(u32).range(1..))]
    files: Option<u32>,
    /// Number of threads
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let start = Instant::now();
    match tcprst_sample::run(&cli.options()) {
        Ok(made) => {
            say(format_args!(
                "{} resets written and {} lost, {} segments in {}, {:.1} s; CPU time for each \
                 reset: {} ns to draw it, {} ns to append it to columns, {} ns to encode it, \
                 {} ns to seal its file",
                made.resets,
                made.lost,
                made.segments,
                cli.out.display(),
                start.elapsed().as_secs_f64(),
                made.drawing_ns,
                made.batching_ns,
                made.encoding_ns,
                made.sealing_ns,
            ));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(format_args!("{error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

/// Writes a message on stderr. `eprintln!` would panic if stderr is closed.
fn say(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "tcprst-sample: {text}");
}

impl Cli {
    fn options(&self) -> SampleOptions {
        let span = DAY * self.days;
        let (segment, size) = match self.files {
            // There is at least one file for each host and day: files end at midnight.
            Some(files) => (span * u32::from(self.hosts) / files, 0),
            None => (self.segment, self.segment_size.as_u64()),
        };
        let micros = |time: Duration| time.as_micros() as i64;
        SampleOptions {
            out: self.out.clone(),
            events: self.events,
            seed: self.seed,
            from_us: self.from,
            to_us: self.from + micros(span),
            hosts: self.hosts.into(),
            segment_us: micros(segment).max(1),
            segment_rows: if size == 0 { u64::MAX } else { (size / SPOOL_ROW_BYTES).max(1) },
            jobs: self
                .jobs
                .unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from)),
        }
    }
}

/// Parses a number of events: `100M` is a hundred million.
fn count(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => match text.strip_suffix('M') {
            Some(digits) => (digits, 1_000_000),
            None => match text.strip_suffix('G') {
                Some(digits) => (digits, 1_000_000_000),
                None => (text, 1),
            },
        },
    };
    let number: u64 =
        digits.parse().map_err(|_| "use a number such as 5000, 10k, 100M or 1G".to_owned())?;
    number
        .checked_mul(unit)
        .filter(|n| *n > 0)
        .ok_or_else(|| "must be greater than zero".to_owned())
}

fn time(text: &str) -> Result<i64, String> {
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(date.and_time(NaiveTime::MIN).and_utc().timestamp_micros());
    }
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.timestamp_micros())
        .map_err(|_| "use a time such as 2026-10-01 or 2026-10-01T12:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        assert_eq!(count("100M"), Ok(100_000_000));
        assert!(count("0").is_err() && count("many").is_err());
        assert_eq!(time("2026-10-01"), time("2026-10-01T02:00:00+02:00"));
    }
}
