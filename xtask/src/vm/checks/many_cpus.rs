//! The test `many_cpus`: on a machine with 64 CPUs the recorder starts, and resets of each CPU are
//! all written, with the owners of their sockets.
//!
//! Each CPU has a listener of its own. That is what small LRU maps forget: every CPU takes 128 free
//! entries at a time for itself, so that before 6.16 the last of 64 CPUs find a map of 4,096 full
//! and evict what others have just put in.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use scenarios::{Account, Deadline, Mix, Namespace, Recording, ResetSource, Row};
use serde_json::Value as Json;

use super::bench::{Bench, Faults};

/// CPUs of the guest.
pub(crate) const CPUS: u32 = 64;
/// The port of CPU 0; the others follow.
const FIRST_PORT: u16 = 22_000;
/// Resets of all kinds that every CPU causes at the same time as the others.
const TOGETHER: u64 = 20;
/// Emulated, 64 CPUs share two.
const PATIENCE: Duration = Duration::from_secs(60);

/// The resets of one CPU whose owner is known: the causes in the order in which they come.
const OWNED: [&str; 2] = ["app_close_unread", "app_listener_closed"];

pub(super) fn run(bench: &Bench) -> Result<Faults> {
    let cpus = cpus()?;
    ensure!(cpus.len() >= CPUS as usize, "{} CPUs in place of {CPUS}", cpus.len());
    let ns = Namespace::new()?;
    let out = bench.work.join("many_cpus");
    // Its defaults are tested, those of the rings above all.
    let recording = Recording::start_with(&bench.recorder, &out, Some(&ns), &[])?;
    play(&ns, &cpus)?;
    let resets = ns.out_rsts()?;
    let recorded = recording.stop(false)?;
    for line in &recorded.said {
        eprintln!("{line}");
    }
    let rows: Vec<&Row> = recorded
        .rows
        .iter()
        .filter(|row| row.get("netns_id").is_some_and(|id| *id == ns.inode()))
        .collect();
    let mut faults = owners(&rows, &cpus);
    faults.extend(strangers(&rows));
    faults.extend(forgotten(&rows));
    faults.extend(account(&Account::read(&out)?, rows.len() as u64, resets));
    Ok(faults)
}

/// The CPUs that this process may use.
fn cpus() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).context("ask for the CPUs")?;
    Ok((0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false)).collect())
}

