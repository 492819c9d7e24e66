//! A tool at work, and what it has to show in the end.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use scenarios::{Account, Deadline, Namespace};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use super::attach;
use super::programs;
use super::tool::{PCAP, Tool};
use super::usage::{self, Memory};
use crate::workspace;

/// bpftrace compiles first, on a machine that may be busy.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Programs that stay this long are attached.
const ATTACH_TIME: Duration = Duration::from_millis(300);

/// A tool that sees every reset in the namespace until it is stopped.
#[derive(Debug)]
pub(crate) struct Running {
    tool: Tool,
    child: Child,
    dir: TempDir,
    /// The CPU time of the start, which has nothing to do with resets.
    start_cpu: Duration,
}

/// The part of the namespace's resets that a tool recorded, and what that took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally {
    /// Row by row.
    pub(crate) kept: u64,
    /// By its own account.
    pub(crate) lost: u64,
    /// The account of tcprst-record.
    pub(crate) ledger: Option<Ledger>,
    /// On disk; none for bpftrace, which writes none.
    pub(crate) bytes: Option<u64>,
    /// From its start on, until its end.
    pub(crate) cpu: Duration,
    pub(crate) memory: Memory,
}

impl Tally {
    /// Resets of the whole machine that the tool had to do with; `resets` are the namespace's.
    pub(crate) fn all(&self, resets: u64) -> f64 {
        self.ledger.map_or(resets, |ledger| ledger.account.seen.max(resets)) as f64
    }

    /// Resets of the namespace that the tool knows of.
    pub(crate) fn known(&self) -> u64 {
        self.kept + self.ledger.map_or(0, |ledger| ledger.counted_here)
    }
}

/// What tcprst-record says of the whole machine, and of the namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ledger {
    /// The sum of the footers.
    pub(crate) account: Account,
    /// The sums of the table `losses`.
    pub(crate) keyed_lost: u64,
    pub(crate) keyed_counted: u64,
    /// The part of it that the namespace has.
    pub(crate) counted_here: u64,
}

