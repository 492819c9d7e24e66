//! From what a hook has at hand to an event in the ring of this CPU, or to a counted loss.

use aya_ebpf::helpers::generated::{bpf_get_current_comm, bpf_ringbuf_output};
use aya_ebpf::helpers::{
    bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_current_uid_gid,
    bpf_get_smp_processor_id, bpf_get_stack, bpf_ktime_get_boot_ns,
};
use tcprst_schema::wire::{
    ACCEPT_QUEUE_FULL, CpuTotals, EventHeader, FROM_PACKET, FULL_SOCKET, HAS_SOCKET, HAS_TASK,
    IMPLIED, IS_LISTENER, KERNEL_THREAD, LOST_FRAMES, LostKey, MAX_FRAMES, Past, SHORT_FRAMES,
    TASK_EXITING, WALKED,
};

use crate::kernel::{Address, get, layout};
use crate::maps::{BUFFERS, LOST, NESTING, RINGS, TOTALS, count};
use crate::pace::{Pace, Walk};
use crate::reset::Reset;
use crate::sock::{Address16, Flow, Numbers};
use crate::task::Task;
use crate::{closing, filter, flows, listeners, owner, sock, storm};

/// Counts the reset, and puts it into the ring of this CPU or counts it as lost.
#[inline(always)]
pub(crate) fn emit(reset: &Reset) {
    if !filter::passes(reset) {
        return;
    }
    let Some(totals) = TOTALS.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the entry of this CPU, there as long as the map. The kernel refuses to run a
    // program inside itself (`recursion_misses`, which the recorder adds to the losses), but
    // another of ours may interrupt this one: the sum stays exact, and if it happens in these
    // two lines, one number stands twice and the one before is missing.
    let seq = unsafe {
        count(&raw mut (*totals).seen);
        (*totals).seen
    };
    // SAFETY: no arguments, always allowed.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    let Some(pace) = Pace::now(now) else {
        return lose(reset, totals);
    };
    if pace.is_storm(reset) {
        if !storm::count(reset, totals) {
            lose(reset, totals);
        }
        return;
    }
    let state = if reset.sk == 0 { 0 } else { sock::state(reset.sk) };
    Event { reset, seq, now, state }.record(pace, totals);
}

/// A reset that becomes a record.
struct Event<'a> {
    reset: &'a Reset,
    seq: u64,
    now: u64,
    /// `skc_state`; 0 without a socket.
    state: u8,
}

/// Bytes of a stack that a record has room for.
const ROOM: u32 = (MAX_FRAMES * 8) as u32;

impl Event<'_> {
    /// Makes the record in a buffer of this CPU and copies it into the ring, as long as its stack
    /// is: with a reservation for each length the verifier of old kernels would go through all of
    /// this once for each.
    #[inline(always)]
    fn record(&self, pace: &mut Pace, totals: *mut CpuTotals) {
        let reset = self.reset;
        // SAFETY: no arguments, always allowed.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        let (Some(ring), Some(nesting)) = (RINGS.get(cpu), NESTING.get_ptr_mut(0)) else {
            return lose(reset, totals);
        };
        // SAFETY: the entry of this CPU. Another of our programs may interrupt this one, and is
        // done before this one goes on.
        let level = unsafe { *nesting };
        let Some(event) = BUFFERS.get_ptr_mut(level) else {
            return lose(reset, totals);
        };
        // SAFETY: the entry of this CPU and level, which nobody else uses until the level is given
        // back. Every field of the header is written.
        let written = unsafe {
            *nesting = level + 1;
            let header = &raw mut (*event).header;
            (*header).seq = self.seq;
            (*header).lost = (*totals).lost;
            (*header).counted = (*totals).counted;
            (*header).boot_ns = self.now;
            (*header).cpu = cpu;
            (*header).site = reset.site;
            (*header).reason = reset.reason;
            (*header).padding = 0;
            (*header).icmp_type = reset.icmp[0];
            (*header).icmp_code = reset.icmp[1];
            (*header).sk_state = self.state;
            fill(reset, header);
            // Decided last, for the verifier's sake as above.
            let asked = match pace.walk(reset, self.state) {
                Walk::Whole => layout!(stack_bytes),
                Walk::Short => (SHORT_FRAMES * 8) as u32,
                Walk::Implied => 0,
            };
            let asked = if asked > ROOM { ROOM } else { asked };
            let mut walk = IMPLIED;
            let mut walked = 0;
            if asked != 0 {
                walk = WALKED;
                let stack = &raw mut (*event).stack;
                walked = bpf_get_stack(reset.ctx, stack.cast(), asked, 0);
            }
            (*header).walk = walk;
            (*header).stack_bytes = walked as i32;
            // A negative number is an error, and no frames.
            let frames = if walked < 0 || walked > i64::from(ROOM) { 0 } else { walked as u64 };
            let bytes = size_of::<EventHeader>() as u64 + frames;
            // No flag: the kernel wakes the reader if it has read all that was there, and so waits
            // or is about to. While it is behind, another wake-up would not help it.
            let ring = core::ptr::from_ref(ring).cast_mut();
            let written = bpf_ringbuf_output(ring.cast(), event.cast(), bytes, 0);
            *nesting = level;
            written
        };
        if written < 0 {
            lose(reset, totals);
        }
    }
}

