//! A running `tcprst-record`, its rows and its messages.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::ledger::LedgerEntry;
use crate::deadline::Deadline;
use crate::stage::netns::Namespace;

/// A recorded reset by the names of its columns.
pub type Row = BTreeMap<String, Json>;

/// How long a recorder may take to start or to end, in an emulated machine too.
const LIMIT: Duration = Duration::from_secs(120);
/// Nothing may be lost, even where others on this machine flood.
pub(crate) const ROOMY: [&str; 2] = ["--ring-size", "16MiB"];
/// Resets below the wake-up mark reach the recorder within a tenth of a second.
const SETTLING: Duration = Duration::from_millis(500);

/// The output of `tcprst-record doctor --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doctor {
    pub kernel: String,
    /// Number of reset reasons that the kernel names; 0 before 6.10.
    pub reasons: usize,
    pub symbols: bool,
    pub sites: Vec<Site>,
    pub owners: Owners,
}

/// The part about owners.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owners {
    /// `v2`, `hybrid` or `v1`.
    pub cgroups: String,
    /// The hook that sees the process which accepts a connection; none where nothing does.
    pub accept: Option<String>,
    pub accept_note: Option<String>,
    /// Hooks that failed.
    pub missing: Vec<String>,
}

/// A function that the recorder hooks, by which kind of hook, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    pub site: String,
    pub hook: Option<String>,
    /// The function that the hook is attached to, or why there is no hook.
    pub detail: String,
    pub direction: String,
    /// Why that hook and no other.
    pub why: String,
}

impl Doctor {
    pub fn ask(recorder: &Path) -> Result<Self> {
        let mut command = Command::new(recorder);
        let done = command.args(["doctor", "--json"]).stdin(Stdio::null()).output();
        let done = done.with_context(|| format!("cannot run {}", recorder.display()))?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "doctor: {}: {}", done.status, said.trim());
        serde_json::from_slice(&done.stdout).context("doctor's JSON")
    }
}

/// The optional parts of a recorder, by its own help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    pub received: bool,
    pub icmp: bool,
    pub audit: bool,
}

impl Abilities {
    pub(super) fn ask(recorder: &Path) -> Result<Self> {
        let help = Command::new(recorder).arg("--help").output();
        let help = help.with_context(|| format!("cannot run {}", recorder.display()))?;
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        let has = |flag: &str| help.split_ascii_whitespace().any(|word| word == flag);
        Ok(Self { received: has("--received"), icmp: has("--icmp"), audit: has("--audit") })
    }

    fn flags(self) -> impl Iterator<Item = &'static str> {
        [(self.received, "--received"), (self.icmp, "--icmp"), (self.audit, "--audit")]
            .into_iter()
            .filter_map(|(has, flag)| has.then_some(flag))
    }
}

/// A recorder at work; it is killed if this is dropped before it is stopped.
#[derive(Debug)]
pub struct Recording {
    child: Child,
    folder: PathBuf,
    out: Lines,
    err: Lines,
}

/// How a recording ended.
#[derive(Debug)]
pub struct Recorded {
    pub rows: Vec<Row>,
    /// None where the recorder keeps none.
    pub ledger: Option<Vec<LedgerEntry>>,
    /// Lines of stderr.
    pub said: Vec<String>,
}

impl Recording {
    /// Starts `recorder` inside `ns`, because its audit listens in its own network namespace,
    /// and returns once it records. Its probes see the whole machine all the same.
    pub fn start(
        recorder: &Path,
        out: &Path,
        ns: &Namespace,
        abilities: Abilities,
    ) -> Result<Self> {
        let flags: Vec<&str> = ROOMY.into_iter().chain(abilities.flags()).collect();
        Self::start_with(recorder, out, Some(ns), &flags)
    }

