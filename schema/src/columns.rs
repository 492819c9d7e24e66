//! The columns: one table per Parquet table, and everything else is derived from it.
//!
//! To add a column: one entry here, its value in [`crate::row`], and [`crate::SCHEMA_VERSION`]
//! rises. The recorder's builders, both Arrow schemas, the Parquet encodings and
//! `tcprst-analyze schema` follow by themselves.

use std::borrow::Cow;

use crate::container::{Pod, Runtime};
use crate::row::{
    ContainerRow, LedgerRow, LossRow, Named, Owner, RollupRow, Row, SocketProcess, family_text,
    sk_flags_text, tcp_flags_text,
};

/// The type of a column, kept to what every Parquet reader knows.
/// Integers are signed, because Spark has no unsigned ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Int32,
    Int64,
    Boolean,
    /// UTF-8 text.
    Text,
    /// Microseconds, UTC. Not nanoseconds: DuckDB cannot truncate them, Spark cannot read them.
    Timestamp,
}

/// How a column is laid out in the file. zstd comes on top of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Differences between neighbours: for values that rise or stay close.
    Delta,
    /// A dictionary per column chunk: for values that repeat.
    Dictionary,
    /// As it is.
    Plain,
}

/// A value on its way into a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Int(i64),
    Bool(bool),
    Text(Cow<'a, str>),
}

impl Value<'_> {
    fn int(value: Option<impl Into<i64>>) -> Value<'static> {
        value.map_or(Value::Null, |v| Value::Int(v.into()))
    }

    /// 64-bit identifiers of the kernel (cookies, cgroup ids, counters) start near zero and
    /// only rise; two's complement keeps even the impossible ones apart.
    fn id(value: Option<u64>) -> Value<'static> {
        value.map_or(Value::Null, |v| Value::Int(v.cast_signed()))
    }

    /// The same value with a text of its own.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Int(value) => Value::Int(value),
            Value::Bool(value) => Value::Bool(value),
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
        }
    }

    pub fn as_int(&self) -> Option<i64> {
        if let Value::Int(value) = self { Some(*value) } else { None }
    }

    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(value) = self { Some(*value) } else { None }
    }

    pub fn as_text(&self) -> Option<&str> {
        if let Value::Text(value) = self { Some(value) } else { None }
    }
}

fn text<'a>(value: Option<&'a (impl AsRef<str> + ?Sized + 'a)>) -> Value<'a> {
    value.map_or(Value::Null, |v| Value::Text(Cow::Borrowed(v.as_ref())))
}

fn owned(value: Option<String>) -> Value<'static> {
    value.map_or(Value::Null, |v| Value::Text(Cow::Owned(v)))
}

fn process(row: &Row) -> Option<&SocketProcess> {
    row.socket.process.as_ref()
}

/// The owner, unless its runtime has said since that it lives in the host's network: then what
/// has no socket of its own may be anybody's.
fn owner(row: &Row) -> Option<&Owner> {
    row.owner.as_ref().filter(|owner| owner.is_certain())
}

fn named(row: &Row) -> Option<&Named> {
    owner(row).map(|owner| &owner.named)
}

fn pod(row: &Row) -> Option<&Pod> {
    named(row).and_then(Named::pod)
}

/// One column of a table whose rows are `R`.
#[derive(Debug)]
pub struct Column<R: 'static> {
    pub name: &'static str,
    pub kind: Kind,
    pub nullable: bool,
    pub encoding: Encoding,
    /// Why this encoding.
    pub encoding_reason: &'static str,
    /// What it means, its unit and its source.
    pub doc: &'static str,
    /// Takes the value out of a row.
    pub value: for<'a> fn(&'a R) -> Value<'a>,
}

/// What a column is, whatever the type of its rows is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnSpec {
    pub name: &'static str,
    pub kind: Kind,
    pub nullable: bool,
    pub encoding: Encoding,
    /// Why this encoding.
    pub encoding_reason: &'static str,
    /// What it means, its unit and its source.
    pub doc: &'static str,
}

