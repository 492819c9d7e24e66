//! Notes about what an answer leaves out: losses, gaps in the recording, unknown causes. Each is one
//! line on stderr after the answer, so that the answer does not wait for them.

use std::collections::BTreeMap;
use std::fmt;

use arrow::array::{Array as _, AsArray as _};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use chrono::{DateTime, Days, Utc};
use tcprst_schema::row::STAGE_COUNTED;

use crate::error::Error;
use crate::output::numbers::{counted, length, share, thousands};
use crate::output::stderr;
use crate::query::session::Session;
use crate::reports::{literal, where_clause};
use crate::window::{self, Window};

/// Maximum time between two segments of a continuous recording; a longer one is a gap.
const GAP_US: i64 = 1_000_000;

/// The notes that a report wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Topics {
    unknown: bool,
}

impl Topics {
    pub(crate) const ALL: Self = Self { unknown: true };
    /// Only notes from the footers, which need no scan.
    pub(crate) const COVERAGE: Self = Self { unknown: false };
}

/// One note.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Note {
    Lost { resets: i64, place: &'static str },
    Counted { resets: i64 },
    Nothing { is_whole: bool },
    Gaps { count: usize, length_us: i64, longest: Gap },
    Unknown { resets: i64, of: i64 },
}

/// A time that no segment of a host covers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Gap {
    host: String,
    from_us: i64,
    to_us: i64,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Lost { resets, place } => write!(
                f,
                "note: {} more {} seen in {place} but not recorded (tcprst-analyze losses)",
                thousands(*resets),
                if *resets == 1 { "reset was" } else { "resets were" },
            ),
            Note::Counted { resets } => write!(
                f,
                "note: {} more {} counted in the files of this answer, without a row each \
                 (tcprst-analyze losses)",
                thousands(*resets),
                if *resets == 1 { "reset was" } else { "resets were" },
            ),
            Note::Nothing { is_whole: true } => {
                f.write_str("note: this recording has no readable segment (tcprst-analyze verify)")
            }
            Note::Nothing { is_whole: false } => f.write_str(
                "note: nothing was recorded in this window, nor within a day before or after it \
                 (tcprst-analyze files)",
            ),
            Note::Gaps { count, length_us, longest } => {
                let host = longest.host.escape_debug();
                let (from, to) = (time(longest.from_us), time(longest.to_us));
                match count {
                    1 => write!(f, "note: nothing was recorded on {host} from {from} to {to}"),
                    _ => write!(
                        f,
                        "note: {count} gaps in the recording, {} in all, the longest on {host} \
                         from {from} to {to}",
                        length(*length_us)
                    ),
                }?;
                f.write_str(" (tcprst-analyze files)")
            }
            Note::Unknown { resets, of } => write!(
                f,
                "note: the cause of {} of {} ({}) is unknown (tcprst-analyze explain unknown)",
                thousands(*resets),
                counted(*of, "reset"),
                share(*resets, *of),
            ),
        }
    }
}

fn time(us: i64) -> String {
    DateTime::from_timestamp_micros(us).map_or_else(|| us.to_string(), window::text)
}

/// Reports the resets that an answer from rows leaves out, because they have none.
pub(crate) fn report_left_out(resets: u64) {
    if resets > 0 {
        stderr::tell(&Note::Counted { resets: i64::try_from(resets).unwrap_or(i64::MAX) });
    }
}

/// Reports what the answer over these windows leaves out.
pub(crate) async fn report(
    session: &Session,
    windows: &[Window],
    topics: Topics,
) -> Result<(), Error> {
    for note in find(session, windows, topics).await? {
        stderr::tell(&note);
    }
    Ok(())
}

/// The same for SQL with a window.
pub(crate) async fn report_coverage(session: &Session, window: &Window) -> Result<(), Error> {
    for note in find(session, std::slice::from_ref(window), Topics::COVERAGE).await? {
        stderr::tell(&note);
    }
    Ok(())
}

async fn find(session: &Session, windows: &[Window], topics: Topics) -> Result<Vec<Note>, Error> {
    let mut notes = Vec::new();
    let segments = segments(session, windows).await?;
    if segments.is_empty() {
        notes.push(Note::Nothing { is_whole: windows.iter().any(Window::is_whole) });
    }
    // The table has losses by time; a footer also has those without a key.
    let in_footers = windows.iter().map(|window| lost_within(&segments, window)).sum();
    let lost = lost(session, windows).await?.max(in_footers);
    if lost > 0 {
        notes.push(Note::Lost { resets: lost, place: place(windows) });
    }
    let gaps: Vec<Gap> = windows.iter().flat_map(|window| gaps_in(&segments, window)).collect();
    let length_us = gaps.iter().map(|gap| gap.to_us - gap.from_us).sum();
    let count = gaps.len();
    if let Some(longest) = gaps.into_iter().max_by_key(|gap| gap.to_us - gap.from_us) {
        notes.push(Note::Gaps { count, length_us, longest });
    }
    if topics.unknown {
        let (resets, of) = unknown(session, windows).await?;
        if resets > 0 {
            notes.push(Note::Unknown { resets, of });
        }
    }
    Ok(notes)
}

