//! The kernel's own account of the resets that it sends, as text from tracefs: an oracle that
//! shares nothing with the recorder. Needs root and a kernel from 6.10 on.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process;

use anyhow::{Context, Result, anyhow};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

/// What the kernel said about one reset.
#[derive(Debug)]
pub(crate) struct Witness {
    pub(crate) src: SocketAddr,
    pub(crate) dst: SocketAddr,
    /// The thread on the CPU, guilty or not.
    pub(crate) comm: String,
    pub(crate) tid: u32,
    /// Without `TCP_`; before the reset, and none where there is no socket.
    pub(crate) state: Option<String>,
    pub(crate) reason: String,
    pub(crate) context: &'static str,
    /// The function that sent the reset, its caller, and so on.
    pub(crate) stack: Vec<String>,
}

/// A trace buffer of its own, seen by the calling thread alone.
#[derive(Debug)]
pub(crate) struct Trace {
    instance: PathBuf,
    mount_point: TempDir,
}

impl Trace {
    /// Moves the calling thread into a mount namespace of its own, for good.
    pub(crate) fn start() -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNS).context("make a mount namespace")?;
        let none = None::<&str>;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(none, "/", none, private, none).context("make mounts private")?;
        let mount_point = tempfile::tempdir()?;
        mount(Some("tracefs"), mount_point.path(), Some("tracefs"), MsFlags::empty(), none)
            .context("mount tracefs")?;
        let instance =
            mount_point.path().join("instances").join(format!("tcprst-{}", process::id()));
        fs::create_dir(&instance).context("make a trace instance")?;
        let trace = Self { instance, mount_point };
        trace.set("buffer_size_kb", "4096")?;
        trace.set("options/stacktrace", "1")?;
        // Only the step that ends a connection: it tells the state before the reset.
        let ends = "protocol == 6 && newstate == 7";
        trace.set("events/sock/inet_sock_set_state/filter", ends)?;
        trace.set("events/sock/inet_sock_set_state/enable", "1")?;
        trace.set("events/tcp/tcp_send_reset/enable", "1")?;
        Ok(trace)
    }

    fn set(&self, file: &str, value: &str) -> Result<()> {
        let path = self.instance.join(file);
        fs::write(&path, value).with_context(|| format!("write {value:?} to {}", path.display()))
    }

    /// Forgets what was traced.
    pub(crate) fn clear(&self) -> Result<()> {
        File::create(self.instance.join("trace")).context("clear the trace")?;
        Ok(())
    }

    /// The resets sent from `port` since the last `clear`: a system-wide trace sees others too.
    pub(crate) fn resets(&self, port: u16) -> Result<Vec<Witness>> {
        parse(&self.text()?, port)
    }

    fn text(&self) -> Result<String> {
        let path = self.instance.join("trace");
        fs::read_to_string(path).context("read the trace")
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // The instance would outlive this process; a leftover mount would not.
        if let Err(error) = fs::remove_dir(&self.instance) {
            eprintln!("trace instance left over: {error}");
        }
        if let Err(error) = umount2(self.mount_point.path(), MntFlags::MNT_DETACH) {
            eprintln!("tracefs left mounted: {error}");
        }
    }
}

/// An event is a line `COMM-TID [CPU] FLAGS TIME: EVENT: KEY=VALUE ...`; its stack is an entry
/// of its own, a line `COMM-TID [CPU] FLAGS TIME: <stack trace>` and lines ` => FRAME`,
/// innermost first. Entries of other CPUs may come between the two.
fn parse(text: &str, port: u16) -> Result<Vec<Witness>> {
    let mut found = vec![];
    let mut ends: Vec<&str> = vec![];
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.contains(": inet_sock_set_state: ") {
            ends.push(line);
        }
        if line.contains(": tcp_send_reset: ") {
            let src: SocketAddr = value(line, "src")?.parse()?;
            if src.port() == port {
                found.push(witness(line, src, stack(cpu(line)?, lines.clone()), &ends)?);
            }
        }
    }
    Ok(found)
}

/// The next stack that `cpu` recorded.
fn stack<'a>(cpu: &str, following: impl Iterator<Item = &'a str>) -> Vec<String> {
    following
        .skip_while(|line| !(line.ends_with(": <stack trace>") && cpu_is(line, cpu)))
        .skip(1)
        .map_while(|line| line.strip_prefix(" => "))
        // `.part.0` and its like are the compiler's, not the function's name.
        .map(|frame| frame.split('.').next().unwrap_or(frame).to_owned())
        // The tracer's own; the second is there while somebody else uses the tracepoint too.
        .skip_while(|frame| {
            frame.starts_with("trace_event_raw_event_") || frame.starts_with("__traceiter_")
        })
        .collect()
}

/// `[001]`
fn cpu(line: &str) -> Result<&str> {
    line.split_ascii_whitespace()
        .find(|word| word.starts_with('[') && word.ends_with(']'))
        .with_context(|| format!("no CPU in {line}"))
}

fn cpu_is(line: &str, wanted: &str) -> bool {
    cpu(line).is_ok_and(|cpu| cpu == wanted)
}

fn witness(line: &str, src: SocketAddr, stack: Vec<String>, ends: &[&str]) -> Result<Witness> {
    let dst: SocketAddr = value(line, "dest")?.parse()?;
    let state = match value(line, "state")? {
        "UNKNOWN" => None,
        "TCP_CLOSE" => Some(last_state(src, dst, ends)?),
        state => Some(state),
    };
    let (task, rest) = line.split_once(" [").with_context(|| format!("no CPU in {line}"))?;
    let (comm, tid) = task.rsplit_once('-').with_context(|| format!("no task in {line}"))?;
    let flags = rest.split_ascii_whitespace().nth(1).unwrap_or_default();
    let interrupt = flags.chars().nth(2) != Some('.');
    let timer = stack.iter().any(|frame| frame == "run_timer_softirq");
    Ok(Witness {
        src,
        dst,
        comm: comm.trim_start().to_owned(),
        tid: tid.trim_end().parse()?,
        state: state.map(|state| state.trim_start_matches("TCP_").to_owned()),
        reason: value(line, "reason")?.to_owned(),
        context: match (interrupt, timer) {
            (false, _) => "task",
            (true, false) => "packet",
            (true, true) => "timer",
        },
        stack,
    })
}

/// The state that the connection left for CLOSE, just before.
fn last_state<'a>(src: SocketAddr, dst: SocketAddr, ends: &[&'a str]) -> Result<&'a str> {
    let ours = |line: &&&str| {
        value(line, "sport").is_ok_and(|port| port == src.port().to_string())
            && value(line, "dport").is_ok_and(|port| port == dst.port().to_string())
    };
    let line = ends.iter().rev().find(ours);
    value(line.with_context(|| format!("{src} to {dst} never left for CLOSE"))?, "oldstate")
}

fn value<'a>(line: &'a str, key: &str) -> Result<&'a str> {
    line.split_ascii_whitespace()
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        .ok_or_else(|| anyhow!("no {key} in {line}"))
}