/// # Safety
/// `event` points to a whole, writable header.
#[inline(never)]
unsafe fn fill(reset: &Reset, event: *mut EventHeader) {
    let net = reset.net();
    // SAFETY: the caller's promise; the state was written before. What is found is written at once:
    // the verifier keeps account of the stack and not of a map's memory, and so goes through the
    // rest once and not for each of the ways that lead there.
    unsafe {
        let state = (*event).sk_state;
        let mut flags = 0;
        (*event).closed_from = 0;
        (*event).answered_flags = 0;
        (*event).sk_flags = 0;
        owner::nobody(event);
        (*event).past = 0;
        (*event).past_ns = 0;
        (*event).past_seq = 0;
        (*event).past_cpu = 0;
        (*event).accept_queue = 0;
        (*event).accept_limit = 0;
        if reset.segment.is_read != 0 {
            (*event).answered_flags = reset.segment.flags as u8;
            write_flow(&reset.segment.flow, event);
            flags |= FROM_PACKET;
        } else {
            socket_flow(reset, event);
        }
        if reset.sk != 0 {
            flags |= HAS_SOCKET;
            if sock::is_full(state) {
                flags |= FULL_SOCKET;
                owner::of_socket(reset.sk, event);
                (*event).sk_flags = sock::flags(reset.sk);
                if state == sock::TCP_LISTEN {
                    flags |= listener(reset, net, event);
                } else if reset.is_from_tcp() && layout!(socket_owner) != 0 {
                    flows::reset(net, &Numbers::of_socket(reset.sk), event);
                }
            } else if state == sock::TCP_TIME_WAIT {
                owner::of_timewait(net, &reset.segment, event);
                (*event).sk_state = sock::state_of_timewait(reset.sk);
                if reset.is_from_tcp() && layout!(socket_owner) != 0 {
                    flows::reset(net, &Numbers::of_timewait(reset.sk), event);
                }
            } else {
                let listener = sock::listener(reset.sk);
                if listener != 0 {
                    owner::of_socket(listener, event);
                }
            }
            if state == sock::TCP_CLOSE {
                (*event).closed_from = closing::left(reset.sk);
            }
        } else {
            recall(reset, net, event);
        }
        (*event).netns_inum = get(net, layout!(offsets.net_inum));
        (*event).netns_cookie = get(net, layout!(offsets.net_cookie));
        if reset.is_act() {
            flags |= HAS_TASK | task(event);
        } else {
            no_task(event);
        }
        (*event).flags = flags;
    }
}

/// What is remembered of the connection that a segment came for: this host has no socket for it.
///
/// # Safety
/// `event` points to a whole, writable header.
#[inline(always)]
unsafe fn recall(reset: &Reset, net: Address, event: *mut EventHeader) {
    let segment = &reset.segment;
    if layout!(socket_owner) == 0
        || !reset.is_from_tcp()
        || segment.is_read == 0
        || segment.is_first_syn()
    {
        return;
    }
    // SAFETY: the caller's promise.
    unsafe {
        let mut numbers = flows::recall(net, segment, event);
        if (*event).past == 0 && segment.has_ack() {
            listeners::recall(net, event);
            numbers = Numbers::expected_by(segment).word();
        }
        if (*event).past != 0 && (*event).past != Past::Reset as u8 {
            // What comes for it from now on follows from this reset.
            flows::reset(net, &Numbers::of_word(numbers), event);
        }
    }
}

