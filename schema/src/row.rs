//! One recorded reset as the recorder hands it to the columns.

use std::net::IpAddr;
use std::sync::Arc;

use crate::columns::Value;
use crate::container::{Container, Details, Pod, Runtime};
use crate::wire::{SK_FLAG_NAMES, TCP_FLAG_NAMES};

/// The names that a stack resolves to; one value is shared by all events with that stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// Kernel function that built the RST.
    pub callee: Option<Arc<str>>,
    /// Function that called it.
    pub caller: Option<Arc<str>>,
    /// Every frame, root first, `;` between.
    pub folded: Option<Arc<str>>,
    /// The same frames, leaf (callee) first, for [`crate::classify::classify`].
    pub frames: Vec<Arc<str>>,
    pub source: StackSource,
}

/// How the frames are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StackSource {
    /// The kernel walked the stack.
    #[default]
    Walked,
    /// The kernel's reason proves them: [`crate::implied`].
    Implied,
}

impl StackSource {
    /// The name in the column `stack_source`.
    pub const fn name(self) -> &'static str {
        match self {
            StackSource::Walked => "walked",
            StackSource::Implied => "implied",
        }
    }
}

/// The task that acted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub pid: u32,
    pub tid: u32,
    pub uid: u32,
    pub gid: u32,
    pub comm: Arc<str>,
    pub mntns_id: Option<u32>,
    pub cgroup_id: Option<u64>,
}

/// What the socket itself says of its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketOwner {
    pub uid: Option<u32>,
    pub netns_id: Option<u32>,
    pub cgroup_id: Option<u64>,
    /// The process behind it.
    pub process: Option<SocketProcess>,
}

/// The process that connected, accepted or listened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketProcess {
    pub pid: u32,
    pub tid: u32,
    pub gid: u32,
    pub comm: Arc<str>,
    pub mntns_id: Option<u32>,
    /// What it did: `connect`, `accept`, `listen`.
    pub act: &'static str,
}

/// A container, or a pod of which the container is not known.
#[derive(Clone, Debug)]
pub struct Named {
    container: Arc<Container>,
    is_pod_only: bool,
}

impl Named {
    /// Exactly this one.
    pub fn container(container: Arc<Container>) -> Self {
        Self { container, is_pod_only: false }
    }

    /// The pod that this container is of.
    pub fn pod_of(container: Arc<Container>) -> Self {
        Self { container, is_pod_only: true }
    }

    /// The container, unless only the pod is known. A sandbox is the pod itself.
    pub fn one(&self) -> Option<&Container> {
        let is_sandbox = || self.details().is_some_and(|details| details.is_sandbox);
        (!self.is_pod_only && !is_sandbox()).then_some(&*self.container)
    }

    pub fn details(&self) -> Option<&Details> {
        self.container.details()
    }

    /// Which container it is, and whether only its pod: two values are equal if and only if these
    /// are, as long as either lives.
    pub fn identity(&self) -> (usize, bool) {
        (Arc::as_ptr(&self.container).addr(), self.is_pod_only)
    }

    /// How often its runtime has described it: a name may have come since the number was smaller.
    pub fn answers(&self) -> usize {
        self.container.answers()
    }

    pub fn pod(&self) -> Option<&Pod> {
        self.details()?.pod.as_ref()
    }

    pub fn runtime(&self) -> Option<Runtime> {
        self.container.runtime()
    }

    fn of_one(&self, value: impl FnOnce(&Details) -> Option<&Arc<str>>) -> Option<&str> {
        value(self.one()?.details()?).map(|text| &**text)
    }

    pub fn name(&self) -> Option<&str> {
        self.of_one(|details| details.name.as_ref())
    }

    pub fn image(&self) -> Option<&str> {
        self.of_one(|details| details.image.as_ref())
    }

    pub fn image_digest(&self) -> Option<&str> {
        self.of_one(|details| details.image_digest.as_ref())
    }

    /// Name of the container in its pod.
    pub fn pod_container(&self) -> Option<&str> {
        self.of_one(|details| details.pod.as_ref()?.container.as_ref())
    }

