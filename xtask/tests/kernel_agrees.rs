//! Proves the table: what each scenario promises is what the kernel itself reports.
//! Needs root and a kernel from 6.12 on: without them the test fails, it does not skip.

mod tracefs;

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use tracefs::{Trace, Witness};
use xtask::simulate::{Busy, Caused, Expect, Namespace, SCENARIOS, Scenario, run_all};

#[test]
fn the_kernel_reports_what_the_table_expects() -> Result<()> {
    let trace = Trace::start()?;
    let ns = Namespace::new()?;
    SCENARIOS.iter().try_for_each(|scenario| play_and_compare(&trace, &ns, scenario))?;
    // On a busy machine timers interrupt the innocent; nothing else may change.
    let _busy = Busy::start()?;
    SCENARIOS.iter().try_for_each(|scenario| play_and_compare(&trace, &ns, scenario))
}

fn play_and_compare(trace: &Trace, ns: &Namespace, scenario: &Scenario) -> Result<()> {
    trace.clear()?;
    let caused = run_all(ns, &[scenario.name])?;
    let resets = trace.resets(scenario.port)?;
    ensure!(caused.len() == 1 && resets.len() == 1, "{resets:#?}");
    compare(&caused[0], &scenario.expect, &resets[0])
        .with_context(|| format!("{}: {:#?}", scenario.name, resets[0]))
}

fn compare(caused: &Caused, expect: &Expect, seen: &Witness) -> Result<()> {
    ensure!(seen.src == SocketAddr::new(caused.src_addr, caused.src_port));
    // With a listener's reset the tracepoint prints the listener's peer, which is nobody.
    if !seen.dst.ip().is_unspecified() {
        ensure!(seen.dst == SocketAddr::new(caused.dst_addr, caused.dst_port));
    }
    ensure!(seen.stack.first().is_some_and(|name| name == expect.callee));
    ensure!(seen.stack.get(1).is_some_and(|name| name == expect.caller));
    ensure!(seen.reason == expect.reason);
    ensure!(seen.state.as_deref() == expect.sk_state);
    ensure!(seen.context == expect.context);
    ensure!(caused.pid.is_some() == expect.task);
    if expect.task {
        ensure!(Some(seen.tid) == caused.tid);
        ensure!(Some(&seen.comm) == caused.comm.as_ref());
    }
    Ok(())
}