impl<R> Column<R> {
    /// The column without the type of its rows.
    pub fn spec(&self) -> ColumnSpec {
        ColumnSpec {
            name: self.name,
            kind: self.kind,
            nullable: self.nullable,
            encoding: self.encoding,
            encoding_reason: self.encoding_reason,
            doc: self.doc,
        }
    }
}

const RISING: &str = "rises from row to row";
const BITS: &str = "one bit a row already";
const FEW: &str = "few distinct values";
const REPEATS: &str = "the same flows, tasks and namespaces come back";
const MIXED: &str = "ephemeral ports differ but stay in one range";

macro_rules! columns {
    ($row:ident: $($name:literal $kind:ident $null:ident $encoding:ident($reason:expr) $value:expr, $doc:literal;)+) => {
        &[$(Column::<$row> {
            name: $name,
            kind: Kind::$kind,
            nullable: columns!(@$null),
            encoding: Encoding::$encoding,
            encoding_reason: $reason,
            doc: $doc,
            value: $value,
        }),+]
    };
    (@null) => { true };
    (@required) => { false };
}

/// The columns of `resets`.
#[rustfmt::skip]
pub const COLUMNS: &[Column<Row>] = columns! { Row:
    // When.
    "time" Timestamp required Delta(RISING) |r| Value::Int(r.time_us),
        "When the RST was sent: `boot_ns` on the wall clock, microseconds, UTC.";
    "boot_ns" Int64 required Delta(RISING) |r| Value::id(Some(r.boot_ns)),
        "The same in nanoseconds since boot, suspend included (`bpf_ktime_get_boot_ns`): the exact order.";
    "cpu" Int32 required Dictionary(FEW) |r| Value::int(Some(r.cpu)),
        "CPU that sent it.";
    "seq" Int64 required Delta(RISING) |r| Value::id(Some(r.seq)),
        "Number of the reset on its CPU since the recorder started, from 1. A gap is a lost reset.";
    // Where.
    "host" Text required Dictionary(FEW) |r| text(Some(&r.host)),
        "Name of the host that recorded it.";
    "direction" Text required Dictionary(FEW) |r| text(Some(r.direction)),
        "`sent`: this host's kernel sent the RST. `received`: this host got it (`--received`). `icmp`: no RST but an ICMP error that a client takes for a refusal (`--icmp`).";
    "netns_id" Int64 null Dictionary(REPEATS) |r| Value::int(r.netns_id),
        "Inode of the network namespace that the reset belongs to, as in /proc/PID/ns/net. Reused by the kernel: join on `netns_cookie`.";
    "netns_cookie" Int64 null Dictionary(REPEATS) |r| Value::id(r.netns_cookie),
        "Cookie of that namespace (`net->net_cookie`, SO_NETNS_COOKIE): never reused until reboot.";
    // What.
    "callee" Text null Dictionary(FEW) |r| text(r.stack.callee.as_ref()),
        "Kernel function that built the RST.";
    "caller" Text null Dictionary(FEW) |r| text(r.stack.caller.as_ref()),
        "Kernel function that called `callee`.";
    "stack" Text null Dictionary(FEW) |r| text(r.stack.folded.as_ref()),
        "Kernel stack, root first, `;` between frames (folded, as flame graph tools read it). Its last frame is `callee`.";
    "stack_source" Text null Dictionary(FEW)
        |r| text(r.stack.folded.as_ref().map(|_| r.stack.source.name())),
        "`walked`, or `implied`: in a storm the stack is not walked where the reason proves its upper frames. Null without a stack.";
    "cause" Text required Dictionary(FEW) |r| text(Some(r.cause)),
        "What the evidence proves, or `unknown`. See `tcprst.taxonomy_version` in the footer.";
    "blame" Text null Dictionary(FEW) |r| text(r.blame),
        "Who acted: `app`, `peer`, `fw`, `res`, `op`, `net`; null for `unknown`.";
    "reason" Text null Dictionary(FEW) |r| text(r.reason.as_ref()),
        "The kernel's reset reason (`enum sk_rst_reason` without its prefix, from the running kernel's BTF); null before 6.10.";
    "reason_code" Int32 null Dictionary(FEW) |r| Value::int(r.reason_code),
        "Its number on that kernel. Numbers move between kernels: compare `reason`.";
    "sk_state" Text null Dictionary(FEW) |r| text(r.sk_state.as_ref()),
        "State of the socket before the reset (RFC 9293 name, as in `include/net/tcp_states.h` without TCP_); null without a socket.";
    "context" Text null Dictionary(FEW) |r| text(r.context),
        "What made the kernel act: `task` (a system call or exit), `packet` (a segment), `timer`, `worker` (a thread of the kernel, for somebody else).";
    "answered_flags" Text null Dictionary(FEW) |r| owned(r.answered_flags.map(tcp_flags_text)),
        "TCP flags of the segment that the RST answers, such as `SYN` or `PSH|ACK`; null if it answers none.";
    "sk_flags" Text null Dictionary(FEW) |r| owned(r.sk_flags.map(sk_flags_text)),
        "Flags of a full socket: `ORPHAN` (no process holds it: `sk->sk_socket` is null), `LINGER2` (TCP_LINGER2 is negative), both joined by `|`, or empty; null if it is not known.";
    "past" Text null Dictionary(FEW) |r| text(r.past),
        "How the connection had ended on this host before the answered segment came, where that is remembered (`--socket-owner`): `reset` (by a RST of this host, `first_cpu` and `first_seq`: cause and blame are those of that reset), `gave_up` (in silence: nothing was acknowledged any more), `abandoned` (a connect() without an answer), `fin_wait2` (closed, and the peer's FIN did not come), `peer_reset`, `listener_closed` (with handshakes under way).";
    "past_time" Timestamp null Dictionary(REPEATS) |r| Value::int(r.past_us),
        "When that was, microseconds, UTC.";
    "first_cpu" Int32 null Dictionary(FEW) |r| Value::int(r.first.map(|(cpu, _)| cpu)),
        "`cpu` of the reset that this one follows from, of the same recorder; null unless `past` is `reset`.";
    "first_seq" Int64 null Dictionary(REPEATS) |r| Value::id(r.first.map(|(_, seq)| seq)),
        "`seq` of that reset.";
    "accept_queue" Int64 null Dictionary(FEW) |r| Value::int(r.accept_queue.map(|(queue, _)| queue)),
        "Connections that wait in the listener to be accepted (`sk_ack_backlog`); null without a listener.";
    "accept_queue_limit" Int64 null Dictionary(FEW) |r| Value::int(r.accept_queue.map(|(_, limit)| limit)),
        "How many may wait (`sk_max_ack_backlog`; the kernel takes one more).";
    "icmp_type" Int32 null Dictionary(FEW) |r| Value::int(r.icmp.map(|(kind, _)| kind)),
        "Type of the ICMP error (RFC 792, RFC 4443); null for a RST.";
    "icmp_code" Int32 null Dictionary(FEW) |r| Value::int(r.icmp.map(|(_, code)| code)),
        "Its code.";
    // Flow.
    "family" Text null Dictionary(FEW) |r| text(r.src.map(|(a, _)| family_text(a))),
        "`ipv4` or `ipv6`, as on the RST packet (an IPv4 peer of an IPv6 socket is `ipv4`).";
    "src_addr" Text null Dictionary(REPEATS) |r| owned(r.src.map(|(a, _)| a.to_string())),
        "Source address of the RST packet (this host's where it sent it), canonical text (RFC 5952 for IPv6). For `icmp`, as a RST would have had it: the address that refused.";
    "src_port" Int32 null Dictionary(MIXED) |r| Value::int(r.src.map(|(_, p)| p)),
        "Source port of the RST packet.";
    "dst_addr" Text null Dictionary(REPEATS) |r| owned(r.dst.map(|(a, _)| a.to_string())),
        "Destination address of the RST packet.";
    "dst_port" Int32 null Dictionary(MIXED) |r| Value::int(r.dst.map(|(_, p)| p)),
        "Destination port of the RST packet.";
    "port" Int32 null Dictionary(FEW) |r| Value::int(r.service_port()),
        "Port of the service, on whichever side it is: the one that was listened on, as far as owner, state or answered segment show; else the one outside 32768-60999 (ip(7)'s ephemeral ports), else the lower.";
    // Task.
    "pid" Int32 null Dictionary(REPEATS) |r| Value::int(r.task.as_ref().map(|t| t.pid.cast_signed())),
        "Process that acted (kernel tgid); null if the task on the CPU did not act.";
    "tid" Int32 null Dictionary(REPEATS) |r| Value::int(r.task.as_ref().map(|t| t.tid.cast_signed())),
        "Thread that acted (kernel pid).";
    "uid" Int64 null Dictionary(REPEATS) |r| Value::int(r.task.as_ref().map(|t| t.uid)),
        "Its user id in the initial user namespace.";
    "gid" Int64 null Dictionary(REPEATS) |r| Value::int(r.task.as_ref().map(|t| t.gid)),
        "Its group id in the initial user namespace.";
    "comm" Text null Dictionary(REPEATS) |r| text(r.task.as_ref().map(|t| &t.comm)),
        "Its command name, 15 bytes at most, set by the process itself: not to be trusted.";
    "mntns_id" Int64 null Dictionary(REPEATS) |r| Value::int(r.task.as_ref().and_then(|t| t.mntns_id)),
        "Inode of its mount namespace.";
    "cgroup_id" Int64 null Dictionary(REPEATS) |r| Value::id(r.task.as_ref().and_then(|t| t.cgroup_id)),
        "Id of its cgroup v2 (inode of the directory).";
    // Socket owner.
    "socket_pid" Int32 null Dictionary(REPEATS) |r| Value::int(process(r).map(|p| p.pid.cast_signed())),
        "Process that owns the socket, known by `socket_act` (`--socket-owner`); null for connections that are older than the recorder, and if several processes listen on one port.";
    "socket_tid" Int32 null Dictionary(REPEATS) |r| Value::int(process(r).map(|p| p.tid.cast_signed())),
        "Its thread that acted on the socket.";
    "socket_uid" Int64 null Dictionary(REPEATS) |r| Value::int(r.socket.uid),
        "Owner of the socket (`sk->sk_uid`), initial user namespace.";
    "socket_gid" Int64 null Dictionary(REPEATS) |r| Value::int(process(r).map(|p| p.gid)),
        "Group id of the process that owns the socket, initial user namespace.";
    "socket_comm" Text null Dictionary(REPEATS) |r| text(process(r).map(|p| &p.comm)),
        "Its command name, 15 bytes at most, set by the process itself: not to be trusted.";
    "socket_act" Text null Dictionary(FEW) |r| text(process(r).map(|p| p.act)),
        "How the process is known: `connect`, `accept`, or `listen` (it listens on the port, and the connection is not accepted yet, or this kernel does not show by whom).";
    "socket_mntns_id" Int64 null Dictionary(REPEATS) |r| Value::int(process(r).and_then(|p| p.mntns_id)),
        "Inode of its mount namespace.";
    "socket_netns_id" Int64 null Dictionary(REPEATS) |r| Value::int(r.socket.netns_id),
        "Inode of the socket's network namespace; null without a socket.";
    "socket_cgroup_id" Int64 null Dictionary(REPEATS) |r| Value::id(r.socket.cgroup_id),
        "Id of the socket's cgroup v2 (`sk->sk_cgrp_data`). For a connection request it is the listener's, for TIME_WAIT that of the socket before. 1 is the root, the only cgroup v2 on hosts with cgroup v1 alone.";
    // Container.
    "runtime" Text null Dictionary(FEW) |r| text(named(r).and_then(Named::runtime).map(Runtime::name)),
        "Runtime of the container: `docker`, `podman`, `containerd`, `cri-o`, `nspawn`, `lxc`.";
    "container_id" Text null Dictionary(REPEATS) |r| text(named(r).and_then(Named::one).map(|c| &c.id)),
        "Full id of the container that the reset belongs to; null if it belongs to none, or could belong to several.";
    "container_name" Text null Dictionary(REPEATS) |r| text(named(r).and_then(Named::name)),
        "Its name, as the runtime has it.";
    "container_image" Text null Dictionary(REPEATS) |r| text(named(r).and_then(Named::image)),
        "Its image, as the request named it.";
    "container_image_digest" Text null Dictionary(REPEATS) |r| text(named(r).and_then(Named::image_digest)),
        "Digest of the image's manifest; null for images that were built on the host.";
    "attribution" Text null Dictionary(FEW) |r| text(owner(r).map(|o| o.attribution)),
        "How the container or pod was found: `socket` (the socket's cgroup), `timewait` (the cgroup of the socket before TIME_WAIT), `flow` (that of the socket that the connection once had, or of the listener), `netns` (no socket: the only container in the network namespace); null if it was not found.";
    // Kubernetes.
    "k8s_node" Text null Dictionary(FEW) |r| text(owner(r).and_then(Owner::node)),
        "Name of the node (`--node-name`, `$NODE_NAME`, or the host's); null without a pod of Kubernetes.";
    "k8s_namespace" Text null Dictionary(REPEATS) |r| text(pod(r).and_then(|p| p.namespace.as_ref())),
        "Namespace of the pod.";
    "k8s_pod" Text null Dictionary(REPEATS) |r| text(pod(r).and_then(|p| p.name.as_ref())),
        "Name of the pod (also of a Podman pod, which has no namespace). If `container_id` is null, it is not known which container of the pod it was.";
    "k8s_container" Text null Dictionary(REPEATS) |r| text(named(r).and_then(Named::pod_container)),
        "Name of the container in the pod.";
    "k8s_hostnetwork" Boolean null Plain(BITS) |r| named(r).and_then(Named::is_host_network).map_or(Value::Null, Value::Bool),
        "Whether the pod uses the host's network; null without a pod.";
    // The other side.
    "dst_container_name" Text null Dictionary(REPEATS) |r| text(r.peer.as_ref().and_then(Named::name)),
        "Name of the container that the RST goes to, if it runs on this host too.";
    "dst_k8s_namespace" Text null Dictionary(REPEATS) |r| text(r.peer.as_ref().and_then(Named::pod).and_then(|p| p.namespace.as_ref())),
        "Namespace of the pod that the RST goes to, if it runs on this host too.";
    "dst_k8s_pod" Text null Dictionary(REPEATS) |r| text(r.peer.as_ref().and_then(Named::pod).and_then(|p| p.name.as_ref())),
        "Name of that pod.";
};

