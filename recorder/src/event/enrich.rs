//! From an event to a row: names, the task if it acted, the cause.
//!
//! That is done once for events that have everything in common but what [`Own`] holds. The bytes of
//! such events are equal, apart from a few fields, and lead to the row of the first one.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use tcprst_schema::cause::{self, Blame, Cause, Socket};
use tcprst_schema::classify::{Facts, classify, is_mark};
use tcprst_schema::hook::Direction;
use tcprst_schema::implied::Implied;
use tcprst_schema::row::{Own, Row, SocketOwner, SocketProcess, Stack, Task};
use tcprst_schema::wire::{
    ACCEPT_QUEUE_FULL, Act, EventHeader, FROM_FLOW, FROM_PACKET, FROM_SOCKET, FROM_TIMEWAIT,
    HAS_SOCKET, HAS_TASK, IMPLIED, IS_LISTENER, KERNEL_THREAD, NO_REASON, Past, SK_KNOWN,
    TASK_EXITING,
};
use zerocopy::{FromBytes, IntoBytes};

use crate::clock::Clock;
use crate::event::decode::Event;
use crate::event::profile::{MAX_PROFILES, Profiles};
use crate::event::stacks::Stacks;
use crate::hash::{Map, map};
use crate::kernel::btf::Names;
use crate::kernel::symbols::UNKNOWN;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const TCP_CLOSE: u8 = 7;

/// Turns events into rows.
#[derive(Debug)]
pub(crate) struct Enricher {
    host: Arc<str>,
    reasons: HashMap<i32, Arc<str>>,
    states: HashMap<u8, Arc<str>>,
    stacks: Stacks,
    /// Reasons that imply nothing on this kernel.
    refuted: HashSet<i32>,
    newly_refuted: Vec<(i32, &'static str, Arc<str>)>,
    profiles: Profiles,
    /// Profiles by the bytes of their events.
    by_bytes: Map<Box<[u64]>, Arc<Row>>,
    /// The bytes of the event at hand.
    bytes: Vec<u64>,
    /// The event before: in a storm they are alike.
    last_bytes: Vec<u64>,
    last: Option<Arc<Row>>,
}

/// The facts of an event from which its cause follows.
#[derive(Debug)]
struct CauseEvidence {
    stack: Arc<Stack>,
    reason: Option<Arc<str>>,
    socket: Socket,
    sk_state: Option<Arc<str>>,
    sk_flags: Option<u8>,
    answered_flags: Option<u8>,
    past: Option<&'static str>,
    queue_full: Option<bool>,
}

impl CauseEvidence {
    fn cause(&self) -> Option<&'static Cause> {
        classify(&Facts {
            frames: &self.stack.frames,
            reason: self.reason.as_deref(),
            socket: self.socket,
            sk_state: self.sk_state.as_deref(),
            sk_flags: self.sk_flags,
            answered_flags: self.answered_flags,
            past: self.past,
            queue_full: self.queue_full,
        })
    }
}

impl Enricher {
    pub(crate) fn new(host: &str, names: &Names, stacks: Stacks) -> Self {
        let share = |name: &String| Arc::from(name.as_str());
        Self {
            host: host.into(),
            reasons: names.reasons.iter().map(|(code, name)| (*code, share(name))).collect(),
            states: names
                .states
                .iter()
                .filter_map(|(code, name)| Some((u8::try_from(*code).ok()?, share(name))))
                .collect(),
            stacks,
            refuted: HashSet::new(),
            newly_refuted: Vec::new(),
            profiles: Profiles::default(),
            by_bytes: map(),
            bytes: Vec::new(),
            last_bytes: Vec::new(),
            last: None,
        }
    }

    /// An event as its profile and what is its own. The profile is a row that differs in what is
    /// its own only.
    pub(crate) fn take(&mut self, event: &Event<'_>, clock: &Clock) -> (Arc<Row>, Own) {
        (self.profile(event, clock), own(event.header, clock))
    }

    fn profile(&mut self, event: &Event<'_>, clock: &Clock) -> Arc<Row> {
        self.bytes.clear();
        let header = without_own(event.header);
        if let Ok(words) = <[u64]>::ref_from_bytes(header.as_bytes()) {
            self.bytes.extend_from_slice(words);
        }
        self.bytes.extend_from_slice(event.stack);
        if let Some(profile) = &self.last
            && self.last_bytes == self.bytes
        {
            return Arc::clone(profile);
        }
        let profile = match self.by_bytes.get(&*self.bytes) {
            Some(profile) => Arc::clone(profile),
            None => {
                let profile = self.new_profile(event, clock);
                // A BPF program may give its addresses to another one: such a stack is named each
                // time.
                if self.stacks.has_programs(event.stack) {
                    self.last = None;
                    return profile;
                }
                self.by_bytes.insert(self.bytes.as_slice().into(), Arc::clone(&profile));
                profile
            }
        };
        std::mem::swap(&mut self.bytes, &mut self.last_bytes);
        self.last = Some(Arc::clone(&profile));
        profile
    }

