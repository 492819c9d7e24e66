//! `cargo xtask demo`: what a newcomer runs first. Builds the two programs, records while real
//! resets are caused, and asks who caused them.

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

use crate::{print, workspace};
use scenarios::{Expect, Namespace, Outcome, Seen, play, scenarios};

const QUESTION: &str = "select caller, cause, blame, count(*) as resets from resets \
                        group by caller, cause, blame order by resets desc, caller, cause";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the recording; emptied first
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The programs are built already
    #[arg(long, hide = true)]
    built: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    if !args.built {
        build()?;
    }
    let out = args.out.unwrap_or_else(|| workspace::target_dir().join("demo"));
    if !Uid::effective().is_root() {
        return as_root(&out);
    }
    // Only a recording of ours is removed: the folder is named by the user.
    if out.join("resets").is_dir() {
        fs::remove_dir_all(&out).with_context(|| format!("cannot empty {}", out.display()))?;
    }
    let recorder = Recorder::start(&out)?;
    let ns = Namespace::new()?;
    let played = play(&ns, &by_tcp())?;
    let caused = played.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Caused(_))).count();
    // Resets that are below the wake-up mark reach the recorder within a tenth of a second.
    thread::sleep(Duration::from_millis(300));
    recorder.stop()?;
    print::line(&format!("{} resets caused in a network namespace of their own.\n", caused))?;
    let here = env::current_dir().unwrap_or_default();
    let shown = out.strip_prefix(here).unwrap_or(&out);
    print::line(&format!("$ tcprst-analyze --data {} \"{QUESTION}\"", shown.display()))?;
    let status = Command::new(program("tcprst-analyze")?)
        .arg("--data")
        .arg(&out)
        .arg(QUESTION)
        .status()
        .context("cannot run tcprst-analyze")?;
    ensure!(status.success(), "tcprst-analyze failed");
    Ok(())
}

/// The scenarios in which TCP itself sends the reset: any kernel shows those, and they need no
/// firewall's tools.
fn by_tcp() -> Vec<&'static str> {
    let is_shown = |expect: &Expect| expect.seen == Seen::Sent && expect.callee.starts_with("tcp_");
    scenarios()
        .filter(|scenario| is_shown(&scenario.expect))
        .map(|scenario| scenario.name)
        .collect()
}

fn build() -> Result<()> {
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(workspace::root())
        .args(["build", "--release", "--locked", "--bins"])
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "the programs do not build");
    Ok(())
}

/// Recording needs root, building must not be done by it: only this part goes through sudo.
fn as_root(out: &Path) -> Result<()> {
    let me = env::current_exe().context("cannot find this program")?;
    let status = Command::new("sudo")
        .arg(me)
        .args(["demo", "--built", "--out"])
        .arg(out)
        .status()
        .context("recording needs root, and sudo cannot be run: run this as root")?;
    ensure!(status.success(), "the demo failed");
    Ok(())
}

fn program(name: &str) -> Result<PathBuf> {
    // Beside this program: that is also true of a copy that sudo runs.
    let me = env::current_exe().context("cannot find this program")?;
    let program = me.with_file_name(name);
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
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run tcprst-record")?;
        let stderr = child.stderr.take().context("no stderr of tcprst-record")?;
        let recorder = Self { child };
        let mut lines = BufReader::new(stderr).lines();
        for line in lines.by_ref() {
            let line = line.context("cannot read what tcprst-record says")?;
            eprintln!("{line}");
            if line.contains("recording to") {
                // What it says later is passed on as it comes.
                thread::spawn(move || {
                    lines.map_while(std::result::Result::ok).for_each(|l| eprintln!("{l}"))
                });
                return Ok(recorder);
            }
        }
        bail!("tcprst-record did not start");
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
