//! Who listens where, and who did. Asked when a connection that nobody accepted is reset, so that
//! a new connection costs no lookup.
//!
//! listen() and the end of a listener are numbered. A connection keeps the number that was the last
//! one when it was made, so that the listener which was there at that time is found also when it is
//! closed, or another one listens in its place.

use aya_ebpf::btf_maps::{Array, LruHashMap};
use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::btf_map;
use core::ptr;
use tcprst_schema::wire::{Act, Actor, EventHeader, FROM_FLOW, Past};

use crate::kernel::{Address, Memory, Probed, get, layout, read};
use crate::maps;
use crate::sock::{self, AF_INET6, Address16};
use crate::sockets::{self, NOBODY};

/// Who listens where. Changes with listen() alone, so that locks do no harm. The recorder sets its
/// size: before 6.16 each CPU takes 128 free entries of an LRU map for itself.
#[btf_map]
static LISTENERS: LruHashMap<ListenKey, Listening, 4096> = LruHashMap::new();

/// How often listen() was called.
#[btf_map]
static LISTENS: Array<u64, 1> = Array::new();

/// What a listener is bound to.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct ListenKey {
    /// Cookie of the network namespace, or before 5.12 its inode.
    netns: u64,
    addr: Address16,
    port: u16,
    family: u16,
    /// Index of the device that it is bound to (SO_BINDTODEVICE); 0 is any.
    device: u32,
}

/// Who called listen() there last, and who did before: connections of a service that was replaced
/// live on. An entry stays when its listener is closed, for the same reason.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Listening {
    now: Listener,
    before: Listener,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Listener {
    actor: Actor,
    cgroup_id: u64,
    uid: u32,
    /// Number of its listen(); 0 is none.
    opened: u32,
    /// Number of its end; 0 is none yet.
    closed: u32,
    /// Handshakes that were under way at its end.
    handshakes: u32,
    /// When it ended, nanoseconds since boot.
    closed_ns: u64,
}

/// What is known of a connection that nobody accepted.
#[derive(Clone, Copy)]
pub(crate) struct Birth {
    /// The last number when it was made.
    pub(crate) generation: u32,
    /// Its socket has these from its listener.
    pub(crate) uid: u32,
    pub(crate) cgroup_id: u64,
}

/// Five SYN-ACKs (net.ipv4.tcp_synack_retries) take 63 seconds.
const LONGEST_HANDSHAKE_NS: u64 = 64_000_000_000;

const NONE: Listener = Listener {
    actor: NOBODY,
    cgroup_id: 0,
    uid: 0,
    opened: 0,
    closed: 0,
    handshakes: 0,
    closed_ns: 0,
};

/// The last number that was given.
#[inline(always)]
pub(crate) fn generation() -> u32 {
    // SAFETY: the map has this entry; other CPUs add to it.
    LISTENS.get_ptr(0).map_or(0, |listens| unsafe { ptr::read_volatile(listens) } as u32)
}

/// Gives a number. Two CPUs at once may get the same, of listeners that have nothing in common.
#[inline(always)]
fn next_generation() -> u32 {
    if let Some(listens) = LISTENS.get_ptr_mut(0) {
        // SAFETY: the map has this entry.
        unsafe { maps::count(listens) };
    }
    generation()
}

/// The running task's socket begins to listen.
#[inline(never)]
pub(crate) fn listen<M: Memory>(sk: Address, id: Address) {
    sockets::remember::<M>(sk, id, Act::Listen);
    let mut actor = NOBODY;
    // SAFETY: it is on the stack.
    unsafe { sockets::fill(&raw mut actor, Act::Listen) };
    let opened = next_generation();
    let (uid, cgroup_id) = sock::owner(id);
    let now = Listener { actor, cgroup_id, uid, opened, ..NONE };
    let key = key_of(id, local_address(id));
    // SAFETY: copied at once.
    let mut before = unsafe { LISTENERS.get(&key) }.map_or(NONE, |listening| listening.now);
    if before.closed == 0 {
        before.closed = opened;
    }
    let _ = LISTENERS.insert(&key, Listening { now, before }, 0);
}

/// A listener ends.
#[inline(never)]
pub(crate) fn close(id: Address) {
    let closed = next_generation();
    if let Some(listening) = LISTENERS.get_ptr_mut(&key_of(id, local_address(id))) {
        // SAFETY: an entry of the map; one that is given to another key meanwhile is a listener
        // that is taken for closed, and so unknown.
        unsafe {
            (*listening).now.handshakes = get(id, layout!(offsets.request_queue_len));
            (*listening).now.closed_ns = bpf_ktime_get_boot_ns();
            (*listening).now.closed = closed;
        }
    }
}