/// The columns of `resets` that differ from reset to reset ([`crate::row::Own`]). All others follow
/// from what resets have in common, their profile: the recorder evaluates them once for each
/// profile. A new column is one of the profile's unless it is named here; a test finds out.
pub const OWN_COLUMNS: &[&str; 18] = &[
    "time",
    "boot_ns",
    "cpu",
    "seq",
    "past_time",
    "first_cpu",
    "first_seq",
    "accept_queue",
    "accept_queue_limit",
    "src_addr",
    "src_port",
    "dst_addr",
    "dst_port",
    "port",
    "pid",
    "tid",
    "socket_pid",
    "socket_tid",
];

/// The columns of `resets` that differ from reset to reset, or those that do not, in their order.
pub fn columns_of(is_own: bool) -> impl Iterator<Item = &'static Column<Row>> {
    COLUMNS.iter().filter(move |column| OWN_COLUMNS.contains(&column.name) == is_own)
}

/// What `resets_per_minute` counts by: columns of `resets` of few values, or of values that come
/// with others that are here anyway (a container's image). Peer addresses are not a dimension: their number is unbounded.
pub const DIMENSIONS: &[&str; 21] = &[
    "host",
    "direction",
    "callee",
    "caller",
    "cause",
    "blame",
    "reason",
    "sk_state",
    "context",
    "family",
    "port",
    "comm",
    "socket_comm",
    "runtime",
    "container_id",
    "container_name",
    "container_image",
    "k8s_namespace",
    "k8s_pod",
    "k8s_container",
    "past",
];

