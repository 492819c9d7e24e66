//! The command line.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Parser, Subcommand, ValueEnum};
use humantime::DurationError;
use nix::sys::statfs::{NSFS_MAGIC, statfs};
use tcprst_schema::hook::Direction;
use tcprst_schema::layout::MAX_FILTERS;
use tcprst_schema::wire::MAX_FRAMES;

use crate::app::print::PrintFormat;
use crate::app::recorder::{Filter, Options};
use crate::kernel::rings::{MIN_BYTES as MIN_RING, RingMemory};
use crate::owner::resolver::{Endpoint, ResolverOptions};
use crate::owner::{OwnerOptions, SHORTEST_ID};
use crate::stderr::say;
use crate::store::SealPolicy;

/// Records every TCP RST that this host's kernel sends, with the kernel stack that led to it.
///
/// Runs until SIGINT or SIGTERM, then seals the open segment and exits 0. Read the recording with
/// tcprst-analyze, or with any tool that reads Parquet.
///
/// Exit codes: 0 done, 1 failed, 2 usage, 3 not permitted, 4 kernel unsupported.
#[derive(Debug, Parser)]
#[command(name = "tcprst-record", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) record: Record,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what this kernel and host can record, site by site, and why not.
    Doctor {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Record {
    /// Folder of the recording; created if it does not exist.
    #[arg(long, value_name = "DIR", required = true)]
    pub(crate) out: Option<PathBuf>,
    /// Seal a segment when its first reset is this old.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    rotate_interval: Duration,
    /// Seal a segment when its spool is this large; the sealed file is a fraction of that.
    #[arg(long, value_name = "SIZE", default_value = "16MiB", value_parser = size)]
    rotate_size: u64,
    /// Write resets to disk this often: a crash loses at most this much time.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    flush_interval: Duration,
    /// Kernel stack frames to record for each reset; two or three of them are the tracer's own.
    #[arg(long, value_name = "N", default_value_t = 24,
          value_parser = stack_depth)]
    stack_depth: u32,
    /// Walk the whole stack of this many resets a second and CPU.
    ///
    /// Beyond that, ten frames are walked, or none where the kernel's reason proves the caller
    /// (Linux 6.10 and later): the column `stack_source` then says `implied`. The first reset of
    /// each reason in each second is always walked whole.
    #[arg(long, value_name = "N", default_value_t = 300)]
    full_stacks: u32,
    /// Memory of all ring buffers together, shared by the CPUs that are online; at least 64KiB.
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = ring_memory)]
    ring_memory: u64,
    /// Size of each online CPU's ring buffer, in place of --ring-memory; a power of two, at least
    /// 4KiB.
    #[arg(long, value_name = "SIZE", value_parser = ring_size, conflicts_with = "ring_memory")]
    ring_size: Option<u32>,
    /// Record at most this many resets without a socket one by one, a second and CPU; count the
    /// others. 0 or `off` counts none.
    ///
    /// Only closed ports and segments of connections that are long over are answered without a
    /// socket, so a flood from outside cannot fill the disk. Counted resets are in every report and
    /// in every count by cause, port, container or minute; they have no row of their own.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = storm_rate)]
    storm_rate: u32,
    /// Stop after this time.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Also record the resets that this host receives (direction `received`).
    ///
    /// Only those that the kernel accepts for a socket. If both hosts run a recorder, the same
    /// reset is in both recordings, with the same addresses.
    #[arg(long)]
    received: bool,
    /// Also record refusals by ICMP (direction `icmp`).
    ///
    /// A client cannot tell "destination unreachable" in answer to a TCP segment from a reset.
    /// Firewall rules send it (REJECT without tcp-reset), and so do routes that refuse.
    #[arg(long)]
    icmp: bool,
    /// Also print each reset on stdout; a format needs the `=`, as in --print=json.
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true,
          default_missing_value = "table")]
    pub(crate) print: Option<PrintFormat>,
    /// Also count the RST packets that leave this network namespace, and compare.
    ///
    /// A packet that no kernel function explains is `crafted` or `forwarded`, in the table
    /// `ledger` and in a summary at the end. The audit costs time for every packet of the
    /// namespace, not only for resets, and needs CAP_NET_RAW.
    #[arg(long)]
    audit: bool,
    /// Remember which process connected, accepted or listened on each socket; the value needs the
    /// `=`, as in --socket-owner=off.
    ///
    /// This costs a little for each connection and nothing for each packet. Without it, the
    /// process columns of the socket (`socket_pid` and others) are null, and resets from
    /// TIME_WAIT find their container only through the network namespace.
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true,
          default_value = "on", default_missing_value = "on")]
    socket_owner: Switch,
    /// Kernel memory to remember the owners of sockets in: 64 bytes a connection, and as much again
    /// keeps most of them apart.
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = socket_memory)]
    socket_memory: u32,
    /// Record only resets of this container: its name, its pod, or at least the first six digits of
    /// its id; can be given several times. Rows then wait three seconds for names before they are
    /// written.
    #[arg(long, value_name = "NAME")]
    container: Vec<String>,
    /// Record only resets with this port at either end; can be given up to 8 times.
    #[arg(long, value_name = "N", value_parser = port)]
    port: Vec<u16>,
    /// Record only resets of this network namespace: its inode, or a file such as /run/netns/NAME;
    /// can be given up to 8 times.
    #[arg(long, value_name = "ID", value_parser = netns)]
    netns: Vec<u32>,
    /// Socket of a container runtime, such as docker=/run/docker.sock; can be given several times.
    /// The usual sockets are found without it.
    #[arg(long, value_name = "RUNTIME=PATH")]
    runtime_socket: Vec<Endpoint>,
    /// Name of the Kubernetes node, for the column k8s_node; the host's name if it is not given.
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    node_name: Option<String>,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl Record {
    /// Checks what clap cannot, and describes the mistake.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (option, count) in [("--port", self.port.len()), ("--netns", self.netns.len())] {
            if count > MAX_FILTERS {
                return Err(format!(
                    "{option} can be given at most {MAX_FILTERS} times, not {count}"
                ));
            }
        }
        if self.audit && !(self.port.is_empty() && self.netns.is_empty()) {
            return Err("--audit counts every RST: remove --port and --netns".to_owned());
        }
        let is_short = |name: &&String| name.len() < SHORTEST_ID && is_hex(name);
        if let Some(short) = self.container.iter().find(is_short) {
            say!(
                "--container {short} is matched as a name: to match an id, give at least {SHORTEST_ID} digits"
            );
        }
        Ok(())
    }

    /// The recorder's options for a recording in `dir`.
    pub(crate) fn options(&self, dir: PathBuf) -> Options {
        Options {
            dir,
            policy: SealPolicy { age: self.rotate_interval, bytes: self.rotate_size },
            flush_interval: self.flush_interval,
            stack_depth: self.stack_depth,
            ring_memory: self
                .ring_size
                .map_or(RingMemory::Total(self.ring_memory), RingMemory::PerCpu),
            storm_rate: self.storm_rate,
            duration: self.duration,
            audit: self.audit,
            directions: self.directions(),
            full_stacks: self.full_stacks,
            socket_memory: (self.socket_owner == Switch::On).then_some(self.socket_memory),
            owners: OwnerOptions {
                node: self.node_name.clone(),
                resolver: ResolverOptions {
                    endpoints: self.runtime_socket.clone(),
                    ..ResolverOptions::default()
                },
            },
            filter: Filter {
                containers: self.container.clone(),
                ports: self.port.clone(),
                netns: self.netns.clone(),
            },
        }
    }

    fn directions(&self) -> Vec<Direction> {
        let asked = [
            (true, Direction::Sent),
            (self.received, Direction::Received),
            (self.icmp, Direction::Icmp),
        ];
        asked.into_iter().filter_map(|(is_asked, one)| is_asked.then_some(one)).collect()
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Parses a whole number of this range.
fn whole<N: TryFrom<i64>>(text: &str, range: RangeInclusive<i64>) -> Result<N, String> {
    let number = text.parse::<i64>().ok().filter(|number| range.contains(number));
    number
        .and_then(|number| N::try_from(number).ok())
        .ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
}

fn stack_depth(text: &str) -> Result<u32, String> {
    whole(text, 4..=MAX_FRAMES as i64)
}

fn storm_rate(text: &str) -> Result<u32, String> {
    match text {
        "off" => Ok(0),
        _ => whole(text, 0..=u32::MAX.into()).map_err(|error| format!("{error}, or `off`")),
    }
}

fn port(text: &str) -> Result<u16, String> {
    whole(text, 1..=u16::MAX.into())
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| match error {
        DurationError::UnknownUnit { unit, .. } if unit.is_empty() => {
            "needs a unit: 10s, 5m or 1h".to_owned()
        }
        DurationError::NumberOverflow => "is out of range".to_owned(),
        _ => "use a time such as 10s, 5m or 1h".to_owned(),
    })?;
    if duration.is_zero() { Err("must be greater than zero".to_owned()) } else { Ok(duration) }
}