/// What the windows are of the recording.
fn place(windows: &[Window]) -> &'static str {
    match windows {
        [one] => one.place(),
        _ => "these windows",
    }
}

/// A condition that holds in any of the windows.
fn any(windows: &[Window], conditions: impl Fn(&Window) -> Vec<String>) -> String {
    let each: Vec<String> = windows.iter().map(&conditions).map(|all| all.join(" and ")).collect();
    if each.iter().any(String::is_empty) {
        return String::new();
    }
    where_clause(&[each.iter().map(|one| format!("({one})")).collect::<Vec<_>>().join(" or ")])
}

async fn lost(session: &Session, windows: &[Window]) -> Result<i64, Error> {
    let overlapping = any(windows, |window| window.overlapping("from_time", "to_time"));
    let sql = format!(
        "select sum(case when stage = {} then 0 else count end) from losses {overlapping}",
        literal(STAGE_COUNTED)
    );
    let by_time = integers(session, &sql, 1).await?;
    Ok(by_time.first().and_then(|row| row[0]).unwrap_or_default())
}

async fn unknown(session: &Session, windows: &[Window]) -> Result<(i64, i64), Error> {
    let within = any(windows, |window| window.on("time"));
    let sql = format!(
        "select sum(case when cause = {} then resets else 0 end), sum(resets) from \
         (select cause, count(*) as resets from resets {within} group by cause)",
        literal(tcprst_schema::cause::UNKNOWN)
    );
    let counts = integers(session, &sql, 2).await?;
    let count = |column: usize| counts.first().and_then(|row| row[column]).unwrap_or_default();
    Ok((count(0), count(1)))
}

/// The time that a segment covers; `to_us` is `None` for a live one.
#[derive(Clone, Debug)]
struct CoveredSpan {
    host: String,
    from_us: i64,
    to_us: Option<i64>,
    lost: i64,
}

/// Segments of the windows and of one day before and after. A host without any of these was not
/// recorded at that time, which is not a gap.
async fn segments(session: &Session, windows: &[Window]) -> Result<Vec<CoveredSpan>, Error> {
    let near = any(windows, |window| {
        let since = window.since.and_then(|since| since.checked_sub_days(Days::new(1)));
        let until = window.until.and_then(|until| until.checked_add_days(Days::new(1)));
        Window { since, until }.overlapping("recorded_from", "recorded_to")
    });
    let sql = format!(
        "select host, arrow_cast(recorded_from, 'Int64'), arrow_cast(recorded_to, 'Int64'), \
         coalesce(lost, 0) from files {near}"
    );
    let mut segments = Vec::new();
    for batch in session.collect(&sql).await? {
        let hosts = cast(batch.column(0), &DataType::Utf8View)?;
        let hosts = hosts.as_string_view();
        let [from, to, lost] =
            [1, 2, 3].map(|column| batch.column(column).as_primitive::<Int64Type>());
        segments.extend((0..batch.num_rows()).map(|row| CoveredSpan {
            host: hosts.value(row).to_owned(),
            from_us: from.value(row),
            to_us: to.is_valid(row).then(|| to.value(row)),
            lost: lost.value(row),
        }));
    }
    Ok(segments)
}

fn bounds(window: &Window) -> (Option<i64>, Option<i64>) {
    let us = |time: DateTime<Utc>| time.timestamp_micros();
    (window.since.map(us), window.until.map(us))
}

/// Losses of the segments that are completely within a window.
fn lost_within(segments: &[CoveredSpan], window: &Window) -> i64 {
    let (since, until) = bounds(window);
    let is_within = |segment: &&CoveredSpan| {
        since.is_none_or(|since| segment.from_us >= since)
            && until.is_none_or(|until| segment.to_us.is_some_and(|to| to <= until))
    };
    segments.iter().filter(is_within).map(|segment| segment.lost).sum()
}