    fn new_profile(&mut self, event: &Event<'_>, clock: &Clock) -> Arc<Row> {
        let tables = self.stacks.tables_read();
        let row = self.row(event, clock);
        // Names of addresses may have changed.
        if self.stacks.tables_read() != tables || self.by_bytes.len() >= MAX_PROFILES {
            self.by_bytes.clear();
        }
        self.profiles.of(&row)
    }

    pub(crate) fn stacks(&mut self) -> &mut Stacks {
        &mut self.stacks
    }

    /// Name of a reason on the running kernel.
    pub(crate) fn reason(&self, code: i32) -> Option<Arc<str>> {
        self.reasons.get(&code).cloned()
    }

    /// The row of an event.
    pub(crate) fn row(&mut self, event: &Event<'_>, clock: &Clock) -> Row {
        let header = event.header;
        let reason_code = (header.reason != NO_REASON).then_some(header.reason);
        let reason = reason_code.and_then(|code| self.reason(code));
        let stack = self.stack(event, reason.as_deref());
        let sk_state = self.state_before(header);
        let answered_flags = (header.flags & FROM_PACKET != 0).then_some(header.answered_flags);
        let has_socket = header.flags & HAS_SOCKET != 0;
        let past = Past::name_of(header.past);
        let is_listener = header.flags & IS_LISTENER != 0;
        let sk_flags = (header.sk_flags & SK_KNOWN != 0).then_some(header.sk_flags);
        let evidence = CauseEvidence {
            stack: Arc::clone(&stack),
            reason: reason.clone(),
            socket: Socket::of_row(has_socket, sk_state.as_deref(), sk_flags.is_some()),
            sk_state: sk_state.clone(),
            sk_flags,
            answered_flags,
            past,
            queue_full: is_listener.then_some(header.flags & ACCEPT_QUEUE_FULL != 0),
        };
        let cause = evidence.cause();
        let context = context(header, &stack);
        let task = (context == Some("task")).then(|| task(header));
        let (src, dst) = flow(header);
        let direction = Direction::of_site(header.site);
        let icmp = (direction == Direction::Icmp).then_some((header.icmp_type, header.icmp_code));
        Row {
            time_us: clock.wall_us(header.boot_ns),
            boot_ns: header.boot_ns,
            cpu: header.cpu,
            seq: header.seq,
            host: Arc::clone(&self.host),
            direction: direction.name(),
            netns_id: known(header.netns_inum),
            netns_cookie: known(header.netns_cookie),
            cause: cause.map_or(cause::UNKNOWN, |cause| cause.name),
            blame: cause.and_then(|cause| cause.blame).map(Blame::name),
            stack,
            reason,
            reason_code,
            sk_state,
            context,
            answered_flags,
            sk_flags,
            past,
            past_us: past_us(header, clock),
            first: first(header),
            accept_queue: accept_queue(header),
            icmp,
            src,
            dst,
            task,
            socket: socket(header),
            owner_from: match header.owner_from {
                FROM_SOCKET => Some("socket"),
                FROM_TIMEWAIT => Some("timewait"),
                FROM_FLOW => Some("flow"),
                _ => None,
            },
            owner: None,
            peer: None,
        }
    }

    /// The stack as it was walked, or as the reason implies it.
    fn stack(&mut self, event: &Event<'_>, reason: Option<&str>) -> Arc<Stack> {
        let header = event.header;
        let implied = reason.and_then(Implied::of_reason);
        if header.walk == IMPLIED
            && let Some(implied) = implied
        {
            let is_v6 = match header.flags & FROM_PACKET {
                0 => false,
                _ => header.family == AF_INET6,
            };
            return self.stacks.implied(implied, is_v6, header.flags & TASK_EXITING != 0);
        }
        let stack = self.stacks.name(event.stack);
        // Frames without names say nothing against it.
        if let (Some(implied), Some(callee), Some(caller)) = (implied, &stack.callee, &stack.caller)
            && ![callee, caller].into_iter().any(|name| &**name == UNKNOWN)
            && !implied.is_caller(callee, caller)
            && self.refuted.insert(header.reason)
        {
            self.newly_refuted.push((header.reason, implied.reason, Arc::clone(caller)));
        }
        stack
    }

    /// Reasons that were seen with another caller than the implied one since the last call: number,
    /// name, caller.
    pub(crate) fn take_refuted(&mut self) -> Vec<(i32, &'static str, Arc<str>)> {
        std::mem::take(&mut self.newly_refuted)
    }