macro_rules! dimension {
    ($kind:ident, $at:literal) => {
        Column::<RollupRow> {
            name: DIMENSIONS[$at],
            kind: Kind::$kind,
            nullable: true,
            encoding: Encoding::Dictionary,
            encoding_reason: FEW,
            doc: "As in `resets`.",
            value: |row| row.dimensions[$at].clone(),
        }
    };
}

const fn required(
    name: &'static str,
    kind: Kind,
    encoding: Encoding,
    encoding_reason: &'static str,
    doc: &'static str,
    value: for<'a> fn(&'a RollupRow) -> Value<'a>,
) -> Column<RollupRow> {
    Column { name, kind, nullable: false, encoding, encoding_reason, doc, value }
}

/// The columns of `resets_per_minute`.
#[rustfmt::skip]
pub const ROLLUP_COLUMNS: &[Column<RollupRow>] = &[
    required("time", Kind::Timestamp, Encoding::Delta, RISING,
        "The minute in which the resets were sent: its start, UTC.", |r| Value::Int(r.minute_us)),
    dimension!(Text, 0), dimension!(Text, 1), dimension!(Text, 2), dimension!(Text, 3),
    dimension!(Text, 4), dimension!(Text, 5), dimension!(Text, 6), dimension!(Text, 7),
    dimension!(Text, 8), dimension!(Text, 9), dimension!(Int32, 10), dimension!(Text, 11),
    dimension!(Text, 12), dimension!(Text, 13), dimension!(Text, 14), dimension!(Text, 15),
    dimension!(Text, 16), dimension!(Text, 17), dimension!(Text, 18), dimension!(Text, 19),
    dimension!(Text, 20),
    required("count", Kind::Int64, Encoding::Dictionary, FEW,
        "How many they were.", |r| Value::Int(r.count)),
    Column {
        name: "counted",
        kind: Kind::Int64,
        nullable: true,
        encoding: Encoding::Dictionary,
        encoding_reason: FEW,
        doc: "How many of them have no row in `resets`: resets of a storm (`--storm-rate`). Null before schema version 5, which means none.",
        value: |r| Value::Int(r.counted),
    },
];