fn size(text: &str) -> Result<u64, String> {
    let size: ByteSize = text.parse().map_err(|_| "use a size such as 64MiB or 1GiB".to_owned())?;
    if size.as_u64() == 0 { Err("must be greater than zero".to_owned()) } else { Ok(size.as_u64()) }
}

/// The inode of a network namespace, given as a number or as a namespace file.
fn netns(text: &str) -> Result<u32, String> {
    if let Ok(inode) = text.parse() {
        return if inode == 0 { Err("inode 0 is not a namespace".to_owned()) } else { Ok(inode) };
    }
    const HINT: &str = "use an inode, /run/netns/NAME or /proc/PID/ns/net";
    let file = std::fs::metadata(text).map_err(|error| format!("{error}: {HINT}"))?;
    let is_namespace = statfs(text).is_ok_and(|found| found.filesystem_type() == NSFS_MAGIC);
    if !is_namespace {
        return Err(format!("not a namespace: {HINT}"));
    }
    u32::try_from(std::os::unix::fs::MetadataExt::ino(&file))
        .map_err(|_| "not a network namespace".to_owned())
}

fn ring_memory(text: &str) -> Result<u64, String> {
    let total = size(text)?;
    if total >= MIN_RING { Ok(total) } else { Err("must be at least 64KiB".to_owned()) }
}