    /// The state at the hook. If that is CLOSE already, the state before it.
    fn state_before(&self, header: &EventHeader) -> Option<Arc<str>> {
        let state = match header.sk_state {
            _ if header.flags & HAS_SOCKET == 0 => return None,
            // A closed socket sends nothing: if the change was not seen, the state is unknown.
            TCP_CLOSE => header.closed_from,
            state => state,
        };
        self.states.get(&state).cloned()
    }
}

/// What is an event's own.
fn own(header: &EventHeader, clock: &Clock) -> Own {
    let (src, dst) = flow(header);
    Own {
        time_us: clock.wall_us(header.boot_ns),
        boot_ns: header.boot_ns,
        seq: header.seq,
        cpu: header.cpu,
        src,
        dst,
        past_us: past_us(header, clock),
        first: first(header),
        accept_queue: accept_queue(header),
        pid: header.tgid,
        tid: header.tid,
        socket_pid: header.socket.tgid,
        socket_tid: header.socket.tid,
    }
}

/// The header without what is the event's own. A new field of the header that differs from event to
/// event belongs here: otherwise each event has a profile to itself, which is right but slow.
fn without_own(header: &EventHeader) -> EventHeader {
    // The family of the packet: to an IPv4 peer an IPv6 socket sends an IPv4 packet.
    let (src, dst) = flow(header);
    let is_v4 = |end: End| u8::from(end.is_some_and(|(address, _)| address.is_ipv4()));
    let mut same = *header;
    (same.boot_ns, same.seq, same.lost, same.counted) = (0, 0, 0, 0);
    (same.cpu, same.tgid, same.tid) = (0, 0, 0);
    (same.socket.tgid, same.socket.tid) = (0, 0);
    (same.src_addr, same.dst_addr) = ([is_v4(src); 16], [is_v4(dst); 16]);
    (same.src_port, same.dst_port) = (0, 0);
    (same.past_ns, same.past_seq, same.past_cpu) = (0, 0, 0);
    (same.accept_queue, same.accept_limit) = (0, 0);
    same
}

/// When the connection ended before.
fn past_us(header: &EventHeader, clock: &Clock) -> Option<i64> {
    (header.past != 0).then(|| clock.wall_us(header.past_ns))
}

/// The reset that this one follows from.
fn first(header: &EventHeader) -> Option<(u32, u64)> {
    (u32::from(header.past) == Past::Reset as u32).then_some((header.past_cpu, header.past_seq))
}

/// Length and limit of a listener's queue.
fn accept_queue(header: &EventHeader) -> Option<(u32, u32)> {
    (header.flags & IS_LISTENER != 0).then_some((header.accept_queue, header.accept_limit))
}

/// The kernel half writes zero for an unknown value.
fn known<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}

/// What made the kernel act. The mark nearest to the callee decides: on loopback the stack of a
/// received segment continues into the system call of its sender, and the stack of a timer into
/// the code that it interrupted. A thread of the kernel never acts for itself.
fn context(header: &EventHeader, stack: &Stack) -> Option<&'static str> {
    const PACKET: [&str; 3] = ["tcp_v4_do_rcv", "tcp_v6_do_rcv", "nf_hook_slow"];
    const TIMER: [&str; 4] =
        ["call_timer_fn", "__run_timers", "run_timer_softirq", "__run_hrtimer"];
    // The start of a system call or of an exit.
    const TASK: [&str; 4] = ["do_syscall_64", "el0_svc", "do_exit", "task_work_run"];
    // Threads of the kernel itself, which work on behalf of others.
    const WORKER: [&str; 4] = ["process_one_work", "worker_thread", "kthread", "ret_from_fork"];
    let is_kernel_thread = header.flags & KERNEL_THREAD != 0;
    let of_task = if is_kernel_thread { "worker" } else { "task" };
    let marked = stack.frames.iter().find_map(|frame| {
        let frame = &**frame;
        if TIMER.contains(&frame) || is_tcp_timer(frame) {
            Some("timer")
        } else if PACKET.contains(&frame) || is_mark(frame) {
            // Any other interrupt too: the task below it did not act.
            Some("packet")
        } else if TASK.contains(&frame) || frame.starts_with("__x64_sys_") {
            Some(of_task)
        } else if WORKER.contains(&frame) {
            Some("worker")
        } else {
            None
        }
    });
    if header.flags & HAS_TASK == 0 {
        return marked.filter(|mark| *mark == "timer").or(Some("packet"));
    }
    // Only a task calls some functions, if the stack is cut off below them.
    let cut = || stack.frames.iter().any(|frame| is_task_only(frame));
    marked.or_else(|| (is_kernel_thread || cut()).then_some(of_task))
}

fn is_tcp_timer(frame: &str) -> bool {
    matches!(frame, "tcp_keepalive_timer" | "tcp_write_timer" | "tcp_write_timer_handler")
}

