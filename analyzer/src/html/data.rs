//! The data of the page's script, as JSON.

use std::collections::BTreeMap;

use chrono::Utc;
use serde::Serialize;

use super::batches;
use super::causes::{self, CauseText};
use super::coverage::{self, Coverage, LossKinds, LostTime, Segments};
use super::cube::{Counts, Cube, FoldedKeys};
use super::dictionary::DictionaryEntry;
use super::peers::{self, Peers};
use super::scale::Scale;
use super::source::Source;
use super::stacks::{self, Stacks};
use super::text::visible;
use crate::error::Error;
use crate::output::numbers::counted;

#[derive(Debug, Serialize)]
pub(super) struct Data {
    title: String,
    window: Span,
    bucket: Bucket,
    total: u64,
    causes: Vec<CauseText>,
    containers: Vec<DictionaryEntry<Option<String>>>,
    ports: Vec<DictionaryEntry<Option<i64>>>,
    hosts: Vec<DictionaryEntry<String>>,
    /// Names of services by port.
    services: BTreeMap<i64, String>,
    kernels: Vec<String>,
    cube: Cube,
    stacks: Stacks,
    peers: Peers,
    coverage: Vec<Coverage>,
    losses: LossKinds,
    lost_time: LostTime,
    notes: Vec<String>,
}

/// A span of time in milliseconds, the unit of the script's clock.
#[derive(Debug, Serialize)]
struct Span {
    from: i64,
    to: i64,
}

#[derive(Debug, Serialize)]
struct Bucket {
    start: i64,
    width: i64,
    count: i64,
}

pub(super) async fn gather(source: &Source<'_>, title: &str) -> Result<Data, Error> {
    let segments = Segments::load(source).await?;
    let (from, to) = window(source, &segments).await?;
    let mut counts = Counts::load(source, Scale::covering(from, to)).await?;
    // A host that recorded without a reset belongs on the page, too.
    for host in segments.hosts.keys() {
        counts.keys.hosts.number(host.clone(), 0);
    }
    let (cube, folded, scale) = counts.fit();
    let keys = &counts.keys;
    Ok(Data {
        title: visible(title),
        window: Span { from: from / 1000, to: to / 1000 },
        bucket: Bucket {
            start: scale.first * scale.width_us / 1000,
            width: scale.width_us / 1000,
            count: scale.count,
        },
        total: counts.total(),
        stacks: stacks::load(source, keys, &folded).await?,
        peers: peers::load(source, keys, &folded).await?,
        losses: coverage::losses(source, keys, &folded).await?,
        lost_time: coverage::lost_time(source, scale, keys, &folded).await?,
        coverage: segments.coverage((from, to), keys, &folded),
        kernels: segments.kernels().into_iter().map(str::to_owned).collect(),
        services: services(source, &folded.ports.entries).await?,
        notes: notes(source, &segments, &folded),
        causes: folded
            .causes
            .entries
            .iter()
            .filter_map(value)
            .map(|name| causes::explain(name))
            .collect(),
        containers: shown(folded.containers.entries, |name| name.as_deref().map(visible)),
        hosts: shown(folded.hosts.entries, |name| visible(name)),
        ports: folded.ports.entries,
        cube,
    })
}

fn value<T>(entry: &DictionaryEntry<T>) -> Option<&T> {
    if let DictionaryEntry::Value(value) = entry { Some(value) } else { None }
}

fn shown<T>(entries: Vec<DictionaryEntry<T>>, show: impl Fn(&T) -> T) -> Vec<DictionaryEntry<T>> {
    entries
        .into_iter()
        .map(|entry| match entry {
            DictionaryEntry::Value(value) => DictionaryEntry::Value(show(&value)),
            other @ DictionaryEntry::Other { .. } => other,
        })
        .collect()
}