    /// Whether the pod uses the host's network; `None` without a pod.
    pub fn is_host_network(&self) -> Option<bool> {
        self.pod()?;
        self.details()?.is_host_network
    }
}

/// Whose a reset is, and how that was found.
#[derive(Clone, Debug)]
pub struct Owner {
    pub named: Named,
    /// `socket`, `timewait`, `flow` or `netns`.
    pub attribution: &'static str,
    /// Name of this Kubernetes node.
    pub node: Arc<str>,
}

impl Owner {
    /// False where it was found by a namespace that, as the runtime has said since, is the host's.
    pub fn is_certain(&self) -> bool {
        self.attribution != "netns"
            || self.named.details().is_none_or(|details| details.is_host_network != Some(true))
    }

    /// Node of a Kubernetes pod.
    pub fn node(&self) -> Option<&Arc<str>> {
        self.named.pod()?.namespace.as_ref()?;
        Some(&self.node)
    }
}

/// One row of `resets`.
#[derive(Clone, Debug)]
pub struct Row {
    /// Microseconds since the epoch, UTC.
    pub time_us: i64,
    pub boot_ns: u64,
    pub cpu: u32,
    pub seq: u64,
    pub host: Arc<str>,
    pub direction: &'static str,
    pub netns_id: Option<u32>,
    pub netns_cookie: Option<u64>,
    pub stack: Arc<Stack>,
    pub cause: &'static str,
    pub blame: Option<&'static str>,
    pub reason: Option<Arc<str>>,
    pub reason_code: Option<i32>,
    pub sk_state: Option<Arc<str>>,
    pub context: Option<&'static str>,
    /// Flags of the TCP header that the reset answers; `None` where it answers no packet.
    pub answered_flags: Option<u8>,
    /// [`crate::wire::SK_ORPHAN`] and similar flags; `None` where they are not known.
    pub sk_flags: Option<u8>,
    /// How the connection had ended on this host before: [`crate::wire::Past`].
    pub past: Option<&'static str>,
    /// When that was, microseconds since the epoch, UTC.
    pub past_us: Option<i64>,
    /// CPU and number of the reset that this one follows from.
    pub first: Option<(u32, u64)>,
    /// Connections that wait in the listener to be accepted, and how many may.
    pub accept_queue: Option<(u32, u32)>,
    /// Type and code of an ICMP error.
    pub icmp: Option<(u8, u8)>,
    pub src: Option<(IpAddr, u16)>,
    pub dst: Option<(IpAddr, u16)>,
    pub task: Option<Task>,
    pub socket: SocketOwner,
    /// Where the socket's cgroup is from: `socket`, `timewait` or `flow`.
    pub owner_from: Option<&'static str>,
    pub owner: Option<Owner>,
    /// The other side of the flow, where it is on this host.
    pub peer: Option<Named>,
}

/// What a reset does not share with others. A row with all of this left out is a profile: a few
/// hundred of them describe the resets of a busy host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    pub time_us: i64,
    pub boot_ns: u64,
    pub seq: u64,
    pub cpu: u32,
    pub src: Option<(IpAddr, u16)>,
    pub dst: Option<(IpAddr, u16)>,
    pub past_us: Option<i64>,
    pub first: Option<(u32, u64)>,
    pub accept_queue: Option<(u32, u32)>,
    /// Of the task that acted; not used without one.
    pub pid: u32,
    pub tid: u32,
    /// Of the process behind the socket; not used without one.
    pub socket_pid: u32,
    pub socket_tid: u32,
}

impl Row {
    /// What differs from reset to reset.
    pub fn own(&self) -> Own {
        let task = self.task.as_ref();
        let process = self.socket.process.as_ref();
        Own {
            time_us: self.time_us,
            boot_ns: self.boot_ns,
            seq: self.seq,
            cpu: self.cpu,
            src: self.src,
            dst: self.dst,
            past_us: self.past_us,
            first: self.first,
            accept_queue: self.accept_queue,
            pid: task.map_or(0, |task| task.pid),
            tid: task.map_or(0, |task| task.tid),
            socket_pid: process.map_or(0, |process| process.pid),
            socket_tid: process.map_or(0, |process| process.tid),
        }
    }

