//! Each query on both sides, in turns.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::super::stats::median;
use super::duck::Duck;
use super::ours::Ours;
use super::process::{self, PageCache};
use super::queries::{BenchQuery, Chosen, Group, QUERIES};
use super::results;

/// How often; 0 leaves it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rounds {
    pub(crate) warm: u32,
    pub(crate) cold: u32,
    /// Whether whole processes are measured too.
    pub(crate) processes: bool,
}

impl Rounds {
    fn count(self, mode: Mode) -> u32 {
        match mode {
            Mode::InProcess => self.warm,
            Mode::InProcessCold => self.cold,
            Mode::Process if self.processes => self.warm,
            Mode::ProcessCold if self.processes => self.cold,
            Mode::Process | Mode::ProcessCold => 0,
        }
    }
}

/// How a query is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    InProcess,
    InProcessCold,
    Process,
    ProcessCold,
}

const MODES: [Mode; 4] = [Mode::InProcess, Mode::InProcessCold, Mode::Process, Mode::ProcessCold];

impl Mode {
    const fn name(self) -> &'static str {
        match self {
            Mode::InProcess => "in process, warm",
            Mode::InProcessCold => "in process, cold",
            Mode::Process => "whole process, warm",
            Mode::ProcessCold => "whole process, cold",
        }
    }

    fn is_cold(self) -> bool {
        matches!(self, Mode::InProcessCold | Mode::ProcessCold)
    }
}

/// Milliseconds of both sides.
#[derive(Clone, Copy, Debug)]
struct Pair {
    ours: f64,
    duck: f64,
}

impl Pair {
    fn ratio(self) -> f64 {
        self.ours / self.duck
    }
}

/// The measurements of one query.
#[derive(Debug)]
struct Measured {
    query: &'static BenchQuery,
    group: Group,
    modes: [Pair; MODES.len()],
    /// Peak of a whole process, bytes.
    memory: Pair,
}

/// The tables.
pub(crate) fn run(
    ours: &Ours,
    duck: &Duck,
    data: &Path,
    cache: &PageCache,
    rounds: Rounds,
) -> Result<Vec<String>> {
    let chosen = choose(ours, data)?;
    let mut duck_session = duck.session(data)?;
    let mut from_rows = ours.session(data, Group::Raw)?;
    let mut from_rollup = ours.session(data, Group::Rollup)?;
    let mut all = Vec::new();
    for (query, group) in asked() {
        let sql = query.sql(&chosen);
        let our_command = || match group {
            Group::Raw => ours.raw_command(data, &sql),
            Group::Rollup | Group::Footers => ours.command(data, &sql),
        };
        let our_session = match group {
            Group::Raw => &mut from_rows,
            Group::Rollup | Group::Footers => &mut from_rollup,
        };
        let mut pairs = Vec::new();
        let mut memory = [0_u64; 2];
        // Both say the same, and what is asked is in the page cache and the footers are read.
        let runs = [process::run(our_command())?, process::run(duck.command(data, &sql))?];
        for (most, run) in memory.iter_mut().zip(&runs) {
            *most = run.memory;
        }
        results::compare(
            query.name,
            &results::rows(&runs[0].stdout),
            &results::rows(&runs[1].stdout),
        )?;
        our_session.run(&sql)?;
        duck_session.run(&sql)?;
        for mode in MODES {
            let mut times = [Vec::new(), Vec::new()];
            for _ in 0..rounds.count(mode) {
                // In turns, so that what else the machine does hits both.
                for side in 0..2 {
                    if mode.is_cold() {
                        cache.drop()?;
                    }
                    let milliseconds = match mode {
                        Mode::InProcess | Mode::InProcessCold => match side {
                            0 => our_session.run(&sql)?,
                            _ => duck_session.run(&sql)?,
                        },
                        Mode::Process | Mode::ProcessCold => {
                            let command = match side {
                                0 => our_command(),
                                _ => duck.command(data, &sql),
                            };
                            let run = process::run(command)?;
                            memory[side] = memory[side].max(run.memory);
                            run.time.as_secs_f64() * 1000.0
                        }
                    };
                    times[side].push(milliseconds);
                }
            }
            let [ours, duck] = times.map(|times| median(times).unwrap_or(f64::NAN));
            pairs.push(Pair { ours, duck });
        }
        let measured = Measured {
            query,
            group,
            modes: std::array::from_fn(|at| pairs[at]),
            memory: Pair { ours: memory[0] as f64, duck: memory[1] as f64 },
        };
        eprintln!(
            "{} ({}): {:.1} ms, DuckDB {:.1} ms, {:.2} of it",
            query.name,
            group.name(),
            measured.modes[0].ours,
            measured.modes[0].duck,
            measured.modes[0].ratio()
        );
        all.push(measured);
    }
    let ours = from_rows.end()?.max(from_rollup.end()?);
    let peak = Pair { ours: ours as f64, duck: duck_session.end()? as f64 };
    Ok(tables(&all, peak))
}

