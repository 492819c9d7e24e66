//! The tests on each kernel. The same code runs in the guests and on the host.

pub(crate) mod bench;
mod hardened;
pub(crate) mod many_cpus;
pub(crate) mod reload;
pub(crate) mod which;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use scenarios::{ContainersPlan, Doctor, play_in_containers, record};

use self::bench::{Bench, Faults};
use self::which::Test;
use super::message::{Finding, Message};

/// Runs a test and gives its result to `tell`.
pub(crate) fn run(
    test: Test,
    bench: &Bench,
    tell: &mut dyn FnMut(Message) -> Result<()>,
) -> Result<()> {
    let done = match test {
        Test::Causes => causes(bench, tell),
        Test::Doctor => doctor(bench, tell),
        Test::NoBtf => no_btf(bench),
        Test::Modules => reload::run(bench),
        Test::Hardened => hardened::run(bench),
        Test::ManyCpus => many_cpus::run(bench),
        Test::Containers => containers(bench, tell),
    };
    let finding = match done {
        Ok(details) => Finding { test, passed: details.is_empty(), details },
        Err(error) => Finding { test, passed: false, details: vec![format!("{error:#}")] },
    };
    tell(Message::Finding(finding))
}

fn causes(bench: &Bench, tell: &mut dyn FnMut(Message) -> Result<()>) -> Result<Faults> {
    let names: Vec<&str> = bench.scenarios.iter().map(String::as_str).collect();
    let played = record(&bench.recorder, &bench.work.join("causes"), &names)?;
    let column = played.judge()?;
    let faults = column.faults();
    for line in &played.recorded.said {
        eprintln!("{line}");
    }
    tell(Message::Column(column))?;
    Ok(faults)
}

fn doctor(bench: &Bench, tell: &mut dyn FnMut(Message) -> Result<()>) -> Result<Faults> {
    let doctor = Doctor::ask(&bench.recorder)?;
    let mut faults = vec![];
    if !doctor.symbols {
        faults.push("the kernel's symbols are hidden".to_owned());
    }
    for site in &doctor.sites {
        if site.detail.is_empty() {
            faults.push(format!("{}: doctor does not say why", site.site));
        }
        // TCP's own senders are in every kernel, and tracepoints see them where probes are refused.
        if site.hook.is_none() && site.site.starts_with("tcp_") && site.site.contains("_send_") {
            faults.push(format!("{} is not seen: {}", site.site, site.detail));
        }
    }
    tell(Message::Doctor(doctor))?;
    Ok(faults)
}

fn containers(bench: &Bench, tell: &mut dyn FnMut(Message) -> Result<()>) -> Result<Faults> {
    let first = fs::read_to_string("/proc/1/comm").context("read /proc/1/comm")?;
    ensure!(first.trim() == "systemd", "the first process is {}, not systemd", first.trim());
    let mounts = fs::read_to_string("/proc/mounts").context("read /proc/mounts")?;
    let is_v1 = |line: &str| line.split(' ').nth(2) == Some("cgroup");
    ensure!(!mounts.lines().any(is_v1), "cgroup v1 is mounted");
    let doctor = Doctor::ask(&bench.recorder)?;
    // Emulated, a container takes seconds: the many that live for an instant are the host's test.
    let work = bench.work.join("containers");
    let plan =
        ContainersPlan { brief: 5, ..ContainersPlan::whole(&bench.recorder, &bench.actor, &work) };
    let verdict = play_in_containers(&plan)?;
    let mut faults = verdict.faults.clone();
    faults.extend(verdict.unhooked.iter().map(|what| format!("not seen: {what}")));
    if doctor.owners.cgroups != "v2" {
        faults.push(format!("doctor calls cgroups {}, not v2", doctor.owners.cgroups));
    }
    if doctor.owners.accept.is_none() {
        faults.push(format!("who accepts is not seen: {:?}", doctor.owners.accept_note));
    }
    for line in verdict.lines() {
        tell(Message::Note(line))?;
    }
    Ok(faults)
}

/// The recorder where the kernel shows no BTF: in a mount namespace with nothing in its folder.
fn no_btf(bench: &Bench) -> Result<Faults> {
    let out = bench.work.join("no_btf");
    let mut faults = vec![];
    let out = out.to_str().context("a folder's name")?;
    // Should it record all the same, it ends by itself.
    for arguments in [&["doctor"][..], &["--out", out, "--duration", "5s"]] {
        let mut command = Command::new(&bench.recorder);
        command.args(arguments).stdin(Stdio::null());
        // A mount namespace belongs to a thread, and a child inherits that of the thread that
        // starts it.
        let done = thread::spawn(move || {
            hide("/sys/kernel/btf")?;
            command.output().context("run the recorder")
        })
        .join()
        .map_err(|_| anyhow!("a thread panicked"))??;
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        if done.status.code() != Some(4) {
            faults.push(format!("{arguments:?}: {} instead of exit code 4", done.status));
        }
        if said.lines().count() != 1 || !said.contains("BTF") {
            faults.push(format!("{arguments:?}: not one line on BTF: {said:?}"));
        }
    }
    Ok(faults)
}

/// Puts nothing over a folder, for the calling thread alone.
fn hide(folder: &str) -> Result<()> {
    const NOTHING: Option<&Path> = None;
    ensure!(fs::exists(folder)?, "no {folder} to hide");
    unshare(CloneFlags::CLONE_NEWNS).context("make a mount namespace")?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(NOTHING, "/", NOTHING, private, NOTHING).context("keep mounts to oneself")?;
    mount(Some("none"), folder, Some("tmpfs"), MsFlags::empty(), NOTHING)
        .with_context(|| format!("mount over {folder}"))
}