/// The kernel requires a power of two in whole pages (kernel/bpf/ringbuf.c, ringbuf_map_alloc).
fn ring_size(text: &str) -> Result<u32, String> {
    let size = u32::try_from(size(text)?).map_err(|_| "must be at most 2GiB".to_owned())?;
    if size.is_power_of_two() && size >= 4096 {
        Ok(size)
    } else {
        Err("must be a power of two, at least 4KiB".to_owned())
    }
}

fn socket_memory(text: &str) -> Result<u32, String> {
    let size = u32::try_from(size(text)?).ok().filter(|size| (4096..=1 << 30).contains(size));
    size.ok_or_else(|| "must be from 4KiB to 1GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_and_times_are_checked() {
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert!(size("0").is_err() && size("many").is_err());
        assert!(ring_size("5000").is_err() && ring_size("1MiB").is_ok());
        assert_eq!((ring_memory("64KiB"), ring_memory("16MiB")), (Ok(64 << 10), Ok(16 << 20)));
        assert_eq!(ring_memory("63KiB"), Err("must be at least 64KiB".to_owned()));
        assert!(duration("0s").is_err() && duration("soon").is_err());
        assert_eq!(duration("10"), Err("needs a unit: 10s, 5m or 1h".to_owned()));
        assert_eq!(duration("1h 5"), Err("needs a unit: 10s, 5m or 1h".to_owned()));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!((port("1"), port("65535"), stack_depth("24")), (Ok(1), Ok(65_535), Ok(24)));
        assert_eq!((storm_rate("off"), storm_rate("0"), storm_rate("7")), (Ok(0), Ok(0), Ok(7)));
        assert!(storm_rate("-1").is_err() && storm_rate("on").is_err());
        for wrong in ["0", "65536", "x", "", "1.5"] {
            let told = "must be a whole number from 1 to 65535".to_owned();
            assert_eq!(port(wrong), Err(told), "{wrong}");
        }
    }
}
