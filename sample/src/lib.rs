//! A made-up recording: any number of resets, as they occur on the hosts of a shop, for benches,
//! tests and demonstrations. The same seed gives the same rows.
//!
//! ```text
//! plan       resets of each minute of each host, losses, a pause of the recorder
//! world      hosts and their containers (services); peers: the addresses at the other end
//! templates  a row for each event that can occur (kinds, frames), except its time and ends
//! draw       chooses templates and fills in the rest
//! writer     through the recorder's store into sealed files
//! ```

mod draw;
mod frames;
mod kinds;
mod peers;
mod plan;
mod services;
mod templates;
#[cfg(test)]
mod tests;
mod world;
mod writer;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use fastrand::Rng;

use draw::Draw;
use peers::Peers;
use plan::{Shift, Wanted, plan};
use tcprst_recorder::{Error, Result, store};
use tcprst_schema::paths::spool_dir;
use tcprst_schema::tables::Table;
use tcprst_schema::writer::create_dir;
use templates::Template;
use world::Node;
use writer::{Policy, Writer, Written, cpu_time};

/// Bytes of a row in the spool. They turn a segment's size limit into a number of rows.
pub const SPOOL_ROW_BYTES: u64 = 68;

/// What to make.
#[derive(Clone, Debug)]
pub struct SampleOptions {
    /// Folder of the recording.
    pub out: PathBuf,
    pub events: u64,
    pub seed: u64,
    /// The time that the recording covers, in microseconds since the epoch, UTC.
    pub from_us: i64,
    pub to_us: i64,
    pub hosts: usize,
    /// A segment ends at whole multiples of this time.
    pub segment_us: i64,
    /// A segment also ends with this many rows.
    pub segment_rows: u64,
    /// Number of threads.
    pub jobs: usize,
}

/// Counts of the recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub resets: u64,
    pub lost: u64,
    pub segments: u64,
    /// CPU time of each step, in nanoseconds for each reset.
    pub drawing_ns: u64,
    pub batching_ns: u64,
    pub encoding_ns: u64,
    pub sealing_ns: u64,
}

/// How long before the recording the hosts were booted.
const UP_BEFORE_US: i64 = 41 * 86_400_000_000;

/// Writes a recording. The folder must not contain one.
pub fn run(options: &SampleOptions) -> Result<Summary> {
    let resets = options.out.join(Table::Resets.name());
    if resets.exists() {
        let message =
            format!("{} contains a recording: choose another folder", options.out.display());
        return Err(Error::Usage(message));
    }
    let _lock = store::lock(&options.out)?;
    create_dir(&resets)?;
    create_dir(&spool_dir(&options.out))?;
    let shifts = plan(Wanted {
        events: options.events,
        seed: options.seed,
        from_us: options.from_us,
        to_us: options.to_us,
        nodes: options.hosts,
        segment_us: options.segment_us,
        segment_rows: options.segment_rows,
    });
    let peers = Peers::new(&mut Rng::with_seed(options.seed ^ 0x7065_6572));
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Ok(Written::default()));
    thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                let mut bench = None;
                while let Some(shift) = shifts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let written = work(options, &peers, shift, &mut bench);
                    let Ok(mut done) = done.lock() else { return };
                    match (&mut *done, written) {
                        (Ok(sum), Ok(written)) => sum.add(written),
                        (Ok(_), Err(error)) => *done = Err(error),
                        (Err(_), _) => return,
                    }
                }
            });
        }
    });
    let written = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)?;
    Ok(written.summary())
}

/// A host and its templates, which a thread keeps from one shift to the next.
type Bench = Option<(usize, Node, Vec<Template>)>;

fn work(
    options: &SampleOptions,
    peers: &Peers,
    shift: &Shift,
    bench: &mut Bench,
) -> Result<Written> {
    if bench.as_ref().is_none_or(|(number, ..)| *number != shift.node) {
        let node = world::node(options.seed, shift.node, options.hosts);
        let mut rng = Rng::with_seed(options.seed ^ shift.node as u64);
        let templates = templates::all(&node, &mut rng);
        *bench = Some((shift.node, node, templates));
    }
    let Some((_, node, templates)) = bench else {
        return Ok(Written::default());
    };
    let Some(mut draw) = Draw::new(shift, peers, templates, options.seed) else {
        return Ok(Written::default());
    };
    let policy = Policy { age_us: options.segment_us, rows: options.segment_rows };
    let boot_us = options.from_us - UP_BEFORE_US;
    let mut writer = Writer::new(&options.out, node, shift, policy, boot_us);
    let mut drawn = Vec::new();
    for minute in &shift.minutes {
        let start = cpu_time();
        drawn.clear();
        draw.minute(minute, node, templates, &mut drawn);
        writer.written.making_rows += cpu_time().saturating_sub(start);
        let before = writer.written.files_time();
        let start = cpu_time();
        for event in &drawn {
            let template = &mut templates[usize::from(event.template)];
            event.fill(template, boot_us);
            writer.append(&template.row, event.lost)?;
        }
        let in_files = writer.written.files_time() - before;
        writer.written.batching += cpu_time().saturating_sub(start + in_files);
    }
    writer.close(&draw.totals())
}

impl Written {
    /// CPU time of encoding and sealing.
    fn files_time(&self) -> std::time::Duration {
        self.encoding + self.sealing
    }

    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.lost += other.lost;
        self.files += other.files;
        self.making_rows += other.making_rows;
        self.batching += other.batching;
        self.encoding += other.encoding;
        self.sealing += other.sealing;
    }

    fn summary(self) -> Summary {
        let each =
            |time: std::time::Duration| (time.as_nanos() / u128::from(self.rows.max(1))) as u64;
        Summary {
            resets: self.rows,
            lost: self.lost,
            segments: self.files,
            drawing_ns: each(self.making_rows),
            batching_ns: each(self.batching),
            encoding_ns: each(self.encoding),
            sealing_ns: each(self.sealing),
        }
    }
}
