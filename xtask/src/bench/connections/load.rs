//! The programs that run for connections in a variant.

use std::collections::BTreeMap;
use std::process;

use anyhow::Result;
use scenarios::{EmptyProgram, Namespace};

use super::traffic::Traffic;
use crate::bench::programs::{self, Program, RunStatistics, Trigger};
use crate::bench::running::Running;
use crate::bench::tool::Tool;

/// What runs while connections come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    None,
    Recorder,
    RecorderWithoutOwner,
    /// A program that does nothing at each change of state.
    Empty,
}

impl Variant {
    /// [`Variant::None`] first.
    pub(super) const ALL: [Self; 4] =
        [Self::None, Self::Recorder, Self::RecorderWithoutOwner, Self::Empty];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Recorder => "recorder",
            Self::RecorderWithoutOwner => "recorder --socket-owner=off",
            Self::Empty => "empty program",
        }
    }
}

/// A variant at work.
#[derive(Debug)]
pub(super) enum Load {
    None,
    Recorder(Running),
    Empty(#[expect(dead_code, reason = "held: it is attached until it is dropped")] EmptyProgram),
}

impl Load {
    pub(super) fn start(variant: Variant, ns: &Namespace) -> Result<Self> {
        Ok(match variant {
            Variant::None => Self::None,
            Variant::Recorder => Self::Recorder(Running::start(Tool::Tcprst, ns)?),
            Variant::RecorderWithoutOwner => {
                Self::Recorder(Running::start(Tool::TcprstWithoutOwner, ns)?)
            }
            Variant::Empty => Self::Empty(EmptyProgram::attach(c"inet_sock_set_state")?),
        })
    }

    /// The process whose CPU time belongs to the variant.
    pub(super) fn recorder(&self) -> Option<u32> {
        match self {
            Self::Recorder(running) => Some(running.pid()),
            Self::None | Self::Empty(_) => None,
        }
    }

    /// The process that holds the programs.
    pub(super) fn holder(&self) -> Option<u32> {
        match self {
            Self::None => None,
            Self::Recorder(running) => Some(running.pid()),
            Self::Empty(_) => Some(process::id()),
        }
    }

    pub(super) fn stop(self) -> Result<()> {
        match self {
            Self::Recorder(mut running) => running.end().map(|_| ()),
            Self::None | Self::Empty(_) => Ok(()),
        }
    }
}

/// BPF run statistics, for each connection.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct BpfRuns {
    pub(super) runs: f64,
    pub(super) nanoseconds: f64,
}

impl BpfRuns {
    /// Of the programs of that process, but those that follow the lives of containers, in a
    /// namespace of its own.
    pub(super) fn measure(holder: u32, connections: u32) -> Result<Self> {
        let ns = Namespace::new()?;
        let _statistics = RunStatistics::enable()?;
        let (before, after) = ns.run(|| {
            let traffic = Traffic::new()?;
            traffic.warm_up()?;
            let before = programs::for_process(holder)?;
            traffic.connect(connections)?;
            Ok((before, programs::for_process(holder)?))
        })?;
        Ok(Self::between(&before, &after, connections))
    }

    fn between(
        before: &BTreeMap<u32, Program>,
        after: &BTreeMap<u32, Program>,
        connections: u32,
    ) -> Self {
        let mut sum = Self::default();
        for (id, program) in after {
            if program.trigger() == Trigger::Containers {
                continue;
            }
            let (runs, nanoseconds) =
                before.get(id).map_or((0, 0), |earlier| (earlier.runs, earlier.nanoseconds));
            sum.runs += (program.runs - runs) as f64 / f64::from(connections);
            sum.nanoseconds += (program.nanoseconds - nanoseconds) as f64 / f64::from(connections);
        }
        sum
    }

    /// Nanoseconds a run; none where nothing ran, which is best.
    pub(super) fn each(self) -> Option<f64> {
        (self.runs > 0.0).then(|| self.nanoseconds / self.runs)
    }

    /// Less what as many runs of an empty program take.
    pub(super) fn less(self, empty: Self) -> f64 {
        self.nanoseconds - self.runs * empty.nanoseconds / empty.runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(name: &str, runs: u64, nanoseconds: u64) -> Program {
        Program { name: name.to_owned(), runs, nanoseconds }
    }

    #[test]
    fn the_growth_of_all_programs_is_shared_out() {
        let before = BTreeMap::from([(1, program("inet_sock_set_s", 5, 100))]);
        let after = BTreeMap::from([
            (1, program("inet_sock_set_s", 1005, 50_100)),
            (2, program("tcp_destroy_soc", 200, 10_000)),
            (3, program("cgroup_mkdir", 7, 90_000)),
        ]);
        let runs = BpfRuns::between(&before, &after, 100);
        assert_eq!(runs, BpfRuns { runs: 12.0, nanoseconds: 600.0 });
    }

    #[test]
    fn what_the_statistics_cost_is_taken_off_for_each_run() {
        let ours = BpfRuns { runs: 12.0, nanoseconds: 600.0 };
        let empty = BpfRuns { runs: 10.0, nanoseconds: 300.0 };
        assert!((ours.less(empty) - 240.0).abs() < 1e-9);
        assert!(empty.less(empty).abs() < 1e-9);
    }
}