/// The columns of `losses`.
#[rustfmt::skip]
pub const LOSS_COLUMNS: &[Column<LossRow>] = columns! { LossRow:
    "from_time" Timestamp required Delta(RISING) |r| Value::Int(r.from_us),
        "Start of the interval in which the resets were lost or counted, UTC.";
    "to_time" Timestamp required Delta(RISING) |r| Value::Int(r.to_us),
        "End of that interval, UTC.";
    "host" Text required Dictionary(FEW) |r| text(Some(&r.host)),
        "Name of the host.";
    "stage" Text required Dictionary(FEW) |r| text(Some(r.stage)),
        "Where they were lost: `ring` (a ring buffer was full), `recursion` (the kernel refused to run the program inside itself). `counted` is no loss: resets of a storm (`--storm-rate`), which are in the rollups and in every count that a rollup can answer, but have no rows.";
    "count" Int64 required Dictionary(FEW) |r| Value::id(Some(r.count)),
        "How many.";
    "netns_id" Int64 null Dictionary(FEW) |r| Value::int(r.netns_id),
        "Inode of the network namespace; null with the other keys where the key table was full too.";
    "netns_cookie" Int64 null Dictionary(FEW) |r| Value::id(r.netns_cookie),
        "Cookie of that namespace.";
    "callee" Text null Dictionary(FEW) |r| text(r.callee.as_ref()),
        "Kernel function that built the RSTs.";
    "caller" Text null Dictionary(FEW) |r| text(r.caller.as_ref()),
        "Kernel function that called `callee`.";
    "reason" Text null Dictionary(FEW) |r| text(r.reason.as_ref()),
        "The kernel's reset reason.";
    "reason_code" Int32 null Dictionary(FEW) |r| Value::int(r.reason_code),
        "Its number on that kernel.";
    "family" Text null Dictionary(FEW) |r| text(r.family),
        "`ipv4` or `ipv6`.";
    "src_port" Int32 null Dictionary(FEW) |r| Value::int(r.src_port),
        "Source port of the RSTs: this host's. Null for `counted` where there were more ports than the kernel half can count apart.";
};