/// Kernel functions that a task or a thread of the kernel calls, and no interrupt.
fn is_task_only(frame: &str) -> bool {
    matches!(frame, "tcp_close" | "inet_release" | "__sock_release" | "__inet_stream_connect")
}

fn task(header: &EventHeader) -> Task {
    Task {
        pid: header.tgid,
        tid: header.tid,
        uid: header.uid,
        gid: header.gid,
        comm: text(&header.comm).into(),
        mntns_id: known(header.mntns_inum),
        cgroup_id: known(header.task_cgroup_id),
    }
}

/// A command name: any bytes up to the first zero.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn socket(header: &EventHeader) -> SocketOwner {
    SocketOwner {
        uid: (header.socket_uid != u32::MAX).then_some(header.socket_uid),
        netns_id: (header.flags & HAS_SOCKET != 0).then_some(header.netns_inum).and_then(known),
        cgroup_id: known(header.socket_cgroup_id),
        process: process(header),
    }
}

/// The process that owns the socket, if its act is known.
fn process(header: &EventHeader) -> Option<SocketProcess> {
    let actor = &header.socket;
    Some(SocketProcess {
        act: Act::name_of(actor.act)?,
        pid: actor.tgid,
        tid: actor.tid,
        gid: actor.gid,
        comm: text(&actor.comm).into(),
        mntns_id: known(actor.mntns_inum),
    })
}

type End = Option<(IpAddr, u16)>;

/// Both ends as on the RST packet: to an IPv4 peer an IPv6 socket sends an IPv4 packet.
fn flow(header: &EventHeader) -> (End, End) {
    let address = |bytes: &[u8; 16]| -> Option<IpAddr> {
        match header.family {
            AF_INET => Some(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into()),
            AF_INET6 => Some(Ipv6Addr::from(*bytes).to_canonical()),
            _ => None,
        }
    };
    (
        address(&header.src_addr).map(|address| (address, header.src_port)),
        address(&header.dst_addr).map(|address| (address, header.dst_port)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    fn stack(frames: &[&str]) -> Stack {
        Stack { frames: frames.iter().map(|f| Arc::from(*f)).collect(), ..Stack::default() }
    }

    fn header(flags: u8) -> EventHeader {
        EventHeader { flags, ..EventHeader::new_zeroed() }
    }

    #[test]
    fn the_mark_nearest_to_the_callee_decides() {
        let with_task = header(HAS_TASK);
        let close = ["tcp_send_active_reset", "__tcp_close", "tcp_close", "do_syscall_64"];
        assert_eq!(context(&with_task, &stack(&close)), Some("task"));
        let timer =
            ["tcp_send_active_reset", "tcp_keepalive_timer", "handle_softirqs", "do_syscall_64"];
        assert_eq!(context(&with_task, &stack(&timer)), Some("timer"));
        let receive = ["tcp_send_active_reset", "tcp_v4_do_rcv", "tcp_v4_rcv", "do_syscall_64"];
        assert_eq!(context(&with_task, &stack(&receive)), Some("packet"));
        assert_eq!(context(&with_task, &stack(&["tcp_send_active_reset"])), None);
        let worker = ["tcp_send_active_reset", "mptcp_worker", "process_one_work", "kthread"];
        assert_eq!(context(&with_task, &stack(&worker)), Some("worker"));
        // Of a worker that closes somebody's socket, and in an interrupt of one.
        let thread = header(HAS_TASK | KERNEL_THREAD);
        let collector = ["tcp_send_active_reset", "__tcp_close", "tcp_close", "inet_release"];
        assert_eq!(context(&thread, &stack(&collector)), Some("worker"));
        assert_eq!(context(&with_task, &stack(&collector)), Some("task"));
        let fput = [&collector[..], &["__fput", "delayed_fput", "process_one_work"]].concat();
        assert_eq!(context(&with_task, &stack(&fput)), Some("worker"));
        assert_eq!(context(&thread, &stack(&timer)), Some("timer"));
        assert_eq!(context(&thread, &stack(&["tcp_send_active_reset"])), Some("worker"));
        assert_eq!(context(&header(0), &stack(&[])), Some("packet"));
    }

    #[test]
    fn an_ipv4_peer_of_an_ipv6_socket_is_ipv4() {
        let mut header = header(HAS_SOCKET);
        header.family = AF_INET6;
        header.src_addr = Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets();
        header.dst_addr = Ipv6Addr::LOCALHOST.octets();
        let (src, dst) = flow(&header);
        assert_eq!(src.map(|(a, _)| a.to_string()).as_deref(), Some("127.0.0.1"));
        assert_eq!(dst.map(|(a, _)| a.to_string()).as_deref(), Some("::1"));
    }

    #[test]
    fn a_command_name_may_be_any_bytes() {
        assert_eq!(text(b"ab\0c"), "ab");
        assert_eq!(text(&[0xff; 16]).chars().count(), 16);
    }
}