/// Causes resets on each CPU: first its own listener's, whose owners all the others could push out,
/// then resets of all kinds on all CPUs at the same time.
fn play(ns: &Namespace, cpus: &[usize]) -> Result<()> {
    let mut doors = Vec::new();
    for &cpu in cpus {
        doors.push(on_cpu(ns, cpu, || Door::open(port(cpu)?))?);
    }
    for (&cpu, door) in cpus.iter().zip(doors) {
        on_cpu(ns, cpu, || door.close()).with_context(|| format!("resets on CPU {cpu}"))?;
    }
    thread::scope(|scope| {
        let threads: Vec<_> = cpus
            .iter()
            .map(|&cpu| {
                scope.spawn(move || {
                    on_cpu(ns, cpu, || {
                        let mut source = ResetSource::new(&Mix::all())?;
                        (0..TOGETHER).try_for_each(|_| source.cause_one())
                    })
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked")))
        })
    })
}

fn port(cpu: usize) -> Result<u16> {
    Ok(FIRST_PORT + u16::try_from(cpu)?)
}

/// Runs `work` in the namespace on that CPU alone.
fn on_cpu<T: Send>(
    ns: &Namespace,
    cpu: usize,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    ns.run(|| {
        let mut only = CpuSet::new();
        only.set(cpu)?;
        sched_setaffinity(Pid::from_raw(0), &only).with_context(|| format!("use CPU {cpu}"))?;
        work()
    })
}

/// A listener and two connections to it, of which one is accepted.
#[derive(Debug)]
struct Door {
    listener: TcpListener,
    server: TcpStream,
    client: TcpStream,
    waiting: TcpStream,
}

impl Door {
    fn open(port: u16) -> Result<Self> {
        let address = (Ipv4Addr::LOCALHOST, port);
        let listener = TcpListener::bind(address).context("listen")?;
        let client = TcpStream::connect(address).context("connect")?;
        let (server, _) = listener.accept().context("accept")?;
        let waiting = TcpStream::connect(address).context("connect once more")?;
        Ok(Self { listener, server, client, waiting })
    }

    /// Ends the connections by [`OWNED`].
    fn close(mut self) -> Result<()> {
        self.client.write_all(b"x").context("send")?;
        ensure!(self.server.peek(&mut [0])? == 1, "the connection ended before the byte arrived");
        drop(self.server);
        await_reset(&self.client)?;
        drop(self.listener);
        await_reset(&self.waiting)
    }
}

/// A client that closed before the reset has come would cause a second one.
fn await_reset(client: &TcpStream) -> Result<()> {
    Deadline::after(PATIENCE).until("a reset", || Ok(client.take_error()?.is_some()))
}

/// What is wrong with the resets of the listeners.
fn owners(rows: &[&Row], cpus: &[usize]) -> Faults {
    let mut by_port: BTreeMap<u64, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        if let Some(port) = row.get("src_port").and_then(Json::as_u64) {
            by_port.entry(port).or_default().push(row);
        }
    }
    let mut faults = Faults::new();
    for &cpu in cpus {
        let found =
            by_port.get(&(u64::from(FIRST_PORT) + cpu as u64)).map_or(&[][..], Vec::as_slice);
        for cause in OWNED {
            let mut of_cause =
                found.iter().filter(|row| row.get("cause").is_some_and(|c| c == cause));
            let (Some(row), None) = (of_cause.next(), of_cause.next()) else {
                let causes: Vec<_> = found.iter().filter_map(|row| row.get("cause")).collect();
                faults.push(format!("CPU {cpu}: not one {cause}, but {causes:?}"));
                continue;
            };
            for (column, expected) in
                [("socket_pid", u64::from(process::id())), ("cpu", cpu as u64)]
            {
                let value = row.get(column).and_then(Json::as_u64);
                if value != Some(expected) {
                    faults
                        .push(format!("CPU {cpu}: {cause}: {column} is {value:?}, not {expected}"));
                }
            }
        }
    }
    faults
}

/// Rows that name another process: everything here is our own.
fn strangers(rows: &[&Row]) -> Faults {
    let pid = |row: &Row| row.get("socket_pid").and_then(Json::as_u64);
    let strangers =
        rows.iter().filter_map(|row| pid(row)).filter(|pid| *pid != u64::from(process::id()));
    strangers.map(|pid| format!("a socket of process {pid}")).collect()
}

/// Causes of which too few rows name a process. All do but those of closed ports, which have none;
/// a memory of a fixed size may forget a few.
fn forgotten(rows: &[&Row]) -> Faults {
    const ENOUGH_PERCENT: usize = 95;
    let mut causes: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for row in rows {
        let cause = row.get("cause").and_then(Json::as_str).unwrap_or_default();
        let count = causes.entry(cause).or_default();
        count.0 += usize::from(row.get("socket_pid").is_some_and(|pid| !pid.is_null()));
        count.1 += 1;
    }
    let mut faults = Faults::new();
    for (cause, (named, all)) in causes {
        eprintln!("{cause}: {named} of {all} have an owner");
        if cause != "closed_port" && 100 * named < ENOUGH_PERCENT * all {
            faults.push(format!("{cause}: only {named} of {all} resets have an owner"));
        }
    }
    faults
}

/// What is wrong with the account. The guest has no other resets.
fn account(account: &Account, rows: u64, resets: u64) -> Faults {
    let mut faults = Faults::new();
    if !account.is_even() {
        faults.push(format!("the account is not even: {account:?}"));
    }
    if account.lost > 0 {
        faults.push(format!("{} resets are lost", account.lost));
    }
    if rows + account.counted != resets {
        let counted = account.counted;
        faults.push(format!("{rows} rows and {counted} counted of {resets} resets"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(cpu: u64, cause: &str, pid: Option<u32>) -> Row {
        let value = json!({
            "src_port": u64::from(FIRST_PORT) + cpu, "cause": cause, "cpu": cpu, "socket_pid": pid,
        });
        serde_json::from_value(value).expect("a row")
    }

    #[test]
    fn an_owner_that_was_forgotten_is_a_fault() {
        let own = Some(process::id());
        let mut rows = [row(0, OWNED[0], own), row(0, OWNED[1], own), row(1, OWNED[0], None)];
        let told = owners(&rows.iter().collect::<Vec<_>>(), &[0, 1]);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("CPU 1: app_close_unread: socket_pid is None"), "{told:?}");
        assert!(told[1].contains("CPU 1: not one app_listener_closed"), "{told:?}");
        rows[2] = row(1, OWNED[1], own);
        assert!(owners(&rows.iter().take(2).collect::<Vec<_>>(), &[0]).is_empty());
    }

    #[test]
    fn a_few_owners_may_be_forgotten() {
        let rows = |named: usize, all: usize| -> Vec<Row> {
            let pid = |at| (at < named).then(process::id);
            let with_owner = (0..all).map(|at| row(0, OWNED[0], pid(at)));
            with_owner.chain([row(0, "closed_port", None)]).collect()
        };
        assert!(forgotten(&rows(95, 100).iter().collect::<Vec<_>>()).is_empty());
        assert_eq!(forgotten(&rows(94, 100).iter().collect::<Vec<_>>()).len(), 1);
    }

    #[test]
    fn every_reset_is_written_or_counted() {
        let even = Account { seen: 10, written: 7, counted: 3, lost: 0 };
        assert!(account(&even, 7, 10).is_empty());
        assert_eq!(account(&even, 6, 10).len(), 1);
        assert_eq!(account(&Account { lost: 1, ..even }, 7, 10).len(), 2);
    }
}
