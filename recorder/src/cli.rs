//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Parser, Subcommand};
use tcprst_schema::wire::MAX_FRAMES;

use crate::print::PrintFormat;
use crate::recorder::Options;
use crate::seal::SealPolicy;

/// Records every TCP RST that this host's kernel sends, with the kernel stack that led to it.
///
/// Runs until SIGINT or SIGTERM, then seals what it has and exits 0. Read the recording with
/// tcprst-analyze, or with anything that reads Parquet.
///
/// Exit codes: 0 done, 1 failed, 2 usage, 3 not permitted, 4 kernel unsupported.
#[derive(Debug, Parser)]
#[command(name = "tcprst-record", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub record: Record,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell what this kernel and host can record, site by site, and why not.
    Doctor {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
pub struct Record {
    /// Folder of the recording; created where it is missing.
    #[arg(long, value_name = "DIR", required = true)]
    pub out: Option<PathBuf>,
    /// Seal a segment when its first reset is this old.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    pub rotate_interval: Duration,
    /// Seal a segment when its spool is this large; the sealed file is a fraction of it.
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size)]
    pub rotate_size: u64,
    /// Bring resets to the disk this often: a crash loses at most so much.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub flush_interval: Duration,
    /// Frames of the kernel stack to take, of which two or three are the tracer's own.
    #[arg(long, value_name = "N", default_value_t = 24,
          value_parser = clap::value_parser!(u32).range(4..=MAX_FRAMES as i64))]
    pub stack_depth: u32,
    /// Size of each CPU's ring buffer; a power of two, at least 4KiB.
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = ring_size)]
    pub ring_size: u32,
    /// Stop by itself after this time.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Also print each reset on stdout.
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true,
          default_missing_value = "table")]
    pub print: Option<PrintFormat>,
    /// Also count the RST packets that leave this network namespace, and compare.
    ///
    /// A packet that no kernel function explains is `crafted` or `forwarded`, in the table
    /// `ledger` and in a line at the end. It costs time for each packet of the namespace, resets
    /// or not, and needs CAP_NET_RAW.
    #[arg(long)]
    pub audit: bool,
}

impl Record {
    /// The recorder's options for a recording in `dir`.
    pub fn options(&self, dir: PathBuf) -> Options {
        Options {
            dir,
            policy: SealPolicy { age: self.rotate_interval, bytes: self.rotate_size },
            flush_interval: self.flush_interval,
            stack_depth: self.stack_depth,
            ring_bytes: self.ring_size,
            duration: self.duration,
            audit: self.audit,
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration =
        humantime::parse_duration(text).map_err(|error| format!("{error}: say 10s, 5m or 1h"))?;
    if duration.is_zero() { Err("must be more than nothing".to_owned()) } else { Ok(duration) }
}

fn size(text: &str) -> Result<u64, String> {
    let size: ByteSize = text.parse().map_err(|error| format!("{error}: say 64MiB or 1GiB"))?;
    if size.as_u64() == 0 { Err("must be more than nothing".to_owned()) } else { Ok(size.as_u64()) }
}

/// The kernel asks for a power of two of whole pages (kernel/bpf/ringbuf.c, ringbuf_map_alloc).
fn ring_size(text: &str) -> Result<u32, String> {
    let size = u32::try_from(size(text)?).map_err(|_| "at most 2GiB".to_owned())?;
    if size.is_power_of_two() && size >= 4096 {
        Ok(size)
    } else {
        Err("must be a power of two, at least 4KiB".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_and_times_are_checked() {
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert!(size("0").is_err() && size("many").is_err());
        assert!(ring_size("5000").is_err() && ring_size("1MiB").is_ok());
        assert!(duration("0s").is_err() && duration("soon").is_err());
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
    }
}
