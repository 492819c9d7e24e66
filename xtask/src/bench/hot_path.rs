//! The promise "nothing on the hot path": while connections come and go and carry data, and
//! nothing is reset, no program that sees resets runs, and no other runs for each packet.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use scenarios::{Namespace, flood};

use super::programs::{self, Program, RunStatistics, Trigger};
use super::running::{Running, rows};
use super::tool::Tool;

/// Connections that carry one byte, then one that carries all the rest.
const SHORT_CONNECTIONS: usize = 1000;
const MAX_BYTES: u64 = 1 << 30;
const MAX_TIME: Duration = Duration::from_secs(2);
/// Resets after all that, which prove that the programs run and that their runs are counted.
const PROOF: u64 = 10;

/// The runs of hooks while nothing was reset.
#[derive(Debug)]
pub(crate) struct HotPath {
    moved: Moved,
    /// Our programs' runs in that time.
    programs: Vec<Program>,
    /// The runs of programs that see resets, for [`PROOF`] resets.
    proof: u64,
    /// Resets that other programs of this machine caused at the same time: the hooks run for them.
    resets_elsewhere: u64,
}

#[derive(Debug)]
struct Moved {
    connections: usize,
    bytes: u64,
    packets: u64,
    elapsed: Duration,
}

pub(crate) fn measure(ns: &Namespace, tool: Tool) -> Result<HotPath> {
    let _statistics = RunStatistics::enable()?;
    let mut recorder = Running::start(tool, ns)?;
    let before = programs::for_process(recorder.pid())?;
    let resets = ns.out_rsts()?;
    let moved = ns.run(transfer)?;
    ensure!(ns.out_rsts()? == resets, "the transfer caused resets, so it proves nothing");
    let mut after = programs::for_process(recorder.pid())?;
    flood(ns, PROOF, 1)?;
    let proof = runs_for_resets(programs::for_process(recorder.pid())?.values())
        - runs_for_resets(after.values());
    for (id, program) in &mut after {
        let start = before.get(id).cloned().unwrap_or_default();
        program.runs -= start.runs;
        program.nanoseconds -= start.nanoseconds;
    }
    recorder.stop(ns)?;
    let resets_elsewhere = rows(&recorder.recording(), ns, "<>")?;
    Ok(HotPath { moved, programs: after.into_values().collect(), proof, resets_elsewhere })
}

fn runs_for_resets<'p>(programs: impl Iterator<Item = &'p Program>) -> u64 {
    programs
        .filter(|program| program.trigger() == Trigger::Resets)
        .map(|program| program.runs)
        .sum()
}

impl HotPath {
    pub(crate) fn lines(&self) -> Vec<String> {
        let Moved { connections, bytes, packets, elapsed } = &self.moved;
        let mut lines = vec![format!(
            "With no resets: {connections} connections, {:.0} MiB, {packets} packets in {:.2} s; \
             resets elsewhere on this machine: {}",
            *bytes as f64 / f64::from(1 << 20),
            elapsed.as_secs_f64(),
            self.resets_elsewhere
        )];
        lines.extend(self.programs.iter().map(|program| {
            let mut line = format!("  {}: {} runs", program.name, program.runs);
            if program.runs > 0 {
                let each = program.nanoseconds as f64 / program.runs as f64;
                line += &format!(", {each:.0} ns each");
            }
            if program.trigger() == Trigger::Connections {
                let share = program.runs as f64 / *connections as f64;
                line += &format!(", {share:.1} a connection (both ends)");
            }
            line
        }));
        let is_per_connection = |program: &&Program| program.trigger() == Trigger::Connections;
        let all: u64 =
            self.programs.iter().filter(is_per_connection).map(|program| program.nanoseconds).sum();
        lines.push(format!(
            "  together {:.0} ns a connection (both ends)",
            all as f64 / *connections as f64
        ));
        lines
    }

    /// Fails if the promise is broken.
    pub(crate) fn verdict(&self) -> Result<()> {
        ensure!(self.proof >= PROOF, "no program ran for resets, so the zeros prove nothing");
        // As many as there are connections, and a few for each: not one for each packet.
        let most = (20 * self.moved.connections as u64).min(self.moved.packets);
        for program in &self.programs {
            let most = match program.trigger() {
                Trigger::Resets => self.resets_elsewhere,
                Trigger::Connections | Trigger::Containers => most,
            };
            ensure!(
                program.runs <= most,
                "promise broken: {} ran {} times for {} connections and {} resets",
                program.name,
                program.runs,
                self.moved.connections,
                self.resets_elsewhere
            );
        }
        Ok(())
    }
}

/// Clean connections over loopback: each end reads the other's FIN before it closes.
fn transfer() -> Result<Moved> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let connections = SHORT_CONNECTIONS + 1;
    let packets = packets()?;
    let start = Instant::now();
    let bytes = thread::scope(|scope| {
        let server = scope.spawn(|| serve(&listener, connections));
        for _ in 0..SHORT_CONNECTIONS {
            say(address, |stream| stream.write_all(&[0]))?;
        }
        say(address, send_much)?;
        server.join().unwrap_or_else(|_| Err(anyhow!("the server panicked")))
    })?;
    let elapsed = start.elapsed();
    Ok(Moved { connections, bytes, packets: self::packets()? - packets, elapsed })
}

/// Takes so many connections, one after another; returns how many bytes came.
fn serve(listener: &TcpListener, connections: usize) -> Result<u64> {
    let mut bytes = 0;
    for stream in listener.incoming().take(connections) {
        bytes += io::copy(&mut stream?, &mut io::sink())?;
    }
    Ok(bytes)
}

fn say(to: SocketAddr, what: impl FnOnce(&mut TcpStream) -> io::Result<()>) -> Result<()> {
    let mut stream = TcpStream::connect(to)?;
    what(&mut stream)?;
    stream.shutdown(Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}

fn send_much(stream: &mut TcpStream) -> io::Result<()> {
    let chunk = vec![0; 64 << 10];
    let start = Instant::now();
    let mut sent = 0;
    while sent < MAX_BYTES && start.elapsed() < MAX_TIME {
        stream.write_all(&chunk)?;
        sent += chunk.len() as u64;
    }
    Ok(())
}

/// Packets that loopback has received, in the calling thread's namespace.
fn packets() -> Result<u64> {
    const PATH: &str = "/proc/thread-self/net/dev";
    let table = fs::read_to_string(PATH).with_context(|| format!("read {PATH}"))?;
    let counts = table.lines().find_map(|line| line.trim_start().strip_prefix("lo:"));
    let packets = counts.and_then(|counts| counts.split_ascii_whitespace().nth(1)?.parse().ok());
    packets.with_context(|| format!("no loopback in {PATH}"))
}
