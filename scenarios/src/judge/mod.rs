//! Compares scenarios with their record: plays scenarios while `tcprst-record` runs, and judges
//! each.
//!
//! The same judge serves the guests of `cargo xtask vm`, the host, and the tests.

mod account;
mod cell;
mod compare;
mod ledger;
mod recording;
mod sealed;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};

pub use account::{Account, kernel_addresses};
pub use cell::{Balance, Cell, Column, UNKNOWN, Verdict};
pub use compare::is_of;
pub(crate) use recording::ROOMY;
pub use recording::{Abilities, Doctor, Recording, Row, Site};
pub(crate) use sealed::rows_of;

use self::compare::{Evidence, judge};
use self::ledger::EntryKind;
use self::recording::Recorded;
use crate::play::play;
use crate::scene::{Caused, Outcome, Scenario, Seen};
use crate::stage::hidden::unhidden;
use crate::stage::netns::Namespace;
use crate::stage::sysctl::allow_host_changes;
use crate::table::scenarios;

/// The scenarios that were played, and what was recorded during them.
#[derive(Debug)]
pub struct Played {
    pub ns: Namespace,
    pub doctor: Doctor,
    pub abilities: Abilities,
    /// An error is one of the scenario itself.
    pub outcomes: Vec<(&'static Scenario, Result<Outcome, String>)>,
    /// Growth of the namespace's `OutRsts`; netfilter's resets are not in it.
    pub out_rsts: u64,
    pub recorded: Recorded,
}

/// Plays the named scenarios, all of them if none is named, in a new network namespace while
/// `recorder` records into `out`. Where the kernel hides a reset all is played again, and `out`
/// holds the recording from before as well.
pub fn record(recorder: &Path, out: &Path, names: &[&str]) -> Result<Played> {
    let chosen: Vec<&Scenario> = match names {
        [] => scenarios().collect(),
        _ => names.iter().map(|name| Scenario::find(name)).collect::<Result<_>>()?,
    };
    allow_host_changes();
    let doctor = Doctor::ask(recorder)?;
    let abilities = Abilities::ask(recorder)?;
    unhidden(|| {
        let ns = Namespace::new()?;
        let recording = Recording::start(recorder, out, &ns, abilities)?;
        let before = ns.out_rsts()?;
        // One by one: a scenario that fails must not take the others with it.
        let outcomes = chosen.iter().map(|scenario| (*scenario, play_one(&ns, scenario))).collect();
        let out_rsts = ns.out_rsts()? - before;
        let recorded = recording.stop(abilities.audit)?;
        let doctor = doctor.clone();
        Ok(Played { ns, doctor, abilities, outcomes, out_rsts, recorded })
    })
}

fn play_one(ns: &Namespace, scenario: &Scenario) -> Result<Outcome, String> {
    let mut played = play(ns, &[scenario.name]).map_err(|error| format!("{error:#}"))?;
    played.pop().map(|(_, outcome)| outcome).ok_or_else(|| "nothing was played".to_owned())
}

impl Played {
    /// The verdict on each scenario and on the whole.
    pub fn judge(&self) -> Result<Column> {
        let mntns = fs::metadata("/proc/self/ns/mnt").context("own mount namespace")?;
        let evidence = Evidence {
            netns_id: self.ns.inode(),
            netns_cookie: self.ns.cookie(),
            mntns_id: mntns.ino(),
            pid: std::process::id(),
            doctor: &self.doctor,
            abilities: self.abilities,
            rows: &self.recorded.rows,
            ledger: self.recorded.ledger.as_deref(),
        };
        let cells: Vec<Cell> = self
            .outcomes
            .iter()
            .map(|(scenario, outcome)| judge(scenario, outcome, &evidence))
            .collect();
        let unexplained = compare::unexplained(&self.doctor);
        let expected: Vec<(EntryKind, &Caused)> = self
            .outcomes
            .iter()
            .zip(&cells)
            .filter_map(|((scenario, outcome), cell)| {
                let Ok(Outcome::Caused(caused)) = outcome else {
                    return None;
                };
                Some((ledger_kind(scenario, cell, unexplained)?, caused))
            })
            .collect();
        let ledger = ledger::balance(evidence.ledger, &expected);
        Ok(Column { cells, ledger })
    }
}

/// As what the ledger is to name a scenario's flow, if at all.
fn ledger_kind(scenario: &Scenario, cell: &Cell, unexplained: EntryKind) -> Option<EntryKind> {
    match (&cell.verdict, scenario.expect.seen) {
        (Verdict::Unhooked(_), Seen::Sent) | (_, Seen::Crafted) => Some(unexplained),
        (_, Seen::Forwarded) => Some(EntryKind::Forwarded),
        _ => None,
    }
}