/// The columns of `ledger`.
#[rustfmt::skip]
pub const LEDGER_COLUMNS: &[Column<LedgerRow>] = columns! { LedgerRow:
    "from_time" Timestamp required Delta(RISING) |r| Value::Int(r.from_us),
        "Start of the interval of this account, UTC.";
    "to_time" Timestamp required Delta(RISING) |r| Value::Int(r.to_us),
        "End of that interval, UTC.";
    "host" Text required Dictionary(FEW) |r| text(Some(&r.host)),
        "Name of the host.";
    "netns_id" Int64 null Dictionary(FEW) |r| Value::int(r.netns_id),
        "Inode of the audited network namespace: the recorder's own.";
    "netns_cookie" Int64 null Dictionary(FEW) |r| Value::id(r.netns_cookie),
        "Cookie of that namespace; null before 5.14.";
    "entry" Text required Dictionary(FEW) |r| text(Some(r.entry)),
        "What is counted. Packets: `seen` (RSTs that left), of which `crafted`, `forwarded` and `unknown` (its event may be lost, or its addresses were translated) were not recorded. Events: `recorded`, of which `unsent` (no RST left) and `missed` (the audit may not have got the packet). `seen - crafted - forwarded - unknown = recorded - unsent - missed`. In addition: `lost` (events that may belong to this namespace), `dropped` (packets that did not fit into the audit's socket), `overflow` (packets and events that did not fit into the comparison).";
    "count" Int64 required Dictionary(FEW) |r| Value::id(Some(r.count)),
        "How many. The sums of `seen`, `recorded`, `lost`, `dropped` and `overflow` have no flow; the others have a row for each flow, and one without for what had no room.";
    "cause" Text null Dictionary(FEW) |r| text(r.cause),
        "`crafted` or `forwarded`, as in `entry`; else null.";
    "blame" Text null Dictionary(FEW) |r| text(r.blame),
        "Who acted: `op` for `crafted`, `net` for `forwarded`; else null.";
    "family" Text null Dictionary(FEW) |r| text(r.src.map(|(a, _)| family_text(a))),
        "`ipv4` or `ipv6`.";
    "src_addr" Text null Dictionary(REPEATS) |r| owned(r.src.map(|(a, _)| a.to_string())),
        "Source address of the RST packet.";
    "src_port" Int32 null Dictionary(MIXED) |r| Value::int(r.src.map(|(_, p)| p)),
        "Source port of the RST packet.";
    "dst_addr" Text null Dictionary(REPEATS) |r| owned(r.dst.map(|(a, _)| a.to_string())),
        "Destination address of the RST packet.";
    "dst_port" Int32 null Dictionary(MIXED) |r| Value::int(r.dst.map(|(_, p)| p)),
        "Destination port of the RST packet.";
    "device" Text null Dictionary(FEW) |r| text(r.device.as_ref()),
        "Interface through which the flow's first such packet left; `#N` where interface N is gone.";
    "in_device" Text null Dictionary(FEW) |r| text(r.in_device.as_ref()),
        "Interface through which it had come in: the proof of `forwarded`.";
    "ttl" Int32 null Dictionary(FEW) |r| Value::int(r.ttl),
        "TTL or hop limit with which it left: one that this kernel does not use points at another sender.";
};

