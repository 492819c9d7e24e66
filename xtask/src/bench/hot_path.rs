//! The promise "nothing on the hot path": while connections come and go and carry data, and
//! nothing is reset, no program of ours runs but the one that follows changes of state.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use scenarios::Namespace;

use super::programs::{self, Program, RunStatistics};
use super::running::{Running, rows};
use super::tool::Tool;

/// The program that follows changes of state: a few times in the life of a connection.
const PER_STATE_CHANGE: &str = "inet_sock_set_state";
/// All that run without a reset: with connections (owners of sockets), and with what others on
/// this machine start during the measurement (lives of containers). Never with packets.
const NOT_PER_PACKET: &[&str] = &[
    PER_STATE_CHANGE,
    "tcp_destroy_sock",
    "inet_csk_accept",
    "cgroup_mkdir",
    "cgroup_rmdir",
    "sched_process_exec",
];
/// Connections that carry one byte, then one that carries all the rest.
const SHORT_CONNECTIONS: usize = 1000;
const MAX_BYTES: u64 = 1 << 30;
const MAX_TIME: Duration = Duration::from_secs(5);

/// The runs of hooks while nothing was reset.
#[derive(Debug)]
pub(crate) struct HotPath {
    moved: Moved,
    /// Our programs' runs in that time.
    programs: Vec<Program>,
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
    for (id, program) in &mut after {
        let start = before.get(id).cloned().unwrap_or_default();
        program.runs -= start.runs;
        program.nanoseconds -= start.nanoseconds;
    }
    recorder.stop(ns)?;
    let resets_elsewhere = rows(&recorder.recording(), ns, "<>")?;
    Ok(HotPath { moved, programs: after.into_values().collect(), resets_elsewhere })
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
            let name = program.tracepoint.as_deref().unwrap_or("a program without a tracepoint");
            let mut line = format!("  {name}: {} runs", program.runs);
            if program.runs > 0 {
                let each = program.nanoseconds as f64 / program.runs as f64;
                line += &format!(", {each:.0} ns each");
            }
            if is_per_connection(program) {
                let share = program.runs as f64 / *connections as f64;
                line += &format!(", {share:.1} a connection (both ends)");
            }
            line
        }));
        let per_connection = self.programs.iter().filter(|program| is_per_connection(program));
        let all: u64 = per_connection.map(|program| program.nanoseconds).sum();
        lines.push(format!(
            "  together {:.0} ns a connection (both ends)",
            all as f64 / *connections as f64
        ));
        lines
    }

    /// Fails if the promise is broken.
    pub(crate) fn verdict(&self) -> Result<()> {
        let per_connection = self.programs.iter().filter(|program| is_per_connection(program));
        ensure!(
            per_connection.map(|program| program.runs).sum::<u64>() > 0,
            "no program ran at all, so the zeros prove nothing"
        );
        // As many as there are connections, and a few for each: not one for each packet.
        let most = 20 * self.moved.connections as u64;
        for program in self.programs.iter().filter(|program| !is_per_packet(program)) {
            ensure!(
                program.runs <= most && program.runs < self.moved.packets,
                "promise broken: {:?} ran {} times for {} connections",
                program.tracepoint,
                program.runs,
                self.moved.connections
            );
        }
        for program in self.programs.iter().filter(|program| is_per_packet(program)) {
            ensure!(
                program.runs <= self.resets_elsewhere,
                "promise broken: {:?} ran {} times with {} resets",
                program.tracepoint,
                program.runs,
                self.resets_elsewhere
            );
        }
        Ok(())
    }
}

/// Whether it may run for a packet: all that see resets do.
fn is_per_packet(program: &Program) -> bool {
    !program.tracepoint.as_deref().is_some_and(|name| NOT_PER_PACKET.contains(&name))
}

/// Whether it follows connections, whether or not they are reset.
pub(crate) fn is_per_connection(program: &Program) -> bool {
    !is_per_packet(program) && !follows_containers(program)
}

/// Whether it follows the lives of containers, which have nothing to do with connections.
pub(crate) fn follows_containers(program: &Program) -> bool {
    let is_one = |name: &str| name.starts_with("cgroup_") || name.starts_with("sched_");
    program.tracepoint.as_deref().is_some_and(is_one)
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
