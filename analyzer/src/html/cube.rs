//! The numbers that the page filters: resets by interval, cause, container, port and host.
//!
//! The page adds up cells that pass its filters, so that each of its numbers is exact. A dimension
//! that makes the cube too large for a page is made coarser here, and the page says which one.

use std::collections::{BTreeMap, HashMap};

use arrow::array::RecordBatch;
use serde::Serialize;
use tcprst_schema::cause::UNKNOWN;

use super::batches;
use super::dictionary::{Dictionary, Folded};
use super::scale::Scale;
use super::source::{self, Source};
use crate::error::Error;

/// Maximum number of values of one dimension that the page shows one by one.
const MAX_VALUES: usize = 200;

/// Maximum number of combinations of cause, container, port and host, a dozen bytes each.
const MAX_COMBINATIONS: usize = 20_000;

/// Maximum number of counts of a combination in an interval, five bytes each.
const MAX_COUNTS: usize = 300_000;

/// Minimum number of intervals in the timeline, if the window has that many.
const MIN_INTERVALS: i64 = 100;

/// The dimensions that the page filters by, with all values found.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) causes: Dictionary<String>,
    pub(super) containers: Dictionary<Option<String>>,
    pub(super) ports: Dictionary<Option<i64>>,
    pub(super) hosts: Dictionary<String>,
}

/// The dimensions for the page, with rare values folded.
#[derive(Debug)]
pub(super) struct FoldedKeys {
    pub(super) causes: Folded<String>,
    pub(super) containers: Folded<Option<String>>,
    pub(super) ports: Folded<Option<i64>>,
    pub(super) hosts: Folded<String>,
}

/// Cause, container, port and host, as numbers.
pub(super) type CubeKey = [u32; 4];

/// A row of counts from SQL.
#[derive(Debug)]
pub(super) struct KeyRow {
    pub(super) cause: String,
    pub(super) container: Option<String>,
    pub(super) port: Option<i64>,
    pub(super) host: String,
    pub(super) n: u64,
}

/// The rows of a result of [`source::count_by`].
pub(super) fn key_rows(batch: &RecordBatch) -> Result<Vec<KeyRow>, Error> {
    let mut containers = batches::texts(batch, "container_name")?;
    let mut pods = batches::texts(batch, "k8s_pod")?;
    let mut causes = batches::texts(batch, "cause")?;
    let mut hosts = batches::texts(batch, "host")?;
    let ports = batches::ints(batch, "port")?;
    let counts = batches::counts(batch, "n")?;
    let row = |at: usize| KeyRow {
        cause: causes[at].take().unwrap_or_else(|| UNKNOWN.to_owned()),
        container: containers[at].take().or_else(|| pods[at].take()),
        port: ports[at],
        host: hosts[at].take().unwrap_or_default(),
        n: counts[at],
    };
    Ok((0..batch.num_rows()).map(row).collect())
}

/// One count.
#[derive(Clone, Copy, Debug)]
struct CountedRow {
    at_us: i64,
    key: CubeKey,
    n: u64,
}

/// All counts of the window, on the finest scale.
#[derive(Debug)]
pub(super) struct Counts {
    scale: Scale,
    rows: Vec<CountedRow>,
    pub(super) keys: Keys,
}

impl Counts {
    pub(super) async fn load(source: &Source<'_>, scale: Scale) -> Result<Self, Error> {
        // Plain columns and whole intervals, so that a rollup can answer the query.
        let bucket = format!("date_bin({}, time)", scale.interval());
        let sql = source::count_by(&bucket, "bucket", &source.within());
        let mut counts = Self { scale, rows: Vec::new(), keys: Keys::default() };
        for batch in source.collect(&sql).await? {
            let times = batches::ints(&batch, "bucket")?;
            for (row, time) in key_rows(&batch)?.into_iter().zip(times) {
                let n = row.n;
                let key = [
                    counts.keys.causes.number(row.cause, n),
                    counts.keys.containers.number(row.container, n),
                    counts.keys.ports.number(row.port, n),
                    counts.keys.hosts.number(row.host, n),
                ];
                counts.rows.push(CountedRow { at_us: time.unwrap_or_default(), key, n });
            }
        }
        Ok(counts)
    }

    pub(super) fn total(&self) -> u64 {
        self.rows.iter().map(|row| row.n).sum()
    }

    /// The finest cube that fits into a page.
    pub(super) fn fit(&self) -> (Cube, FoldedKeys, Scale) {
        self.fit_within(MAX_COMBINATIONS, MAX_COUNTS)
    }

    fn fit_within(&self, max_combinations: usize, max_counts: usize) -> (Cube, FoldedKeys, Scale) {
        let mut limits = [MAX_VALUES; 3];
        let mut scale = self.scale;
        loop {
            let keys = self.keys.fold(limits);
            let cells = self.cells(&keys, scale);
            let counts: usize = cells.values().map(BTreeMap::len).sum();
            let sizes =
                [keys.containers.entries.len(), keys.ports.entries.len(), keys.hosts.entries.len()];
            let is_small = cells.len() <= max_combinations && counts <= max_counts;
            if is_small || limits == [0; 3] && scale.count <= MIN_INTERVALS {
                return (Cube::new(&cells), keys, scale);
            }
            let has_intervals = scale.count / 2 >= MIN_INTERVALS;
            if limits == [0; 3] || cells.len() <= max_combinations && has_intervals {
                scale = scale.coarser();
            } else {
                // Halve the dimension with the most values.
                let largest = (0..3).max_by_key(|at| (limits[*at] > 0, sizes[*at])).unwrap_or(0);
                limits[largest] = limits[largest].min(sizes[largest]) / 2;
            }
        }
    }