/// Gaps between segments of one host, and before the first if the window starts earlier.
fn gaps_in(segments: &[CoveredSpan], window: &Window) -> Vec<Gap> {
    let (since, until) = bounds(window);
    let mut hosts: BTreeMap<&str, Vec<&CoveredSpan>> = BTreeMap::new();
    for segment in segments {
        hosts.entry(&segment.host).or_default().push(segment);
    }
    let mut gaps = Vec::new();
    for (host, mut segments) in hosts {
        segments.sort_by_key(|segment| segment.from_us);
        // The end of the covered time; without `--since`, none before the first segment.
        let mut covered = since;
        for segment in &segments {
            if let Some(covered) = covered
                && segment.from_us > covered
            {
                // Only the part within the window is a gap.
                let from_us = since.map_or(covered, |since| covered.max(since));
                let to_us = until.map_or(segment.from_us, |until| segment.from_us.min(until));
                if to_us - from_us > GAP_US {
                    gaps.push(Gap { host: host.to_owned(), from_us, to_us });
                }
            }
            let end = segment.to_us.unwrap_or(i64::MAX);
            covered = Some(covered.map_or(end, |covered| covered.max(end)));
        }
        // After the last segment there is a gap only if the window has an end.
        if let (Some(covered), Some(until)) = (covered, until) {
            let from_us = since.map_or(covered, |since| covered.max(since));
            if until - from_us > GAP_US && covered < until {
                gaps.push(Gap { host: host.to_owned(), from_us, to_us: until });
            }
        }
    }
    gaps
}

/// Rows of whole numbers.
async fn integers(
    session: &Session,
    sql: &str,
    columns: usize,
) -> Result<Vec<Vec<Option<i64>>>, Error> {
    let mut rows = Vec::new();
    for batch in session.collect(sql).await? {
        let values = (0..columns)
            .map(|column| cast(batch.column(column), &DataType::Int64))
            .collect::<Result<Vec<_>, _>>()?;
        rows.extend((0..batch.num_rows()).map(|row| {
            let value = |column: &arrow::array::ArrayRef| {
                column.is_valid(row).then(|| column.as_primitive::<Int64Type>().value(row))
            };
            values.iter().map(value).collect()
        }));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(host: &str, from: i64, to: Option<i64>) -> CoveredSpan {
        let us = 1_000_000;
        CoveredSpan {
            host: host.to_owned(),
            from_us: from * us,
            to_us: to.map(|to| to * us),
            lost: 1,
        }
    }

    fn window(since: Option<i64>, until: Option<i64>) -> Window {
        let time = |seconds: i64| DateTime::from_timestamp(seconds, 0);
        Window { since: since.and_then(time), until: until.and_then(time) }
    }

    fn found(segments: &[CoveredSpan], window: &Window) -> Vec<(String, i64, i64)> {
        gaps_in(segments, window)
            .into_iter()
            .map(|gap| (gap.host, gap.from_us / 1_000_000, gap.to_us / 1_000_000))
            .collect()
    }

    #[test]
    fn gaps_lie_between_segments_of_one_host_and_within_the_window() {
        let segments = [
            segment("a", 0, Some(100)),
            segment("a", 101, Some(200)),
            segment("a", 300, Some(400)),
            segment("a", 350, None),
            segment("b", 50, Some(500)),
        ];
        let a = |from, to| ("a".to_owned(), from, to);
        let b = |from, to| ("b".to_owned(), from, to);
        assert_eq!(found(&segments, &Window::default()), [a(200, 300)]);
        assert_eq!(found(&segments, &window(Some(210), Some(290))), [a(210, 290)]);
        assert_eq!(found(&segments, &window(Some(60), Some(150))), []);
        assert_eq!(found(&segments, &window(Some(310), None)), []);
        assert_eq!(lost_within(&segments, &Window::default()), 5);
        assert_eq!(lost_within(&segments, &window(Some(50), Some(450))), 2);
        assert_eq!(
            found(&segments, &window(Some(10), Some(600))),
            [a(200, 300), b(10, 50), b(500, 600)]
        );
    }

    #[test]
    fn lines_are_for_people() {
        let gap = Gap { host: "web-1".to_owned(), from_us: 0, to_us: 90_000_000 };
        let note = Note::Gaps { count: 2, length_us: 90_500_000, longest: gap.clone() };
        assert_eq!(
            note.to_string(),
            "note: 2 gaps in the recording, 1 min 30 s in all, the longest on web-1 from \
             1970-01-01T00:00:00Z to 1970-01-01T00:01:30Z (tcprst-analyze files)"
        );
        let note = Note::Unknown { resets: 12, of: 1_234 };
        assert_eq!(
            note.to_string(),
            "note: the cause of 12 of 1,234 resets (1.0 %) is unknown (tcprst-analyze explain unknown)"
        );
        let note = Note::Counted { resets: 1_234 };
        assert_eq!(
            note.to_string(),
            "note: 1,234 more resets were counted in the files of this answer, without a row each \
             (tcprst-analyze losses)"
        );
        let note = Note::Lost { resets: 1, place: place(&[window(Some(1), None)]) };
        assert!(note.to_string().contains("1 more reset was seen in this window"), "{note}");
        let note = Note::Lost { resets: 2, place: place(&[Window::default()]) };
        assert!(note.to_string().contains("2 more resets were seen in this recording"), "{note}");
    }
}
