//! `cargo xtask bench owners`: how often an innocent process is named, by tcprst-record and by
//! tools that take the task on the CPU for the owner (`bpf_get_current_pid_tgid`), on
//! the same resets, while every CPU is busy with something else.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::num::NonZeroU64;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use scenarios::{Abilities, Doctor, Recording, Row, is_of};
use serde_json::{Value as Json, json};

use super::running::spawn_bpftrace;
use super::tool::Tool;
use super::{conditions, programs};
use crate::needs::{self, User};
use crate::{exit, print, workspace};
use scenarios::{
    Busy, Caused, Deadline, Namespace, Outcome, Scenario, Seen, allow_host_changes, play, scenarios,
};

/// Where the table goes with `--write-docs`.
const DOCUMENT: &str = "docs/owners.md";
/// bpftrace compiles first, on a machine that is busy.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a tool needs to print what it has.
const SETTLING: Duration = Duration::from_secs(1);

/// The program of a tool that asks for the current task. The kernel gives both ends as socket
/// addresses: of them family, port and the first bytes of the address are enough.
const CURRENT: &str = r#"tracepoint:tcp:tcp_send_reset {
    printf("%d %s %r %r\n", pid, comm, buf(args->saddr, 24), buf(args->daddr, 24));
}"#;

/// How often somebody was named, and wrongly.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    resets: u64,
    named: u64,
    wrong: u64,
}

