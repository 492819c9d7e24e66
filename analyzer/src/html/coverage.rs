//! The coverage of the recording: the time that each host's segments cover, the gaps between them,
//! and resets that were seen but lost.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tcprst_schema::row::STAGE_COUNTED;

use super::batches;
use super::cube::{FoldedKeys, Keys};
use super::scale::Scale;
use super::source::{Source, all_of};
use super::text::visible;
use crate::error::Error;
use crate::reports::literal;

/// The longest time between two consecutive segments; a longer one is a gap.
const SEAM_US: i64 = 1_000_000;

/// Gaps narrower than this fraction of the window are counted but not drawn.
const NARROWEST: i64 = 400;

const MAX_LOSSES: usize = 200;

/// The segments of a host.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// From and to, microseconds; a span without an end is still being written.
    spans: Vec<(i64, Option<i64>)>,
    kernels: BTreeSet<String>,
    seen: u64,
    written: u64,
    counted: u64,
    lost: u64,
}

/// The segments that touch the window, by host.
#[derive(Debug, Default)]
pub(super) struct Segments {
    pub(super) hosts: BTreeMap<String, Host>,
    pub(super) sealed: usize,
    pub(super) live: usize,
}

impl Segments {
    pub(super) async fn load(source: &Source<'_>) -> Result<Self, Error> {
        let sql = format!(
            "select host, kernel, recorded_from, recorded_to, seen, written, counted, lost, rows \
             from files{} order by recorded_from",
            all_of(&source.window.overlapping("recorded_from", "recorded_to"))
        );
        let mut segments = Self::default();
        for batch in source.collect(&sql).await? {
            let from = batches::ints(&batch, "recorded_from")?;
            let to = batches::ints(&batch, "recorded_to")?;
            let (seen, lost) = (batches::counts(&batch, "seen")?, batches::counts(&batch, "lost")?);
            let (written, rows) =
                (batches::counts(&batch, "written")?, batches::counts(&batch, "rows")?);
            let counted = batches::counts(&batch, "counted")?;
            let kernels = batches::texts(&batch, "kernel")?;
            for (at, host) in batches::texts(&batch, "host")?.into_iter().enumerate() {
                let host = segments.hosts.entry(host.unwrap_or_default()).or_default();
                host.kernels.extend(kernels[at].as_deref().map(visible));
                host.spans.push((from[at].unwrap_or_default(), to[at]));
                if to[at].is_some() {
                    segments.sealed += 1;
                    host.seen += seen[at];
                    host.written += written[at];
                    host.counted += counted[at];
                    host.lost += lost[at];
                } else {
                    // A live segment has rows, but no account before it is sealed.
                    segments.live += 1;
                    host.seen += rows[at];
                    host.written += rows[at];
                }
            }
        }
        Ok(segments)
    }

    /// From the first start to the last end.
    pub(super) fn extent(&self) -> Option<(i64, i64)> {
        let spans = || self.hosts.values().flat_map(|host| &host.spans);
        let from = spans().map(|(from, _)| *from).min()?;
        let to = spans().map(|(from, to)| to.unwrap_or(*from)).max()?;
        Some((from, to))
    }

    /// Resets of storms.
    pub(super) fn counted(&self) -> u64 {
        self.hosts.values().map(|host| host.counted).sum()
    }

    pub(super) fn kernels(&self) -> Vec<&str> {
        let kernels = self.hosts.values().flat_map(|host| &host.kernels);
        kernels.map(String::as_str).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The hosts for the page; the least covered come first if there are too many to show.
    pub(super) fn coverage(
        &self,
        (from, to): (i64, i64),
        keys: &Keys,
        folded: &FoldedKeys,
    ) -> Vec<Coverage> {
        let mut coverage: Vec<Coverage> = self
            .hosts
            .iter()
            .map(|(name, host)| {
                let covered = covered(&host.spans, from, to);
                Coverage {
                    name: visible(name),
                    host: keys.hosts.entry(&folded.hosts, name).unwrap_or_default(),
                    kernels: host.kernels.iter().cloned().collect(),
                    recorded_ms: covered.iter().map(|(from, to)| to - from).sum::<i64>() / 1000,
                    gaps: gaps(&covered, from, to),
                    spans: drawn(&covered, (to - from) / NARROWEST),
                    seen: host.seen,
                    written: host.written,
                    counted: host.counted,
                    lost: host.lost,
                }
            })
            .collect();
        if coverage.len() > 24 {
            coverage.sort_by_key(|host| host.recorded_ms);
        }
        coverage
    }
}

/// A host for the page; times are milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Coverage {
    name: String,
    host: u32,
    kernels: Vec<String>,
    recorded_ms: i64,
    gaps: usize,
    spans: Vec<(i64, i64)>,
    seen: u64,
    written: u64,
    counted: u64,
    lost: u64,
}

/// The parts of the window that spans cover, with seams closed. A segment still being written
/// covers the time until now, and the window ends no later.
fn covered(spans: &[(i64, Option<i64>)], from: i64, to: i64) -> Vec<(i64, i64)> {
    let mut sorted: Vec<(i64, i64)> = spans
        .iter()
        .map(|(start, end)| ((*start).max(from), end.unwrap_or(to).min(to)))
        .filter(|(start, end)| start < end)
        .collect();
    sorted.sort_unstable();
    let mut covered: Vec<(i64, i64)> = Vec::new();
    for (start, end) in sorted {
        match covered.last_mut() {
            Some(last) if start <= last.1 + SEAM_US => last.1 = last.1.max(end),
            _ => covered.push((start, end)),
        }
    }
    covered
}

