//! The test `modules`: netfilter's modules come after the recorder, go and come again.

use std::ffi::CString;
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::kmod::{DeleteModuleFlags, ModuleInitFlags, delete_module, finit_module};
use scenarios::{Abilities, Recording, is_of};

use super::bench::Bench;
use crate::vm::initrd::{MODULES, NETFILTER_ORDER};
use scenarios::{Caused, Deadline, Namespace, Outcome, Scenario, play, scenarios};

/// A function of a netfilter module that the recorder must find when it comes.
const SITE: &str = "nf_send_reset";
/// For the recorder to notice a module, and for a reset to be printed.
const PATIENCE: Duration = Duration::from_secs(15);

/// Returns what is wrong.
pub(crate) fn run(bench: &Bench) -> Result<Vec<String>> {
    let loaded = fs::read_to_string("/proc/modules").context("read /proc/modules")?;
    ensure!(!loaded.contains("nf_reject"), "netfilter modules are loaded already");
    let reject = scenarios()
        .find(|scenario| scenario.expect.callee == SITE)
        .with_context(|| format!("no scenario causes a reset by {SITE}"))?;
    let home = Namespace::new()?;
    let abilities = Abilities { received: false, icmp: false, audit: false };
    let recording =
        Recording::start(&bench.recorder, &bench.work.join("modules"), &home, abilities)?;
    let mut faults = vec![];
    if !recording.has_said(SITE) {
        faults.push(format!("started without the module, and reports nothing about {SITE}"));
    }
    recorded(&recording, Scenario::find("closed_port")?, "without the module", &mut faults)?;
    for round in ["loaded after the start", "unloaded and loaded again"] {
        let before = recording.said().len();
        load(NETFILTER_ORDER)?;
        // It may say that it sees the site now; if it does not, its rows will tell.
        let _ = Deadline::after(PATIENCE).until("a word on the module", || {
            Ok(recording.said()[before..].iter().any(|line| line.contains(SITE)))
        });
        recorded(&recording, reject, round, &mut faults)?;
        unload()?;
    }
    recorded(&recording, Scenario::find("closed_port")?, "after the module", &mut faults)?;
    for line in recording.stop(false)?.said {
        eprintln!("{line}");
    }
    Ok(faults)
}

/// Plays a scenario in a namespace of its own, which must be recorded once, by its callee.
fn recorded(
    recording: &Recording,
    scenario: &Scenario,
    when: &str,
    faults: &mut Vec<String>,
) -> Result<()> {
    let ns = Namespace::new()?;
    let played = play(&ns, &[scenario.name])?;
    let caused: &Caused = match played.first() {
        Some((_, Outcome::Caused(caused))) => caused,
        Some((_, Outcome::Impossible(why))) => bail!("{}: {why}", scenario.name),
        None => bail!("{} was not played", scenario.name),
    };
    let callees = || -> Result<Vec<String>> {
        let rows = recording.rows()?;
        let of_flow = rows.iter().filter(|row| {
            is_of(row, caused) && row.get("netns_id").is_some_and(|id| *id == ns.inode())
        });
        Ok(of_flow.filter_map(|row| Some(row.get("callee")?.as_str()?.to_owned())).collect())
    };
    // A missing row is reported below.
    let _ = Deadline::after(PATIENCE).until("a row", || Ok(!callees()?.is_empty()));
    let callees = callees()?;
    if callees != [scenario.expect.callee] {
        faults.push(format!("{when}: {} is recorded as {callees:?}", scenario.name));
    }
    Ok(())
}

/// Loads the modules of a list, dependencies first. Returns those that would not be loaded.
pub(crate) fn load(order: &str) -> Result<Vec<String>> {
    let mut refused = vec![];
    for name in names(order)? {
        let file = File::open(Path::new(MODULES).join(format!("{name}.ko")))?;
        match finit_module(&file, c"", ModuleInitFlags::empty()) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => refused.push(format!("{name}: {error}")),
        }
    }
    Ok(refused)
}

/// Unloads what `load` has loaded. A rule holds its module, and namespaces go when the kernel
/// finds the time.
fn unload() -> Result<()> {
    let mut left = names(NETFILTER_ORDER)?;
    left.reverse();
    let mut last = Errno::UnknownErrno;
    Deadline::after(PATIENCE)
        .until("the modules to go", || {
            left.retain(|name| {
                let gone = CString::new(name.as_str())
                    .map(|name| delete_module(&name, DeleteModuleFlags::O_NONBLOCK));
                match gone {
                    Ok(Ok(()) | Err(Errno::ENOENT)) => false,
                    Ok(Err(error)) => {
                        last = error;
                        true
                    }
                    Err(_) => true,
                }
            });
            Ok(left.is_empty())
        })
        .with_context(|| format!("unload {}: {last}", left.join(", ")))
}

fn names(order: &str) -> Result<Vec<String>> {
    let list = fs::read_to_string(order).with_context(|| format!("read {order}"))?;
    Ok(list.lines().map(str::to_owned).collect())
}