impl Running {
    pub(crate) fn start(tool: Tool, ns: &Namespace) -> Result<Self> {
        let dir = tempfile::tempdir().context("make a folder")?;
        // tcpdump writes as a user of its own.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o777))?;
        let mut command = tool.command(dir.path());
        command
            .stdin(Stdio::null())
            .stdout(File::create(dir.path().join("stdout"))?)
            .stderr(File::create(dir.path().join("stderr"))?);
        let child = match tool {
            Tool::Tcprst | Tool::TcprstWithoutOwner => spawn(command),
            Tool::Tcpdump => ns.run(|| spawn(command)),
            Tool::Bpftrace => spawn_bpftrace(command),
        }
        .with_context(|| format!("start {}", tool.name()))?;
        let mut running = Self { tool, child, dir, start_cpu: Duration::ZERO };
        running.await_ready()?;
        running.start_cpu = usage::total_of(running.pid())?;
        Ok(running)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where tcprst-record records to.
    pub(crate) fn recording(&self) -> std::path::PathBuf {
        self.dir.path().join("recording")
    }

    fn await_ready(&mut self) -> Result<()> {
        let what = format!("{} to be ready", self.tool.name());
        Deadline::after(START_LIMIT).until(&what, || {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}): {}", self.tool.name(), self.said("stderr")?.trim());
            }
            match self.tool {
                Tool::Tcprst | Tool::TcprstWithoutOwner => {
                    Ok(self.said("stderr")?.contains("recording to"))
                }
                Tool::Tcpdump => Ok(self.said("stderr")?.contains("listening on")),
                // It says "Attaching" before it does, and loads others for a moment to see
                // what the kernel can do.
                Tool::Bpftrace => {
                    let before = programs::for_process(self.pid())?;
                    thread::sleep(ATTACH_TIME);
                    let after = programs::for_process(self.pid())?;
                    Ok(!before.is_empty() && before.keys().eq(after.keys()))
                }
            }
        })
    }

    fn said(&self, stream: &str) -> Result<String> {
        let path = self.dir.path().join(stream);
        let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Ends it as its users do, by Ctrl-C; returns its CPU time from its start on, and its memory,
    /// whose peak may be at the end.
    pub(crate) fn end(&mut self) -> Result<(Duration, Memory)> {
        thread::sleep(self.tool.settling_time());
        let mut memory = Memory::for_process(self.pid())?;
        let ended = usage::of_ended_children()?;
        kill(Pid::from_raw(self.pid().try_into()?), Signal::SIGINT).context("send SIGINT")?;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            // A process that has ended has no memory.
            memory.peak = Memory::for_process(self.pid()).map_or(memory.peak, |now| now.peak);
            thread::sleep(Duration::from_millis(1));
        };
        let cpu = (usage::of_ended_children()? - ended).saturating_sub(self.start_cpu);
        let name = self.tool.name();
        ensure!(status.success(), "{name} ended ({status}): {}", self.said("stderr")?.trim());
        Ok((cpu, memory))
    }

    /// Ends it, and takes stock.
    pub(crate) fn stop(&mut self, ns: &Namespace) -> Result<Tally> {
        let (cpu, memory) = self.end()?;
        let tally = Tally { kept: 0, lost: 0, ledger: None, bytes: None, cpu, memory };
        Ok(match self.tool {
            Tool::Tcprst | Tool::TcprstWithoutOwner => {
                let ledger = ledger(&self.recording(), ns)?;
                Tally {
                    kept: rows(&self.recording(), ns, "=")?,
                    lost: ledger.account.lost,
                    ledger: Some(ledger),
                    bytes: Some(size_of_files(&self.recording())?),
                    ..tally
                }
            }
            Tool::Tcpdump => {
                let stderr = self.said("stderr")?;
                let (kept, lost) = tcpdump_counts(&stderr)
                    .with_context(|| format!("no counts in the output of tcpdump: {stderr}"))?;
                let bytes = Some(self.dir.path().join(PCAP).metadata()?.len());
                Tally { kept, lost, bytes, ..tally }
            }
            Tool::Bpftrace => Tally { kept: bpftrace_counts(&self.said("stdout")?), ..tally },
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it is gone already, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(mut command: Command) -> Result<Child> {
    Ok(command.spawn()?)
}

/// Starts bpftrace from a thread that has, and is, what bpftrace needs around it.
pub(crate) fn spawn_bpftrace(command: Command) -> Result<Child> {
    let start = || {
        attach::provide_tracefs()?;
        if !attach::may_lock_memory() {
            attach::pretend_memlock()?;
        }
        spawn(command)
    };
    thread::scope(|scope| {
        scope.spawn(start).join().unwrap_or_else(|_| Err(anyhow!("the thread panicked")))
    })
}

fn ledger(dir: &Path, ns: &Namespace) -> Result<Ledger> {
    let sql = format!(
        "select sum(count) filter (where stage <> 'counted') as lost, \
         sum(count) filter (where stage = 'counted') as counted, \
         sum(count) filter (where stage = 'counted' and netns_cookie = {}) as here from losses",
        ns.cookie()
    );
    let [keyed_lost, keyed_counted, counted_here] = query(dir, &sql, ["lost", "counted", "here"])?;
    Ok(Ledger { account: Account::read(dir)?, keyed_lost, keyed_counted, counted_here })
}

/// The bytes of all files below a folder.
fn size_of_files(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        sum += match entry.file_type()?.is_dir() {
            true => size_of_files(&entry.path())?,
            false => entry.metadata()?.len(),
        };
    }
    Ok(sum)
}

/// Rows whose namespace is (`=`) or is not (`<>`) `ns`.
pub(crate) fn rows(dir: &Path, ns: &Namespace, compare: &str) -> Result<u64> {
    let cookie = ns.cookie();
    let sql = format!("select count(*) as n from resets where netns_cookie {compare} {cookie}");
    let [count] = query(dir, &sql, ["n"])?;
    Ok(count)
}

/// Numbers in the one row that a query gives, by name; null is 0.
fn query<const N: usize>(dir: &Path, sql: &str, names: [&str; N]) -> Result<[u64; N]> {
    let program = workspace::bin_dir().join("tcprst-analyze");
    let output = Command::new(&program)
        .arg("--data")
        .arg(dir)
        .args(["--format", "json", sql])
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("start {}", program.display()))?;
    ensure!(output.status.success(), "{sql}: tcprst-analyze: {}", output.status);
    let [row]: [serde_json::Value; 1] = from_json(&output.stdout)?;
    Ok(names.map(|name| row[name].as_u64().unwrap_or(0)))
}

fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .with_context(|| format!("unexpected answer: {}", String::from_utf8_lossy(bytes)))
}

/// Packets captured, and dropped by the kernel.
fn tcpdump_counts(said: &str) -> Option<(u64, u64)> {
    let count = |what: [&str; 2]| {
        said.lines().find_map(|line| {
            let line = line.trim();
            what.iter().find_map(|what| line.strip_suffix(what)?.trim().parse().ok())
        })
    };
    Some((
        count(["packet captured", "packets captured"])?,
        count(["packet dropped by kernel", "packets dropped by kernel"])?,
    ))
}

/// The sum over all stacks: each ends in a line `]: COUNT`. Resets of the whole machine, since
/// the one-liner does not distinguish namespaces.
fn bpftrace_counts(said: &str) -> u64 {
    said.lines().filter_map(|line| line.strip_prefix("]: ")?.trim().parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_peers_say_is_understood() {
        let tcpdump = "tcpdump: listening on lo, link-type EN10MB (Ethernet)\n\
                       1 packet captured\n24 packets received by filter\n\
                       7 packets dropped by kernel\n";
        assert_eq!(tcpdump_counts(tcpdump), Some((1, 7)));
        assert_eq!(tcpdump_counts("0 packets captured\n"), None);
        let bpftrace = "Attaching 1 probe...\n\n\n@[\n    tcp_v4_send_reset+1655\n\
                        ]: 12\n@[\n    tcp_v4_send_reset+1655\n    tcp_v4_rcv+2242\n]: 988\n";
        assert_eq!(bpftrace_counts(bpftrace), 1000);
    }
}