/// The columns of `containers`.
#[rustfmt::skip]
pub const CONTAINER_COLUMNS: &[Column<ContainerRow>] = columns! { ContainerRow:
    "from_time" Timestamp required Delta(RISING) |r| Value::Int(r.from_us),
        "When its cgroup was made, UTC; the recorder's start where it was there before.";
    "to_time" Timestamp null Delta(RISING) |r| r.to_us.map_or(Value::Null, Value::Int),
        "When its cgroup was removed, UTC; null while it lives. Of several rows of a container the last one counts.";
    "host" Text required Dictionary(FEW) |r| text(Some(&r.host)),
        "Name of the host.";
    "runtime" Text null Dictionary(FEW) |r| text(r.container.runtime().map(Runtime::name)),
        "As in `resets`.";
    "container_id" Text required Dictionary(REPEATS) |r| text(Some(&r.container.id)),
        "Id, whole.";
    "container_name" Text null Dictionary(REPEATS) |r| text(r.container.details().and_then(|d| d.name.as_ref())),
        "Name; null if no runtime gave one.";
    "container_image" Text null Dictionary(REPEATS) |r| text(r.container.details().and_then(|d| d.image.as_ref())),
        "Image, as it was asked for.";
    "container_image_digest" Text null Dictionary(REPEATS) |r| text(r.container.details().and_then(|d| d.image_digest.as_ref())),
        "Digest of the image's manifest.";
    "k8s_node" Text null Dictionary(FEW) |r| text(r.owner.node()),
        "Name of the node; null without a pod of Kubernetes.";
    "k8s_namespace" Text null Dictionary(REPEATS) |r| text(r.owner.named.pod().and_then(|p| p.namespace.as_ref())),
        "Namespace of its pod.";
    "k8s_pod" Text null Dictionary(REPEATS) |r| text(r.owner.named.pod().and_then(|p| p.name.as_ref())),
        "Name of its pod.";
    "k8s_container" Text null Dictionary(REPEATS) |r| text(r.owner.named.pod().and_then(|p| p.container.as_ref())),
        "Name of the container in its pod.";
    "k8s_hostnetwork" Boolean null Plain(BITS) |r| r.owner.named.is_host_network().map_or(Value::Null, Value::Bool),
        "Whether its pod uses the host's network; null without a pod.";
    "is_sandbox" Boolean null Plain(BITS) |r| r.container.details().map_or(Value::Null, |d| Value::Bool(d.is_sandbox)),
        "Whether it only holds the namespaces of a pod (pause, infra); null if no runtime said so.";
    "cgroup_id" Int64 null Dictionary(REPEATS) |r| Value::id(r.cgroup_id),
        "Id of its cgroup v2: `socket_cgroup_id` of its resets, unless they are of a cgroup below.";
    "cgroup_path" Text null Dictionary(REPEATS) |r| text(r.cgroup_path.as_ref()),
        "Path of that cgroup below the root of the hierarchy.";
    "netns_id" Int64 null Dictionary(REPEATS) |r| Value::int(r.netns_id),
        "Inode of its network namespace.";
    "netns_cookie" Int64 null Dictionary(REPEATS) |r| Value::id(r.netns_cookie),
        "Cookie of that namespace.";
    "mntns_id" Int64 null Dictionary(REPEATS) |r| Value::int(r.mntns_id),
        "Inode of its mount namespace.";
    "pid" Int32 null Dictionary(REPEATS) |r| Value::int(r.pid.map(u32::cast_signed)),
        "Its first process that was seen.";
    "addresses" Text null Dictionary(REPEATS) |r| owned((!r.addresses.is_empty()).then(|| r.addresses.iter().map(|a| a.to_string()).collect::<Vec<_>>().join(","))),
        "Addresses of its network namespace, loopback aside, with `,` between; null where they are not known or the host's.";
};