/// Each query, and those that the rollup answers a second time, from the rows.
fn asked() -> impl Iterator<Item = (&'static BenchQuery, Group)> {
    let again = QUERIES.iter().filter(|query| query.group == Group::Rollup);
    let all = QUERIES.iter().map(|query| (query, query.group));
    all.chain(again.map(|query| (query, Group::Raw)))
}

/// The subject of the queries: an hour in the middle, and a peer of that hour.
fn choose(ours: &Ours, data: &Path) -> Result<Chosen> {
    let folder = data.join("resets");
    let mut dates: Vec<String> = fs::read_dir(&folder)
        .with_context(|| format!("read {}", folder.display()))?
        .filter_map(|entry| {
            Some(entry.ok()?.file_name().to_str()?.strip_prefix("date=")?.to_owned())
        })
        .collect();
    dates.sort();
    let date = dates.get(dates.len() / 2).context("no days in the recording")?;
    let hour = format!("{date}T14");
    let sql = format!(
        "SELECT dst_addr, dst_port FROM resets WHERE time >= '{hour}:30:00Z' AND \
         time < '{hour}:40:00Z' AND direction = 'sent' AND container_name = 'frontend' \
         AND dst_port >= 32768 AND dst_addr NOT LIKE '10.%' \
         ORDER BY dst_addr, dst_port LIMIT 1"
    );
    let found = results::rows(&process::run(ours.command(data, &sql))?.stdout);
    let row = found.first().context("too few resets: nothing to look for")?;
    let (peer, port) = (row.first().cloned().unwrap_or_default(), row.get(1));
    let peer_port = port.and_then(|port| port.parse().ok()).context("no port to look for")?;
    Ok(Chosen { hour, peer, peer_port })
}

fn tables(all: &[Measured], peak: Pair) -> Vec<String> {
    let mut lines = Vec::new();
    for (at, mode) in MODES.iter().enumerate() {
        if all.iter().all(|measured| measured.modes[at].ours.is_nan()) {
            continue;
        }
        lines.extend([
            String::new(),
            format!("Milliseconds {}:", mode.name()),
            String::new(),
            "| query | answered from | DuckDB | tcprst-analyze | ratio |".to_owned(),
            "|---|---|--:|--:|--:|".to_owned(),
        ]);
        for measured in all {
            let pair = measured.modes[at];
            lines.push(format!(
                "| {} | {} | {:.1} | {:.1} | {:.3} |",
                measured.query.name,
                measured.group.name(),
                pair.duck,
                pair.ours,
                pair.ratio()
            ));
        }
        for group in Group::ALL {
            let of_group = all.iter().filter(|measured| measured.group == group);
            let ratio = geometric_mean(of_group.map(|measured| measured.modes[at].ratio()));
            lines.push(format!("| geometric mean, {} | | | | {ratio:.3} |", group.name()));
        }
    }
    let mib = |bytes: f64| format!("{:.0} MiB", bytes / (1 << 20) as f64);
    let most = |side: fn(&Measured) -> f64| mib(all.iter().map(side).fold(0.0, f64::max));
    lines.extend([
        String::new(),
        format!(
            "Most memory of a process for one query: {} (DuckDB {}); of the process that answered \
             all: {} (DuckDB {}).",
            most(|measured| measured.memory.ours),
            most(|measured| measured.memory.duck),
            mib(peak.ours),
            mib(peak.duck)
        ),
    ]);
    lines
}

fn geometric_mean(ratios: impl Iterator<Item = f64>) -> f64 {
    let logs: Vec<f64> = ratios.map(f64::ln).collect();
    (logs.iter().sum::<f64>() / logs.len() as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_and_its_inverse_cancel_out() {
        assert!((geometric_mean([0.5, 2.0, 1.0].into_iter()) - 1.0).abs() < 1e-12);
    }
}
