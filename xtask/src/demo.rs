//! `cargo xtask demo`: what a newcomer runs first. It builds the recorder, records while real
//! resets are caused, prints them as they come, and then builds the analyzer and asks who caused
//! them.
//!
//! The recorder comes first because it builds in minutes; the analyzer waits for DataFusion.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use scenarios::{Expect, MissingTool, Namespace, Outcome, Seen, play, scenarios};

use crate::steps::Steps;
use crate::{print, workspace};

const QUESTION: &str = "select caller, cause, blame, count(*) as resets from resets \
                        group by caller, cause, blame order by resets desc, caller, cause";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the recording; emptied first
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Only record: the part that needs root
    #[arg(long, hide = true, requires = "out")]
    record: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let out = args.out.unwrap_or_else(|| workspace::target_dir().join("demo"));
    if args.record {
        return record(&out);
    }
    let mut steps = Steps::since_process_start("building xtask");
    // Never `-p`: with other features Cargo would build many crates twice.
    steps.run("building tcprst-record", || build(&["--bin", "tcprst-record"]))?;
    steps.run("recording real resets, each printed as it comes", || {
        match Uid::effective().is_root() {
            true => record(&out),
            false => record_as_root(&out),
        }
    })?;
    steps
        .run("building tcprst-analyze: DataFusion takes most of the time", || build(&["--bins"]))?;
    let here = env::current_dir().unwrap_or_default();
    let shown = out.strip_prefix(here).unwrap_or(&out);
    steps.run("asking who caused them", || {
        print::line(&format!("\n$ tcprst-analyze --data {} \"{QUESTION}\"", shown.display()))?;
        let mut analyze = Command::new(program("tcprst-analyze")?);
        let status = analyze.arg("--data").arg(&out).arg(QUESTION).status();
        let status = status.context("cannot run tcprst-analyze")?;
        ensure!(status.success(), "tcprst-analyze failed ({status})");
        Ok(())
    })?;
    steps.print();
    Ok(())
}

/// Records into `out` while the scenarios play.
fn record(out: &Path) -> Result<()> {
    // Only a recording of ours is removed: the folder is named by the user.
    if out.join("resets").is_dir() {
        fs::remove_dir_all(out).with_context(|| format!("cannot empty {}", out.display()))?;
    }
    let recorder = Recorder::start(out)?;
    let ns = Namespace::new()?;
    let mut caused = 0;
    // By missing program.
    let mut left_out: Vec<(String, Vec<&str>)> = vec![];
    for name in by_tcp() {
        match play(&ns, &[name]) {
            Ok(played) => {
                let is_caused = |outcome: &Outcome| matches!(outcome, Outcome::Caused(_));
                caused += played.iter().filter(|(_, outcome)| is_caused(outcome)).count();
            }
            Err(error) => {
                let Some(MissingTool(tool)) = error.downcast_ref() else { return Err(error) };
                match left_out.iter_mut().find(|(program, _)| program == tool) {
                    Some((_, names)) => names.push(name),
                    None => left_out.push((tool.clone(), vec![name])),
                }
            }
        }
    }
    // Resets that are below the wake-up mark reach the recorder within a tenth of a second.
    thread::sleep(Duration::from_millis(300));
    recorder.stop()?;
    for (tool, names) in left_out {
        eprintln!("xtask: left out, because {tool} is not installed: {}", names.join(", "));
    }
    print::line(&format!("{caused} resets caused in a network namespace of their own"))
}

/// The scenarios in which TCP itself sends the reset: every kernel shows them, and they need
/// neither `ip` nor the tools of a firewall.
fn by_tcp() -> Vec<&'static str> {
    let is_shown = |expect: &Expect| expect.seen == Seen::Sent && expect.callee.starts_with("tcp_");
    scenarios()
        .filter(|scenario| is_shown(&scenario.expect))
        .map(|scenario| scenario.name)
        .collect()
}

/// Builds programs of the workspace with the features that all of it needs. Cargo's progress goes
/// to the terminal.
fn build(which: &[&str]) -> Result<()> {
    let mut cargo = workspace::cargo("build");
    let status = cargo.args(which).status().context("cannot run cargo")?;
    ensure!(status.success(), "the programs do not build: see the errors above");
    Ok(())
}

/// Recording needs root and building must not be done by it: only this part goes through sudo.
fn record_as_root(out: &Path) -> Result<()> {
    let me = env::current_exe().context("cannot find this program")?;
    eprintln!("xtask: recording needs root: asking sudo for it");
    let status = Command::new("sudo")
        .arg(me)
        .args(["demo", "--record", "--out"])
        .arg(out)
        .status()
        .context("recording needs root and sudo cannot be run: run `cargo xtask demo` as root")?;
    ensure!(status.success(), "recording failed ({status})");
    Ok(())
}

/// A program in the folder of this one, where Cargo puts both.
fn program(name: &str) -> Result<PathBuf> {
    let program = workspace::bin_dir().join(name);
    ensure!(program.exists(), "{} is missing: run `cargo build --release`", program.display());
    Ok(program)
}

/// A running `tcprst-record`, killed if it is dropped before it is stopped.
struct Recorder {
    child: Child,
}

impl Recorder {
    fn start(out: &Path) -> Result<Self> {
        let mut child = Command::new(program("tcprst-record")?)
            .arg("--out")
            .arg(out)
            .arg("--print")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run tcprst-record")?;
        let stderr = child.stderr.take().context("no stderr of tcprst-record")?;
        let recorder = Self { child };
        let mut lines = BufReader::new(stderr).lines();
        for line in lines.by_ref() {
            let line = line.context("cannot read the messages of tcprst-record")?;
            eprintln!("{line}");
            if line.contains("recording to") {
                // Later lines are passed on as they come.
                thread::spawn(move || {
                    lines.map_while(std::result::Result::ok).for_each(|l| eprintln!("{l}"))
                });
                return Ok(recorder);
            }
        }
        bail!("tcprst-record did not start: see its messages above");
    }

    fn stop(mut self) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, Signal::SIGINT).context("cannot stop tcprst-record")?;
        let status = self.child.wait().context("cannot wait for tcprst-record")?;
        ensure!(status.success(), "tcprst-record failed: {status}");
        Ok(())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // After `stop` it has been waited for, and both are refused.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
