//! What the files of a recording are called. Printed and parsed here and nowhere else.
//!
//! ```text
//! DIR/resets/date=2026-11-21/HOST-20261121T201819.123456Z-000001.parquet
//! DIR/losses/date=2026-11-21/HOST-20261121T201819.123456Z-000001.parquet
//! DIR/spool/HOST-20261121T201819.123456Z-000001.arrows
//! DIR/spool/HOST-20261121T201819.123456Z-000001.counts
//! ```

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::tables::Table;

/// Extension of a sealed segment.
pub const SEALED: &str = "parquet";
/// Extension of a spool: an Arrow IPC stream.
pub const SPOOL: &str = "arrows";
/// Extension of a spool of counts, which have no rows: an Arrow IPC stream of `resets_per_minute`. Only
/// a segment that saw a storm has one.
pub const COUNTS: &str = "counts";
/// Ending of a file that is being written; no reader looks at it.
pub const PARTIAL: &str = "parquet.tmp";

/// Name of a segment, the same for its spool, its resets and its losses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    host: String,
    first_time_us: i64,
    seq: u32,
}

/// How far a row may be before the first time in the name of its segment: rows of several CPUs are
/// put in order, but a late one may follow.
pub const LATE_US: i64 = 60_000_000;

const DAY_US: i64 = 86_400_000_000;

const TIME_FORMAT: &str = "%Y%m%dT%H%M%S%.6fZ";

impl SegmentName {
    /// `first_time_us` is the time of the first reset in it, or of its start where it has none.
    pub fn new(host: &str, first_time_us: i64, seq: u32) -> Self {
        // A host name is a folder-safe word by RFC 1123; anything else must not climb out.
        let host = host
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '_' })
            .collect::<String>();
        let host = if host.trim_matches('.').is_empty() { "localhost".to_owned() } else { host };
        Self { host, first_time_us, seq }
    }

    pub fn seq(&self) -> u32 {
        self.seq
    }

    /// Host, as the name has it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Time of its first reset, or of its start, microseconds since the epoch, UTC.
    pub fn first_time_us(&self) -> i64 {
        self.first_time_us
    }

    /// End of its day: all its rows are before it.
    pub fn day_end_us(&self) -> i64 {
        (self.first_time_us.div_euclid(DAY_US) + 1) * DAY_US
    }

    /// Whether a row of that time belongs into the segment: one of its day, and not from before its
    /// first time, as after a step of the wall clock. Readers choose segments by their names.
    pub fn can_hold(&self, time_us: i64) -> bool {
        // Compared as numbers: this is asked for each row.
        self.first_time_us.div_euclid(DAY_US) == time_us.div_euclid(DAY_US)
            && time_us >= self.first_time_us.saturating_sub(LATE_US)
    }

    /// The day that the segment belongs to: all its rows are of it.
    pub fn date(&self) -> String {
        DateTime::<Utc>::from_timestamp_micros(self.first_time_us)
            .unwrap_or_default()
            .format("%F")
            .to_string()
    }

    /// Path of the sealed file of a table.
    pub fn sealed(&self, dir: &Path, table: Table) -> PathBuf {
        dir.join(table.name())
            .join(format!("date={}", self.date()))
            .join(format!("{self}.{SEALED}"))
    }

    /// Path of the spool.
    pub fn spool(&self, dir: &Path) -> PathBuf {
        spool_dir(dir).join(format!("{self}.{SPOOL}"))
    }

    /// Path of the spool of counts.
    pub fn counts(&self, dir: &Path) -> PathBuf {
        spool_dir(dir).join(format!("{self}.{COUNTS}"))
    }

    /// Path under which a sealed file is written before it is renamed.
    pub fn partial(&self, dir: &Path, table: Table) -> PathBuf {
        spool_dir(dir).join(format!("{self}.{}.{PARTIAL}", table.name()))
    }

    /// From the name of a file, whatever its extension.
    pub fn of_file(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let end = name.rfind("Z-")? + 2;
        let digits = name[end..].bytes().take_while(u8::is_ascii_digit).count();
        name[..end + digits].parse().ok()
    }
}

/// The folder of what is being written.
pub fn spool_dir(dir: &Path) -> PathBuf {
    dir.join("spool")
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::<Utc>::from_timestamp_micros(self.first_time_us).unwrap_or_default();
        write!(f, "{}-{}-{:06}", self.host, time.format(TIME_FORMAT), self.seq)
    }
}

/// The text is not the name of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a segment name: expected HOST-YYYYMMDDTHHMMSS.ffffffZ-SEQ")]
pub struct NotASegment;

impl FromStr for SegmentName {
    type Err = NotASegment;

    fn from_str(text: &str) -> Result<Self, NotASegment> {
        let mut parts = text.rsplitn(3, '-');
        let (Some(seq), Some(time), Some(host)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NotASegment);
        };
        let time = NaiveDateTime::parse_from_str(time, TIME_FORMAT).map_err(|_| NotASegment)?;
        Ok(Self {
            host: host.to_owned(),
            first_time_us: time.and_utc().timestamp_micros(),
            seq: seq.parse().map_err(|_| NotASegment)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_printed_and_parsed_alike() {
        let name = SegmentName::new("web-1.example", 1_795_292_299_123_456, 7);
        assert_eq!(name.to_string(), "web-1.example-20261121T201819.123456Z-000007");
        assert_eq!(name.to_string().parse(), Ok(name.clone()));
        let dir = Path::new("d");
        for path in
            [name.sealed(dir, Table::Resets), name.spool(dir), name.partial(dir, Table::Losses)]
        {
            assert_eq!(SegmentName::of_file(&path).as_ref(), Some(&name), "{}", path.display());
        }
        assert!(name.sealed(dir, Table::Resets).starts_with("d/resets/date=2026-11-21"));
        assert!(name.can_hold(1_795_305_599_999_999), "the last microsecond of the day");
        assert!(!name.can_hold(1_795_305_600_000_000));
        assert!(name.can_hold(1_795_292_299_123_456 - LATE_US));
        assert!(!name.can_hold(1_795_292_299_123_456 - LATE_US - 1), "the clock was set back");
    }

    #[test]
    fn a_host_name_cannot_climb_out() {
        let name = SegmentName::new("../../etc", 0, 1);
        assert_eq!(name.spool(Path::new("d")).parent(), Some(Path::new("d/spool")));
        assert!("x.parquet".parse::<SegmentName>().is_err());
        assert_eq!(SegmentName::of_file(Path::new("a/x.parquet")), None);
    }
}