/// The requested window; a missing end is that of the recording.
async fn window(source: &Source<'_>, segments: &Segments) -> Result<(i64, i64), Error> {
    let sql =
        format!("select min(time) as first, max(time) as last from resets{}", source.within());
    let found = source.collect(&sql).await?;
    let first = batches::single(&found, "first")?;
    let last = batches::single(&found, "last")?.map(|last| last + 1);
    let extent = segments.extent();
    let from = first.into_iter().chain(extent.map(|extent| extent.0)).min();
    let to = last.into_iter().chain(extent.map(|extent| extent.1)).max();
    let now = Utc::now().timestamp_micros();
    let until = source.window.until.map(|time| {
        // The future is not a gap.
        time.timestamp_micros().min(to.unwrap_or(now).max(now))
    });
    let from = source.window.since.map(|time| time.timestamp_micros()).or(from);
    let to = until.or(to);
    let from = from.or(to).unwrap_or(0);
    Ok((from, to.unwrap_or(from).max(from)))
}

/// The services that usually listen on the ports.
async fn services(
    source: &Source<'_>,
    ports: &[DictionaryEntry<Option<i64>>],
) -> Result<BTreeMap<i64, String>, Error> {
    let ports: Vec<String> = ports
        .iter()
        .filter_map(|entry| value(entry).copied().flatten())
        .map(|port| format!("({port})"))
        .collect();
    let mut services = BTreeMap::new();
    if ports.is_empty() {
        return Ok(services);
    }
    let sql = format!(
        "select column1 as port, port_name(column1) as name from (values {})",
        ports.join(", ")
    );
    for batch in source.collect(&sql).await? {
        let names = batches::texts(&batch, "name")?;
        let named = batches::ints(&batch, "port")?.into_iter().zip(names);
        services.extend(named.filter_map(|(port, name)| Some((port?, name?))));
    }
    Ok(services)
}

const PORTS_AND_CONTAINERS: &str = "A port is the service's port, on either side. A container is \
    the owner of the reset, under its name or, without one, under the name of its pod.";

const EXACT: &str = "Filters recount the recorded numbers: nothing is sampled or estimated.";

const WHOLE_SEGMENTS: &str = "Seen, written, counted and lost are totals of the segments that touch the window, not clipped to it.";

/// Notes for the reader on how these numbers were made.
fn notes(source: &Source<'_>, segments: &Segments, keys: &FoldedKeys) -> Vec<String> {
    let mut notes = vec![
        format!(
            "Made by tcprst-analyze {} from {}. This file is complete and loads nothing.",
            env!("CARGO_PKG_VERSION"),
            counted(segments.sealed + segments.live, "segment")
        ),
        PORTS_AND_CONTAINERS.to_owned(),
        EXACT.to_owned(),
    ];
    let folded = [
        (keys.containers.entries.last().and_then(others), "containers"),
        (keys.ports.entries.last().and_then(others), "ports"),
        (keys.hosts.entries.last().and_then(others), "hosts"),
    ];
    for (other, what) in folded {
        if let Some(other) = other {
            notes.push(format!(
                "The {other} rarest {what} are counted together, because the page would be too \
                 large otherwise: use SQL to see each."
            ));
        }
    }
    if source.window.since.is_some() || source.window.until.is_some() {
        notes.push(WHOLE_SEGMENTS.to_owned());
    }
    if segments.counted() > 0 {
        notes.push(format!(
            "{} of storms have no row: they were counted by the minute, and are in every number here \
             but those of kernel stacks and of the other side.",
            counted(segments.counted(), "reset")
        ));
    }
    if segments.live > 0 {
        notes.push(format!(
            "Segments that are still being written: {}. They count as recording until the end of \
             the window, and their losses are known when they are sealed.",
            segments.live
        ));
    }
    notes
}

fn others<T>(entry: &DictionaryEntry<T>) -> Option<usize> {
    if let DictionaryEntry::Other { other } = entry { Some(*other) } else { None }
}