/// What a listener says beside its owner.
///
/// # Safety
/// `event` points to a whole, writable header.
#[inline(always)]
unsafe fn listener(reset: &Reset, net: Address, event: *mut EventHeader) -> u8 {
    let (queue, limit) = sock::accept_queue(reset.sk);
    // SAFETY: the caller's promise.
    unsafe {
        (*event).accept_queue = queue;
        (*event).accept_limit = limit;
        // The port may have a new listener already.
        recall(reset, net, event);
    }
    let full = if queue > limit { ACCEPT_QUEUE_FULL } else { 0 };
    IS_LISTENER | full
}

/// Apart, because the stacks of nested functions may have 512 bytes together.
///
/// # Safety
/// `event` points to a whole, writable header.
#[inline(never)]
unsafe fn socket_flow(reset: &Reset, event: *mut EventHeader) {
    // SAFETY: the caller's promise.
    unsafe {
        let is_full = sock::is_full((*event).sk_state);
        write_flow(&reset.socket_flow(is_full), event);
    }
}

/// # Safety
/// `event` points to a whole, writable header.
#[inline(always)]
unsafe fn write_flow(flow: &Flow, event: *mut EventHeader) {
    // SAFETY: the caller's promise.
    unsafe {
        (*event).family = flow.family as u8;
        (&raw mut (*event).src_addr).cast::<Address16>().write(flow.src_addr);
        (&raw mut (*event).dst_addr).cast::<Address16>().write(flow.dst_addr);
        (*event).src_port = flow.src_port;
        (*event).dst_port = flow.dst_port;
    }
}

/// Fills the running task, and returns its flags. Whether it acted, the recorder tells from the
/// stack.
///
/// # Safety
/// `event` points to a whole, writable header.
#[inline(always)]
unsafe fn task(event: *mut EventHeader) -> u8 {
    let pid_tgid = bpf_get_current_pid_tgid();
    let uid_gid = bpf_get_current_uid_gid();
    // SAFETY: the caller's promise; the helpers take no argument.
    unsafe {
        (*event).tgid = (pid_tgid >> 32) as u32;
        (*event).tid = pid_tgid as u32;
        (*event).uid = uid_gid as u32;
        (*event).gid = (uid_gid >> 32) as u32;
        let comm = &raw mut (*event).comm;
        // Fills all of it, with zeros where it fails.
        bpf_get_current_comm(comm.cast(), 16);
        (*event).task_cgroup_id = bpf_get_current_cgroup_id();
        let current = Task::current();
        (*event).mntns_inum = current.mntns_inum;
        let exiting = if current.is_exiting() { TASK_EXITING } else { 0 };
        let kernel = if current.is_kernel_thread() { KERNEL_THREAD } else { 0 };
        exiting | kernel
    }
}

/// # Safety
/// `event` points to a whole, writable header.
#[inline(always)]
unsafe fn no_task(event: *mut EventHeader) {
    // SAFETY: the caller's promise.
    unsafe {
        (*event).tgid = 0;
        (*event).tid = 0;
        (*event).uid = 0;
        (*event).gid = 0;
        (&raw mut (*event).comm).cast::<Address16>().write([0; 2]);
        (*event).task_cgroup_id = 0;
        (*event).mntns_inum = 0;
    }
}

/// Counts a reset that found no room, under what is known of it.
#[inline(never)]
fn lose(reset: &Reset, totals: *mut CpuTotals) {
    // SAFETY: as in `emit`.
    unsafe { count(&raw mut (*totals).lost) };
    let net = reset.net();
    let flow = reset.flow();
    let mut key = LostKey {
        netns_cookie: get(net, layout!(offsets.net_cookie)),
        stack: [0; LOST_FRAMES],
        reason: reset.reason,
        netns_inum: get(net, layout!(offsets.net_inum)),
        src_port: flow.src_port,
        site: reset.site,
        family: flow.family as u8,
        padding: [0; 4],
    };
    let room = (LOST_FRAMES * 8) as u32;
    // SAFETY: the buffer is as large as said. Where it fails the frames stay 0.
    unsafe { bpf_get_stack(reset.ctx, (&raw mut key.stack).cast(), room, 0) };
    match LOST.get_ptr_mut(&key) {
        // SAFETY: the entry of this CPU.
        Some(count) => unsafe { *count += 1 },
        None => {
            // Full: `TOTALS` has it, and the recorder reports the rest without a key.
            let _ = LOST.insert(&key, 1, 0);
        }
    }
}