    /// Makes this the row of another reset of the same profile.
    pub fn set_own(&mut self, own: &Own) {
        self.time_us = own.time_us;
        self.boot_ns = own.boot_ns;
        self.seq = own.seq;
        self.cpu = own.cpu;
        self.src = own.src;
        self.dst = own.dst;
        self.past_us = own.past_us;
        self.first = own.first;
        self.accept_queue = own.accept_queue;
        if let Some(task) = &mut self.task {
            (task.pid, task.tid) = (own.pid, own.tid);
        }
        if let Some(process) = &mut self.socket.process {
            (process.pid, process.tid) = (own.socket_pid, own.socket_tid);
        }
    }
}

/// Ports that Linux gives to clients by default (`ip_local_port_range`, ip(7)).
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

impl Row {
    /// Port of the service: one side of a connection listened, and the other's port says nothing.
    pub fn service_port(&self) -> Option<u16> {
        let (src, dst) = (self.src?.1, self.dst?.1);
        // A received RST has this host's port as its destination.
        let (local, remote) = if self.direction == "received" { (dst, src) } else { (src, dst) };
        let act = self.socket.process.as_ref().map(|process| process.act);
        let is_local = match (act, self.sk_state.as_deref()) {
            (Some("connect"), _) | (_, Some("SYN_SENT")) => Some(false),
            (Some("accept" | "listen"), _) | (_, Some("LISTEN" | "SYN_RECV" | "NEW_SYN_RECV")) => {
                Some(true)
            }
            // Who sends a SYN is the client, who answers it listens; the RST goes back to him.
            _ => match self.answered_flags {
                Some(flags) if flags & SYN != 0 => Some(flags & ACK == 0),
                _ => None,
            },
        };
        Some(match is_local {
            Some(true) => local,
            Some(false) => remote,
            None => match (EPHEMERAL.contains(&local), EPHEMERAL.contains(&remote)) {
                (true, false) => remote,
                (false, true) => local,
                _ => local.min(remote),
            },
        })
    }
}

/// Port of the service, as far as this host's end of a flow and the answered segment tell, by the
/// rules of [`Row::service_port`]: the other end of counted resets is not known. `None` where the
/// other end may be the one that listened, and for a `local` of 0, which stands for several ports.
pub fn service_port_of_local(local: u16, answered_flags: u8) -> Option<u16> {
    let is_local = match (answered_flags & SYN != 0, answered_flags & ACK != 0) {
        (true, is_answer) => !is_answer,
        (false, _) => !EPHEMERAL.contains(&local),
    };
    (is_local && local != 0).then_some(local)
}