fn gaps(covered: &[(i64, i64)], from: i64, to: i64) -> usize {
    let (Some(first), Some(last)) = (covered.first(), covered.last()) else {
        return usize::from(from < to);
    };
    let edges = usize::from(first.0 > from + SEAM_US) + usize::from(last.1 + SEAM_US < to);
    covered.len() - 1 + edges
}

fn drawn(covered: &[(i64, i64)], narrowest: i64) -> Vec<(i64, i64)> {
    let mut drawn: Vec<(i64, i64)> = Vec::new();
    for (start, end) in covered {
        match drawn.last_mut() {
            Some(last) if start - last.1 < narrowest => last.1 = *end,
            _ => drawn.push((*start, *end)),
        }
    }
    drawn.iter().map(|(start, end)| (start / 1000, end / 1000)).collect()
}

/// Kinds of lost resets, the most frequent first.
#[derive(Debug, Default, Serialize)]
pub(super) struct LossKinds {
    rows: Vec<Loss>,
    /// Resets of unlisted kinds.
    left: u64,
}

#[derive(Debug, Serialize)]
struct Loss {
    name: String,
    host: Option<u32>,
    stage: String,
    caller: Option<String>,
    reason: Option<String>,
    port: Option<i64>,
    /// The port's index in the page's list, if listed.
    port_at: Option<u32>,
    n: u64,
}

/// Conditions on the rows of `losses` that were lost in the window.
fn lost_within(source: &Source<'_>) -> Vec<String> {
    let mut conditions = source.window.overlapping("from_time", "to_time");
    conditions.push(format!("stage <> {}", literal(STAGE_COUNTED)));
    conditions
}

pub(super) async fn losses(
    source: &Source<'_>,
    keys: &Keys,
    folded: &FoldedKeys,
) -> Result<LossKinds, Error> {
    let sql = format!(
        "select host, stage, caller, reason, src_port as port, sum(count) as n from losses{} \
         group by host, stage, caller, reason, src_port \
         order by n desc, host, stage, caller, reason, port",
        all_of(&lost_within(source))
    );
    let mut losses = LossKinds::default();
    for batch in source.collect(&sql).await? {
        let stages = batches::texts(&batch, "stage")?;
        let (callers, reasons) =
            (batches::texts(&batch, "caller")?, batches::texts(&batch, "reason")?);
        let (ports, counts) = (batches::ints(&batch, "port")?, batches::counts(&batch, "n")?);
        for (at, host) in batches::texts(&batch, "host")?.into_iter().enumerate() {
            if losses.rows.len() == MAX_LOSSES {
                losses.left += counts[at];
                continue;
            }
            let host = host.unwrap_or_default();
            let port = ports[at];
            losses.rows.push(Loss {
                name: visible(&host),
                host: keys.hosts.entry(&folded.hosts, &host),
                stage: visible(stages[at].as_deref().unwrap_or_default()),
                caller: callers[at].as_deref().map(visible),
                reason: reasons[at].as_deref().map(visible),
                port,
                port_at: port.and_then(|_| keys.ports.entry(&folded.ports, &port)),
                n: counts[at],
            });
        }
    }
    Ok(losses)
}

/// Lost resets by interval and host, for the timeline.
#[derive(Debug, Default, Serialize)]
pub(super) struct LostTime {
    t: Vec<u32>,
    host: Vec<u32>,
    n: Vec<u64>,
}

pub(super) async fn lost_time(
    source: &Source<'_>,
    scale: Scale,
    keys: &Keys,
    folded: &FoldedKeys,
) -> Result<LostTime, Error> {
    let bucket = format!("date_bin({}, from_time)", scale.interval());
    let sql = format!(
        "select {bucket} as bucket, host, sum(count) as n from losses{} group by {bucket}, host",
        all_of(&lost_within(source))
    );
    let mut cells: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    for batch in source.collect(&sql).await? {
        let (times, counts) = (batches::ints(&batch, "bucket")?, batches::counts(&batch, "n")?);
        for (at, host) in batches::texts(&batch, "host")?.into_iter().enumerate() {
            let host = keys.hosts.entry(&folded.hosts, &host.unwrap_or_default());
            if let (Some(time), Some(host)) = (times[at], host) {
                *cells.entry((scale.at(time), host)).or_default() += counts[at];
            }
        }
    }
    let mut lost = LostTime::default();
    for ((t, host), n) in cells {
        lost.t.push(t);
        lost.host.push(host);
        lost.n.push(n);
    }
    Ok(lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seams_are_no_gaps_and_edges_are() {
        let s = SEAM_US;
        let spans = [(10 * s, Some(20 * s)), (20 * s + 5, Some(30 * s)), (40 * s, None)];
        let all = covered(&spans, 0, 100 * s);
        assert_eq!(all, [(10 * s, 30 * s), (40 * s, 100 * s)]);
        assert_eq!(gaps(&all, 0, 100 * s), 2);
        assert_eq!(covered(&spans, 25 * s, 45 * s), [(25 * s, 30 * s), (40 * s, 45 * s)]);
        assert_eq!(gaps(&[], 0, 1), 1);
        assert_eq!(drawn(&all, 11 * s), [(10_000, 100_000)]);
        assert_eq!(drawn(&all, 10 * s).len(), 2);
    }
}