    /// The same with these options alone, on the host where no namespace is given.
    pub fn start_with(
        recorder: &Path,
        out: &Path,
        ns: Option<&Namespace>,
        options: &[&str],
    ) -> Result<Self> {
        let folder = out.to_owned();
        let mut command = Command::new(recorder);
        command
            .arg("--out")
            .arg(out)
            .arg("--print=json")
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut spawn =
            || command.spawn().with_context(|| format!("cannot run {}", recorder.display()));
        let mut child = match ns {
            Some(ns) => ns.run(spawn)?,
            None => spawn()?,
        };
        let out = Lines::new(child.stdout.take().context("no stdout of the recorder")?);
        let err = Lines::new(child.stderr.take().context("no stderr of the recorder")?);
        let mut recording = Self { child, folder, out, err };
        Deadline::after(LIMIT).until("the recorder to start", || {
            if recording.has_said("recording to") {
                return Ok(true);
            }
            match recording.child.try_wait()? {
                None => Ok(false),
                Some(status) => {
                    bail!("the recorder ended ({status}): {}", recording.err.lock().join("; "))
                }
            }
        })?;
        Ok(recording)
    }

    /// Where it records to.
    pub fn out(&self) -> &Path {
        &self.folder
    }

    /// Whether a line of stderr contains this.
    pub fn has_said(&self, what: &str) -> bool {
        self.err.lock().iter().any(|line| line.contains(what))
    }

    /// The lines on stderr so far.
    pub fn said(&self) -> Vec<String> {
        self.err.lock().clone()
    }

    /// The rows printed so far.
    pub fn rows(&self) -> Result<Vec<Row>> {
        Ok(parse(&self.out.lock())?.0)
    }

    /// Ends it as its users do, by Ctrl-C.
    pub fn stop(mut self, audited: bool) -> Result<Recorded> {
        thread::sleep(SETTLING);
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, Signal::SIGINT).context("stop the recorder")?;
        Deadline::after(LIMIT)
            .until("the recorder to end", || Ok(self.child.try_wait()?.is_some()))?;
        let status = self.child.wait()?;
        let printed = self.out.all()?;
        let said = self.err.all()?;
        ensure!(status.success(), "the recorder failed ({status}): {}", said.join("; "));
        let (rows, ledger) = parse(&printed)?;
        Ok(Recorded { rows, ledger: audited.then_some(ledger), said })
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // After `stop` it has been waited for, and both are refused.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Rows and entries of the ledger, one JSON object a line.
fn parse(lines: &[String]) -> Result<(Vec<Row>, Vec<LedgerEntry>)> {
    let (mut rows, mut ledger) = (vec![], vec![]);
    for line in lines {
        let mut row: Row =
            serde_json::from_str(line).with_context(|| format!("not a row: {line}"))?;
        match row.remove("ledger") {
            Some(entry) => ledger.push(
                serde_json::from_value(entry)
                    .with_context(|| format!("not an entry of the ledger: {line}"))?,
            ),
            None => rows.push(row),
        }
    }
    Ok((rows, ledger))
}

/// The lines of a pipe, read as they come, so that the writer never waits.
#[derive(Debug)]
struct Lines {
    read: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<std::io::Result<()>>>,
}

impl Lines {
    fn new(pipe: impl Read + Send + 'static) -> Self {
        let read = Arc::new(Mutex::new(vec![]));
        let filled = Arc::clone(&read);
        let reader = thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                filled.lock().unwrap_or_else(PoisonError::into_inner).push(line?);
            }
            Ok(())
        });
        Self { read, reader: Some(reader) }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything, once the pipe has ended.
    fn all(&mut self) -> Result<Vec<String>> {
        if let Some(reader) = self.reader.take() {
            let done = reader.join().map_err(|_| anyhow!("a reader panicked"))?;
            done.context("read the output of the recorder")?;
        }
        Ok(self.lock().clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger::EntryKind;
    use super::*;

    #[test]
    fn rows_and_ledger_share_a_stream() -> Result<()> {
        let lines = [
            r#"{"callee":"tcp_v4_send_reset","src_port":21011}"#,
            r#"{"ledger":{"entry":"seen","count":3,"src_addr":null,"src_port":null}}"#,
            r#"{"ledger":{"entry":"crafted","count":1,"family":"ipv4","src_addr":"127.0.0.1",
               "src_port":1,"dst_addr":"127.0.0.1","dst_port":2,"device":"lo"}}"#,
        ];
        let (rows, ledger) = parse(&lines.map(str::to_owned))?;
        assert_eq!((rows.len(), ledger.len()), (1, 2));
        assert_eq!((ledger[1].entry, ledger[1].dst_port), (EntryKind::Crafted, Some(2)));
        assert!(parse(&["half a li".to_owned()]).is_err());
        Ok(())
    }
}