    fn cells(&self, keys: &FoldedKeys, scale: Scale) -> HashMap<CubeKey, BTreeMap<u32, u64>> {
        let mut cells: HashMap<CubeKey, BTreeMap<u32, u64>> = HashMap::new();
        for row in &self.rows {
            let times = cells.entry(keys.fold(row.key)).or_default();
            *times.entry(scale.at(row.at_us)).or_default() += row.n;
        }
        cells
    }
}

impl Keys {
    fn fold(&self, [containers, ports, hosts]: [usize; 3]) -> FoldedKeys {
        FoldedKeys {
            // Never folded: the taxonomy bounds the number of causes.
            causes: self.causes.fold(usize::MAX - 1),
            containers: self.containers.fold(containers),
            ports: self.ports.fold(ports),
            hosts: self.hosts.fold(hosts),
        }
    }

    /// The page's key of a row; `None` if a value appeared only after the cube was counted.
    pub(super) fn find(&self, folded: &FoldedKeys, row: &KeyRow) -> Option<CubeKey> {
        Some([
            self.causes.entry(&folded.causes, &row.cause)?,
            self.containers.entry(&folded.containers, &row.container)?,
            self.ports.entry(&folded.ports, &row.port)?,
            self.hosts.entry(&folded.hosts, &row.host)?,
        ])
    }
}

impl FoldedKeys {
    fn fold(&self, [cause, container, port, host]: CubeKey) -> CubeKey {
        [
            self.causes.to_entry[cause as usize],
            self.containers.to_entry[container as usize],
            self.ports.to_entry[port as usize],
            self.hosts.to_entry[host as usize],
        ]
    }
}

/// Counts by key, column by column.
#[derive(Debug, Default, Serialize)]
pub(super) struct CubeCells {
    cause: Vec<u32>,
    container: Vec<u32>,
    port: Vec<u32>,
    host: Vec<u32>,
    n: Vec<u64>,
}

impl CubeCells {
    pub(super) fn push(&mut self, [cause, container, port, host]: CubeKey, n: u64) {
        self.cause.push(cause);
        self.container.push(container);
        self.port.push(port);
        self.host.push(host);
        self.n.push(n);
    }
}

/// The cube for the page.
#[derive(Debug, Serialize)]
pub(super) struct Cube {
    #[serde(flatten)]
    cells: CubeCells,
    /// For each cell, alternately the number of intervals to skip and the resets there.
    times: Vec<Vec<u64>>,
}

impl Cube {
    fn new(cells: &HashMap<CubeKey, BTreeMap<u32, u64>>) -> Self {
        // A fixed order, so that the same recording gives the same file.
        let mut order: Vec<_> = cells.iter().collect();
        order.sort_unstable_by_key(|(key, _)| **key);
        let mut cube = Self { cells: CubeCells::default(), times: Vec::with_capacity(order.len()) };
        for (key, times) in order {
            cube.cells.push(*key, times.values().sum());
            let mut before = 0;
            let mut steps = Vec::with_capacity(times.len() * 2);
            for (at, n) in times {
                steps.extend([u64::from(*at - before), *n]);
                before = *at;
            }
            cube.times.push(steps);
        }
        cube
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Resets of 400 containers and ports at 250 seconds.
    fn counts() -> Counts {
        let scale = Scale::covering(0, 250_000_000);
        let mut counts = Counts { scale, rows: Vec::new(), keys: Keys::default() };
        for at in 0..20_000_u64 {
            let n = at % 7 + 1;
            let keys = &mut counts.keys;
            let key = [
                keys.causes.number(format!("c{}", at % 11), n),
                keys.containers.number((at % 3 > 0).then(|| format!("x{}", at % 400)), n),
                keys.ports.number(i64::try_from(at * at % 400).ok(), n),
                keys.hosts.number(format!("h{}", at % 5), n),
            ];
            let at_us = i64::try_from(at % 250).unwrap_or(0) * 1_000_000;
            counts.rows.push(CountedRow { at_us, key, n });
        }
        counts
    }

    #[test]
    fn a_cube_keeps_to_its_bounds_and_loses_nothing() {
        let counts = counts();
        for (combinations, most) in [(usize::MAX, usize::MAX), (20_000, 3000), (200, 5000), (1, 1)]
        {
            let (cube, keys, scale) = counts.fit_within(combinations, most);
            assert_eq!(cube.cells.n.iter().sum::<u64>(), counts.total());
            let (mut intervals, mut total) = (0, 0);
            for times in &cube.times {
                let mut at = 0;
                for step in times.as_chunks::<2>().0 {
                    at += step[0];
                    intervals += 1;
                    total += step[1];
                }
                assert!(i64::try_from(at).is_ok_and(|at| at < scale.count));
            }
            assert_eq!(total, counts.total());
            assert_eq!(keys.causes.entries.len(), 11);
            if most > 1 {
                assert!(cube.cells.n.len() <= combinations && intervals <= most);
            } else {
                // Causes are never folded.
                assert_eq!((cube.cells.n.len(), keys.ports.entries.len()), (11, 1));
                assert!(scale.count <= MIN_INTERVALS);
            }
        }
    }
}