/// One row of `resets_per_minute`.
#[derive(Clone, Debug)]
pub struct RollupRow {
    /// Start of the minute, microseconds since the epoch, UTC.
    pub minute_us: i64,
    /// In the order of [`crate::columns::DIMENSIONS`].
    pub dimensions: [Value<'static>; crate::columns::DIMENSIONS.len()],
    pub count: i64,
    /// How many of them have no row.
    pub counted: i64,
}

/// One row of `containers`.
#[derive(Clone, Debug)]
pub struct ContainerRow {
    /// Life of its cgroup, microseconds since the epoch, UTC; from the recorder's start on where
    /// it was there before.
    pub from_us: i64,
    pub to_us: Option<i64>,
    pub host: Arc<str>,
    pub owner: Owner,
    pub container: Arc<Container>,
    pub cgroup_id: Option<u64>,
    pub cgroup_path: Option<Arc<str>>,
    pub netns_id: Option<u32>,
    pub netns_cookie: Option<u64>,
    pub mntns_id: Option<u32>,
    pub pid: Option<u32>,
    pub addresses: Vec<IpAddr>,
}

/// In `stage` of `losses`: the resets were not lost but counted, without a row each.
pub const STAGE_COUNTED: &str = "counted";

/// One row of `losses`: resets that were seen but have no row, by what they had in common.
#[derive(Clone, Debug)]
pub struct LossRow {
    /// Interval in which they were lost or counted, microseconds since the epoch, UTC.
    pub from_us: i64,
    pub to_us: i64,
    pub host: Arc<str>,
    /// Where: see the column's documentation.
    pub stage: &'static str,
    pub count: u64,
    pub netns_id: Option<u32>,
    pub netns_cookie: Option<u64>,
    pub callee: Option<Arc<str>>,
    pub caller: Option<Arc<str>>,
    pub reason: Option<Arc<str>>,
    pub reason_code: Option<i32>,
    pub family: Option<&'static str>,
    pub src_port: Option<u16>,
}

/// One row of `ledger`: RST packets that left, compared with what was recorded.
#[derive(Clone, Debug)]
pub struct LedgerRow {
    /// Interval of the account, microseconds since the epoch, UTC.
    pub from_us: i64,
    pub to_us: i64,
    pub host: Arc<str>,
    pub netns_id: Option<u32>,
    pub netns_cookie: Option<u64>,
    /// What is counted: see the column's documentation.
    pub entry: &'static str,
    pub count: u64,
    pub cause: Option<&'static str>,
    pub blame: Option<&'static str>,
    pub src: Option<(IpAddr, u16)>,
    pub dst: Option<(IpAddr, u16)>,
    pub device: Option<Arc<str>>,
    pub in_device: Option<Arc<str>>,
    pub ttl: Option<u8>,
}

/// Text of the TCP flags byte (RFC 9293, 3.1; RFC 3168 for the two ECN bits), lowest bit first.
pub fn tcp_flags_text(flags: u8) -> String {
    bits_text(flags, TCP_FLAG_NAMES)
}

/// Text of a socket's flags ([`crate::wire::SK_ORPHAN`] and similar flags); empty where none is set.
pub fn sk_flags_text(flags: u8) -> String {
    bits_text(flags, SK_FLAG_NAMES)
}

/// The names of the bits that are set, lowest first, `|` between; a bit without a name is silent.
fn bits_text(bits: u8, names: &[&str]) -> String {
    let mut text = String::new();
    for (bit, name) in names.iter().enumerate() {
        if bits & (1 << bit) != 0 && !name.is_empty() {
            if !text.is_empty() {
                text.push('|');
            }
            text.push_str(name);
        }
    }
    text
}

/// `ipv4` or `ipv6`, as on the packet.
pub fn family_text(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "ipv4",
        IpAddr::V6(_) => "ipv6",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{SK_KNOWN, SK_LINGER2, SK_ORPHAN, bits_of_text};

    fn between(local: u16, remote: u16) -> Row {
        let address = IpAddr::from([10, 0, 0, 1]);
        Row {
            time_us: 0,
            boot_ns: 0,
            cpu: 0,
            seq: 1,
            host: "h".into(),
            direction: "sent",
            netns_id: None,
            netns_cookie: None,
            stack: Arc::default(),
            cause: "unknown",
            blame: None,
            reason: None,
            reason_code: None,
            sk_state: None,
            context: None,
            answered_flags: None,
            sk_flags: None,
            past: None,
            past_us: None,
            first: None,
            accept_queue: None,
            icmp: None,
            src: Some((address, local)),
            dst: Some((address, remote)),
            task: None,
            socket: SocketOwner::default(),
            owner_from: None,
            owner: None,
            peer: None,
        }
    }

    fn with_act(act: &'static str, row: Row) -> Row {
        let process =
            SocketProcess { pid: 1, tid: 1, gid: 0, comm: "c".into(), mntns_id: None, act };
        let socket = SocketOwner { process: Some(process), ..SocketOwner::default() };
        Row { socket, ..row }
    }

    #[test]
    fn the_port_of_the_service_is_that_of_who_listened() {
        let state = |state: &str, row: Row| Row { sk_state: Some(state.into()), ..row };
        let answering = |flags, row: Row| Row { answered_flags: Some(flags), ..row };
        let received = |row: Row| Row { direction: "received", ..row };
        for (row, port) in [
            (with_act("connect", between(40_000, 50_051)), 50_051),
            (with_act("accept", between(50_051, 40_000)), 50_051),
            (with_act("listen", between(50_051, 40_000)), 50_051),
            (with_act("connect", received(between(50_051, 40_000))), 50_051),
            (state("SYN_SENT", between(33_000, 60_000)), 60_000),
            (state("SYN_RECV", between(60_000, 33_000)), 60_000),
            (answering(0x02, between(60_000, 33_000)), 60_000),
            (answering(0x12, between(33_000, 60_000)), 60_000),
            (answering(0x10, between(40_000, 443)), 443),
            (between(8_080, 443), 443),
            (between(61_000, 40_000), 61_000),
            (between(40_000, 61_000), 61_000),
            (between(50_051, 40_000), 40_000),
        ] {
            assert_eq!(row.service_port(), Some(port), "{row:?}");
        }
        assert_eq!(Row { src: None, ..between(1, 2) }.service_port(), None);
    }

    #[test]
    fn only_the_columns_that_are_called_own_follow_from_what_is_own() {
        use crate::columns::{COLUMNS, OWN_COLUMNS};
        let task = Task {
            pid: 1,
            tid: 2,
            uid: 0,
            gid: 0,
            comm: "c".into(),
            mntns_id: None,
            cgroup_id: None,
        };
        let one = Row { task: Some(task), ..with_act("accept", between(80, 40_000)) };
        let other = Own {
            time_us: 9,
            boot_ns: 9,
            seq: 9,
            cpu: 9,
            src: Some((IpAddr::from([10, 9, 9, 1]), 90)),
            dst: Some((IpAddr::from([10, 9, 9, 2]), 50_000)),
            past_us: Some(9),
            first: Some((9, 9)),
            accept_queue: Some((9, 9)),
            pid: 9,
            tid: 9,
            socket_pid: 9,
            socket_tid: 9,
        };
        let mut row = one.clone();
        row.set_own(&other);
        assert_eq!(row.own(), other);
        for column in COLUMNS {
            let is_equal = (column.value)(&one) == (column.value)(&row);
            assert_eq!(is_equal, !OWN_COLUMNS.contains(&column.name), "{}", column.name);
        }
        row.set_own(&one.own());
        assert!(COLUMNS.iter().all(|column| (column.value)(&one) == (column.value)(&row)));
    }

    #[test]
    fn where_only_this_end_is_known_the_port_is_that_of_the_row_or_none() {
        for (local, flags) in [(80, 0x02), (50_000, 0x02), (80, 0x12), (443, 0x10), (50_000, 0x10)]
        {
            let found = service_port_of_local(local, flags);
            let row = Row { answered_flags: Some(flags), ..between(local, 40_000) };
            let expected = row.service_port().filter(|port| *port == local);
            assert_eq!(found, expected, "{local} {flags:#x}");
        }
        assert_eq!(service_port_of_local(0, 0x02), None, "several ports");
    }

    #[test]
    fn flags_are_named_from_the_lowest_bit() {
        assert_eq!(tcp_flags_text(0x02), "SYN");
        assert_eq!(tcp_flags_text(0x18), "PSH|ACK");
        assert_eq!(tcp_flags_text(0), "");
        assert_eq!(sk_flags_text(SK_KNOWN | SK_ORPHAN | SK_LINGER2), "ORPHAN|LINGER2");
        assert_eq!(sk_flags_text(SK_KNOWN), "");
        assert_eq!(bits_of_text("PSH|ACK", TCP_FLAG_NAMES), 0x18);
        assert_eq!(bits_of_text("", TCP_FLAG_NAMES), 0);
        assert_eq!(bits_of_text("ORPHAN|NEWER", SK_FLAG_NAMES), SK_ORPHAN);
    }
}
