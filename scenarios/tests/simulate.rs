//! Plays every scenario. Needs root: without it these tests fail, they do not skip.

use anyhow::{Result, ensure};
use scenarios::{
    Busy, Mix, Namespace, Outcome, ResetKind, Seen, allow_host_changes, flood, flood_with, play,
    scenarios,
};

/// The expected growth of the kernel's own count of resets, which leaves out netfilter's.
fn counted(expect: &scenarios::Expect) -> u64 {
    u64::from(expect.seen == Seen::Sent && expect.callee.starts_with("tcp_"))
}

#[test]
fn each_scenario_sends_the_resets_that_it_says() -> Result<()> {
    allow_host_changes();
    let ns = Namespace::new()?;
    for scenario in scenarios() {
        let before = ns.out_rsts()?;
        let played = play(&ns, &[scenario.name])?;
        let Outcome::Caused(caused) = &played[0].1 else {
            continue;
        };
        let sent = ns.out_rsts()? - before;
        if scenario.expect.seen == Seen::Sent {
            let expected = counted(&scenario.expect) + scenario.expect.followed as u64;
            ensure!(sent == expected, "{} sent {sent} resets", scenario.name);
        }
        ensure!(caused.scenario == scenario.name);
        ensure!(caused.src_port == scenario.port);
        ensure!(caused.family == scenario.expect.family);
        ensure!(caused.pid.is_some() == scenario.expect.task);
    }
    Ok(())
}

#[test]
fn a_set_can_be_played_twice_in_one_namespace_on_a_busy_machine() -> Result<()> {
    let busy = Busy::start()?;
    ensure!(!busy.pids().is_empty());
    let ns = Namespace::new()?;
    for _ in 0..2 {
        ensure!(play(&ns, &[])?.len() == scenarios().count());
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
fn a_flood_of_every_kind_sends_one_reset_for_each_that_is_asked_for() -> Result<()> {
    let ns = Namespace::new()?;
    let done = flood_with(&ns, &Mix::all(), 1001, 2)?;
    ensure!(done.resets == 1001, "{done:?}");
    for kind in ResetKind::ALL {
        let done = flood_with(&ns, &kind.name().parse()?, 100, 1)?;
        ensure!(done.resets == 100, "{}: {done:?}", kind.name());
    }
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