impl Count {
    fn add(&mut self, verdict: Verdict) {
        self.resets += 1;
        self.named += u64::from(verdict != Verdict::Nobody);
        self.wrong += u64::from(verdict == Verdict::Wrong);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Nobody,
    Right,
    Wrong,
}

/// A reset whose owner is known, because we made it.
#[derive(Debug)]
struct Truth {
    scenario: &'static Scenario,
    caused: Caused,
}

impl Truth {
    /// Whether naming that process is right: it acted, or its socket was reset. A process that
    /// neither acted nor has a socket is innocent.
    fn judge(&self, pid: u32, has_socket: bool) -> Verdict {
        let own = std::process::id();
        let is_right = self.caused.pid == Some(pid) || has_socket && pid == own;
        match (pid, is_right) {
            // The idle task is nobody.
            (0, _) => Verdict::Nobody,
            (_, true) => Verdict::Right,
            (_, false) => Verdict::Wrong,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct OwnersArgs {
    /// Resets of all kinds
    #[arg(long, value_name = "N", default_value = "1000")]
    resets: NonZeroU64,
    /// Write docs/owners.md
    #[arg(long)]
    write_docs: bool,
}

pub(crate) fn run(args: &OwnersArgs) -> Result<()> {
    exit::require_root("BPF programs and a network namespace need root")?;
    needs::provide(User::BenchOwners)?;
    allow_host_changes();
    let ns = Namespace::new()?;
    let dir = tempfile::tempdir().context("make a folder")?;
    let recorder = workspace::bin_dir().join(Tool::Tcprst.name());
    let abilities = Abilities { received: false, icmp: false, audit: false };
    let recording = Recording::start(&recorder, &dir.path().join("recording"), &ns, abilities)?;
    let mut current = Current::start(dir.path())?;
    let busy = Busy::start()?;
    let doctor = Doctor::ask(&recorder)?;
    let truths = play_until(&ns, &doctor, args.resets.get())?;
    drop(busy);
    thread::sleep(SETTLING);
    let rows = recording.stop(false)?.rows;
    let seen_by_current = current.stop()?;

    let table = tabulate(&ns, &truths, &rows, &seen_by_current)?;
    for line in conditions::describe()? {
        print::line(&line)?;
    }
    print::line(&table.text)?;
    if args.write_docs {
        let path = workspace::root().join(DOCUMENT);
        fs::write(&path, document(&table.text))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    ensure!(table.ours.wrong == 0, "tcprst-record named {} innocent processes", table.ours.wrong);
    Ok(())
}

/// Plays every scenario that this host can, and whose site has a hook here, over and over, until
/// there are so many resets.
fn play_until(ns: &Namespace, doctor: &Doctor, resets: u64) -> Result<Vec<Truth>> {
    let mut truths: Vec<Truth> = Vec::new();
    let is_hooked = |scenario: &&Scenario| {
        doctor.sites.iter().any(|site| site.site == scenario.expect.callee && site.hook.is_some())
    };
    let mut possible: Vec<&'static Scenario> = scenarios()
        .filter(|scenario| scenario.expect.seen == Seen::Sent)
        .filter(is_hooked)
        .collect();
    while (truths.len() as u64) < resets {
        ensure!(!possible.is_empty(), "no scenario is possible here");
        let mut again = Vec::new();
        for scenario in possible {
            match play(ns, &[scenario.name]) {
                Ok(played) => {
                    for (scenario, outcome) in played {
                        if let Outcome::Caused(caused) = outcome {
                            truths.push(Truth { scenario, caused });
                            again.push(scenario);
                        }
                    }
                }
                // On a machine that is full a step may come too late; the next round tries again.
                Err(error) => {
                    eprintln!("{}: {error:#}", scenario.name);
                    again.push(scenario);
                }
            }
            if truths.len() as u64 >= resets {
                break;
            }
        }
        eprintln!("{} resets", truths.len());
        possible = again;
    }
    Ok(truths)
}

/// The two counts, and the table of them.
struct OwnersTable {
    ours: Count,
    text: String,
}

fn tabulate(
    ns: &Namespace,
    truths: &[Truth],
    rows: &[Row],
    current: &[Sighting],
) -> Result<OwnersTable> {
    let mut by_cause: BTreeMap<&str, (Count, Count)> = BTreeMap::new();
    let (mut ours, mut theirs) = (Count::default(), Count::default());
    for truth in truths {
        let here = |row: &&Row| row.get("netns_id") == Some(&json!(ns.inode()));
        let mut found = rows.iter().filter(|row| is_of(row, &truth.caused)).filter(here);
        let Some(row) = found.next() else { continue };
        let counts = by_cause.entry(truth.scenario.expect.cause).or_default();
        let verdict = verdict_on(truth, row);
        if verdict == Verdict::Wrong {
            eprintln!("{}: an innocent is named: {row:?}", truth.scenario.name);
        }
        counts.0.add(verdict);
        ours.add(verdict);
        if let Some(sighting) = current.iter().find(|sighting| sighting.is_of(&truth.caused)) {
            let verdict = truth.judge(sighting.pid, truth.scenario.expect.sk_state.is_some());
            counts.1.add(verdict);
            theirs.add(verdict);
        }
    }
    ensure!(ours.resets > 0 && theirs.resets > 0, "nothing was recorded, so nothing is compared");
    let mut text = String::from(
        "| cause | resets | tcprst names | wrongly | current task names | wrongly |\n\
         |---|---:|---:|---:|---:|---:|\n",
    );
    let all = ("all", (ours, theirs));
    for (cause, (ours, theirs)) in by_cause.into_iter().chain([all]) {
        text += &format!(
            "| {cause} | {} | {} | {} | {} of {} | {} |\n",
            ours.resets, ours.named, ours.wrong, theirs.named, theirs.resets, theirs.wrong
        );
    }
    Ok(OwnersTable { ours, text })
}

/// Every process and container that a row names must be right.
fn verdict_on(truth: &Truth, row: &Row) -> Verdict {
    let number = |column: &str| {
        row.get(column).and_then(Json::as_u64).and_then(|number| u32::try_from(number).ok())
    };
    let acted = number("pid").map(|pid| match truth.caused.pid == Some(pid) {
        true => Verdict::Right,
        false => Verdict::Wrong,
    });
    let owns = number("socket_pid").map(|pid| truth.judge(pid, true));
    // None of ours is in a container.
    let contained = ["container_id", "k8s_pod"]
        .iter()
        .any(|column| row.get(*column).is_some_and(|value| !value.is_null()))
        .then_some(Verdict::Wrong);
    let said: Vec<Verdict> = [acted, owns, contained].into_iter().flatten().collect();
    if said.contains(&Verdict::Wrong) {
        Verdict::Wrong
    } else if said.is_empty() {
        Verdict::Nobody
    } else {
        Verdict::Right
    }
}

/// A line of [`CURRENT`].
#[derive(Debug, PartialEq, Eq)]
struct Sighting {
    pid: u32,
    /// Ports of source and destination.
    ports: (u16, u16),
}

impl Sighting {
    fn is_of(&self, caused: &Caused) -> bool {
        self.ports == (caused.src_port, caused.dst_port)
    }

    /// `PID COMM ADDRESS ADDRESS`; a comm may have blanks in it.
    fn parse(line: &str) -> Option<Self> {
        let (pid, rest) = line.split_once(' ')?;
        let mut ends = rest.rsplitn(3, ' ');
        let (dst, src) = (ends.next()?, ends.next()?);
        Some(Self { pid: pid.parse().ok()?, ports: (port(src)?, port(dst)?) })
    }
}

/// The port in a socket address, as bpftrace prints bytes: `\xNN`, or as they are where they can
/// be printed.
fn port(text: &str) -> Option<u16> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let digits = more.strip_prefix(b"x")?.get(..2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = &more[3..];
    }
    // `struct sockaddr_in` and `sockaddr_in6`: family, port in network order.
    Some(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))
}

/// bpftrace, which prints the current task of each reset.
struct Current {
    child: Child,
    out: std::path::PathBuf,
}

impl Current {
    fn start(dir: &Path) -> Result<Self> {
        let out = dir.join("current");
        let mut command = Command::new("bpftrace");
        command
            .args(["-e", CURRENT])
            .stdin(Stdio::null())
            .stdout(File::create(&out)?)
            .stderr(File::create(dir.join("current.stderr"))?);
        let child = spawn_bpftrace(command).context("start bpftrace")?;
        let mut current = Self { child, out };
        Deadline::after(START_LIMIT).until("bpftrace to be ready", || {
            if let Some(status) = current.child.try_wait()? {
                bail!(
                    "bpftrace ended ({status}): {}",
                    fs::read_to_string(dir.join("current.stderr"))?
                );
            }
            let before = programs::for_process(current.child.id())?;
            thread::sleep(Duration::from_millis(300));
            let after = programs::for_process(current.child.id())?;
            Ok(!before.is_empty() && before.keys().eq(after.keys()))
        })?;
        Ok(current)
    }

    fn stop(&mut self) -> Result<Vec<Sighting>> {
        kill(Pid::from_raw(self.child.id().try_into()?), Signal::SIGINT).context("send SIGINT")?;
        self.child.wait()?;
        let text = String::from_utf8_lossy(&fs::read(&self.out)?).into_owned();
        Ok(text.lines().filter_map(Sighting::parse).collect())
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        // After `stop` it has been waited for, and both are refused.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn document(table: &str) -> String {
    format!(
        "# Who is named\n\n\
         Written by `cargo xtask bench owners --write-docs`. It plays every scenario that this host \
         can, again and again, in a network namespace of its own, while an unrelated process spins \
         on each CPU. tcprst-record and a bpftrace one-liner that prints the current task \
         (`bpf_get_current_pid_tgid`, `bpf_get_current_comm`) see the same resets.\n\n\
         A process is named wrongly if it neither acted nor owned the socket. tcprst names the task \
         that acted (`pid`), the owner of the socket (`socket_pid`), or no process. The current task \
         is always some process, except for the idle task, which counts as none. \
         [ownership.md](ownership.md) explains the rules.\n\n{table}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bpftrace_prints_is_read() {
        let line = r"4242 tcprst scene \x02\x00[\xc5\x7f\x00\x00\x01 \x02\x00\x8c!\x7f\x00\x00\x01";
        let expected = Sighting { pid: 4242, ports: (0x5bc5, 0x8c21) };
        assert_eq!(Sighting::parse(line), Some(expected));
        assert_eq!(Sighting::parse("Attaching 1 probe..."), None);
    }
}