/// Writes who listened where this connection came from, when it came; nothing where nobody did. With
/// SO_REUSEPORT connections of a port go to several listeners, perhaps of several processes, and
/// which one is not to be seen from the connection: nobody is named.
///
/// # Safety
/// `actor` points to one that may be written.
#[inline(never)]
pub(crate) unsafe fn owner(sk: Address, birth: &Birth, actor: *mut Actor) {
    /// Fifth bit, behind the four of `skc_reuse` (include/net/sock.h, little-endian).
    const REUSEPORT: u8 = 1 << 4;
    const ANY: Address16 = [0; 2];
    if read::<u8>(sk, layout!(offsets.skc_reuseport)).is_none_or(|bits| bits & REUSEPORT != 0) {
        return;
    }
    // The order in which the kernel looks for a listener (inet_lookup_listener).
    let mut key = key_of(sk, local_address(sk));
    let device = key.device;
    let exact = key.addr;
    for addr in [exact, ANY] {
        key.addr = addr;
        key.device = device;
        // SAFETY: the caller's promise.
        if unsafe { find(&key, birth, actor) } {
            return;
        }
        if device != 0 {
            key.device = 0;
            // SAFETY: the caller's promise.
            if unsafe { find(&key, birth, actor) } {
                return;
            }
        }
    }
}

/// Writes who was there when the connection came, and returns whether anybody was.
///
/// # Safety
/// `actor` points to one that may be written.
#[inline(always)]
unsafe fn find(key: &ListenKey, birth: &Birth, actor: *mut Actor) -> bool {
    // SAFETY: copied at once.
    let Some(listening) = (unsafe { LISTENERS.get(key) }) else {
        return false;
    };
    let listener = if listening.now.was_there(birth) {
        &listening.now
    } else if listening.before.was_there(birth) {
        &listening.before
    } else {
        return false;
    };
    // The connection may have come to another listener, past the one that is bound there: TPROXY and
    // BPF programs (sk_lookup) do that.
    if listener.uid == birth.uid && listener.cgroup_id == birth.cgroup_id {
        // SAFETY: the caller's promise.
        unsafe { *actor = listener.actor };
    }
    true
}

impl Listener {
    /// Numbers are compared by their difference, because they wrap.
    #[inline(always)]
    fn was_there(&self, birth: &Birth) -> bool {
        let since = |number: u32| birth.generation.wrapping_sub(number) as i32 >= 0;
        self.opened != 0 && since(self.opened) && (self.closed == 0 || !since(self.closed))
    }
}

/// Writes that the event answers what may be the last segment of a handshake with a listener which
/// was closed meanwhile: it had handshakes under way, and not longer ago than one takes.
///
/// # Safety
/// `event` points to a whole header in a map, with its flow.
#[inline(never)]
pub(crate) unsafe fn recall(net: Address, event: *mut EventHeader) {
    const ANY: Address16 = [0; 2];
    // SAFETY: the caller's promise.
    let flow = unsafe { sock::flow_of(event) };
    let mut key = ListenKey {
        netns: sock::namespace(net),
        addr: flow.src_addr,
        port: flow.src_port,
        family: flow.family as u16,
        device: 0,
    };
    for turn in 0..3 {
        if turn == 1 {
            key.addr = ANY;
        } else if turn == 2 {
            // For both families.
            key.family = AF_INET6 as u16;
        }
        // SAFETY: read at once; the caller's promise.
        unsafe {
            let Some(listening) = LISTENERS.get_ptr_mut(&key) else {
                continue;
            };
            let now = &raw mut (*listening).now;
            let before = &raw mut (*listening).before;
            let listener = if (*now).closed != 0 { now } else { before };
            let since = (*event).boot_ns.wrapping_sub((*listener).closed_ns);
            if (*listener).handshakes != 0
                && (*listener).closed_ns != 0
                && since < LONGEST_HANDSHAKE_NS
            {
                // Not more often than there were handshakes.
                (*listener).handshakes -= 1;
                (*event).past = Past::ListenerClosed as u8;
                (*event).past_ns = (*listener).closed_ns;
                (*event).owner_from = FROM_FLOW;
                (*event).socket_uid = (*listener).uid;
                (*event).socket_cgroup_id = (*listener).cgroup_id;
                (*event).socket = (*listener).actor;
                return;
            }
        }
    }
}

#[inline(always)]
fn local_address(sk: Address) -> Address16 {
    let family: u16 = get(sk, layout!(offsets.skc_family));
    if u32::from(family) == AF_INET6 {
        get(sk, layout!(offsets.skc_v6_rcv_saddr))
    } else {
        sock::ipv4(get(sk, layout!(offsets.skc_rcv_saddr)))
    }
}

/// The key of a listener, or of a connection's listener if that is bound to this address.
#[inline(always)]
fn key_of(sk: Address, addr: Address16) -> ListenKey {
    let family: u16 = get(sk, layout!(offsets.skc_family));
    // On a linger-0 close `skc_num` is already 0, while `inet_sport` still has the port.
    let port = u16::from_be(get(sk, layout!(offsets.inet_sport)));
    let device = get(sk, layout!(offsets.skc_bound_dev_if));
    ListenKey { netns: sock::namespace(sock::net::<Probed>(sk)), addr, port, family, device }
}
