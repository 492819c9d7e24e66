//! Plays every scenario. Needs root: without it these tests fail, they do not skip.

use anyhow::{Result, ensure};
use xtask::simulate::{Busy, Namespace, SCENARIOS, flood, run_all};

#[test]
fn each_scenario_sends_exactly_one_reset() -> Result<()> {
    let ns = Namespace::new()?;
    for scenario in SCENARIOS {
        let before = ns.out_rsts()?;
        let caused = run_all(&ns, &[scenario.name])?;
        let sent = ns.out_rsts()? - before;
        ensure!(sent == 1, "{} sent {sent} resets", scenario.name);
        ensure!(caused.len() == 1);
        ensure!(caused[0].scenario == scenario.name);
        ensure!(caused[0].src_port == scenario.port);
        ensure!(caused[0].family == scenario.expect.family);
        ensure!(caused[0].pid.is_some() == scenario.expect.task);
    }
    Ok(())
}

#[test]
fn a_set_can_be_played_twice_in_one_namespace_on_a_busy_machine() -> Result<()> {
    let busy = Busy::start()?;
    ensure!(!busy.pids().is_empty());
    let ns = Namespace::new()?;
    for _ in 0..2 {
        ensure!(run_all(&ns, &[])?.len() == SCENARIOS.len());
    }
    Ok(())
}

#[test]
fn a_flood_sends_as_many_resets_as_asked_for() -> Result<()> {
    let ns = Namespace::new()?;
    let done = flood(&ns, 1001, 2)?;
    ensure!(done.resets == 1001, "{done:?}");
    Ok(())
}

#[test]
fn a_namespace_has_an_identity_of_its_own() -> Result<()> {
    let (one, other) = (Namespace::new()?, Namespace::new()?);
    ensure!(one.inode() != other.inode());
    ensure!(one.cookie() != other.cookie());
    ensure!(one.out_rsts()? == 0);
    Ok(())
}
