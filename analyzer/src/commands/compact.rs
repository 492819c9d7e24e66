//! `tcprst-analyze compact`: merges small segments into large ones.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use bytesize::ByteSize;

use crate::compact::{Compacted, Policy, compact};
use crate::error::Error;
use crate::outcome::Outcome;
use crate::output;
use crate::output::format::Format;
use crate::output::numbers::parse_size;

#[derive(Clone, Debug, clap::Args)]
#[command(long_about = "\
Merges small segments into large ones, in the order of time, day by day and table by table. \
A recorder and readers can keep running: each folder of a day is replaced in one step, so that \
no reader sees a segment twice or misses one. Segments stay separate if there is a gap in the \
recording between them, or if they differ in host, boot, version or hooks. Prints the days that \
changed.")]
pub(crate) struct Args {
    /// Merge segments up to this size
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = parse_size)]
    target_size: ByteSize,
}

pub(crate) fn run(
    args: &Args,
    dirs: &[PathBuf],
    format: Format,
    out: &mut dyn Write,
) -> Result<Outcome, Error> {
    let policy = Policy { target_bytes: args.target_size.as_u64() };
    let mut done = Vec::new();
    for dir in dirs {
        std::fs::read_dir(dir).map_err(|source| Error::Folder { path: dir.clone(), source })?;
        done.extend(compact(dir, policy)?);
    }
    output::batch(format, &rows(&done)?, out)?;
    Ok(Outcome::Complete)
}

fn rows(done: &[Compacted]) -> Result<RecordBatch, Error> {
    let text = |value: fn(&Compacted) -> &str| -> ArrayRef {
        Arc::new(done.iter().map(|day| Some(value(day))).collect::<StringArray>())
    };
    let number = |value: fn(&Compacted) -> u64| -> ArrayRef {
        Arc::new(done.iter().map(|day| i64::try_from(value(day)).ok()).collect::<Int64Array>())
    };
    Ok(RecordBatch::try_from_iter([
        ("table", text(|day| day.table)),
        ("date", text(|day| &day.date)),
        ("files_before", number(|day| day.files_before as u64)),
        ("files_after", number(|day| day.files_after as u64)),
        ("bytes_before", number(|day| day.bytes_before)),
        ("bytes_after", number(|day| day.bytes_after)),
    ])?)
}
