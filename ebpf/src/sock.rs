//! What a `struct sock` says. TIME_WAIT and request sockets share only `struct sock_common`
//! with it, and `skc_state` tells which one it is.

use tcprst_schema::wire::{EventHeader, SK_KNOWN, SK_LINGER2, SK_ORPHAN};

use crate::kernel::{Address, Memory, Plain, get, layout, read};
use crate::packet::Segment;

pub(crate) const AF_INET: u32 = 2;
pub(crate) const AF_INET6: u32 = 10;
pub(crate) const TCP_SYN_RECV: u8 = 3;
pub(crate) const TCP_TIME_WAIT: u8 = 6;
pub(crate) const TCP_CLOSE: u8 = 7;
pub(crate) const TCP_LISTEN: u8 = 10;
pub(crate) const TCP_NEW_SYN_RECV: u8 = 12;

/// Sixteen bytes of an address, as two words: byte arrays are copied byte by byte, which made
/// the program four times as long.
pub(crate) type Address16 = [u64; 2];

/// An IPv4 address in the first four bytes; the target is little-endian (bpfel).
#[inline(always)]
pub(crate) fn ipv4(address: u32) -> Address16 {
    [u64::from(address), 0]
}

/// Addresses in network order, ports in host order, as on the RST.
/// Without padding: before 6.3 the verifier refuses a copy that reads what was never written.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Flow {
    pub(crate) src_addr: Address16,
    pub(crate) dst_addr: Address16,
    pub(crate) src_port: u16,
    pub(crate) dst_port: u16,
    pub(crate) family: u32,
}

impl Flow {
    pub(crate) const NONE: Self =
        Self { family: 0, src_addr: [0; 2], dst_addr: [0; 2], src_port: 0, dst_port: 0 };

    /// The other way round.
    #[inline(always)]
    pub(crate) fn reversed(self) -> Self {
        Self {
            family: self.family,
            src_addr: self.dst_addr,
            dst_addr: self.src_addr,
            src_port: self.dst_port,
            dst_port: self.src_port,
        }
    }

    /// An IPv4 peer of an IPv6 socket is IPv4 on the wire (RFC 4291, 2.5.5.2).
    #[inline(always)]
    pub(crate) fn as_on_the_wire(&self) -> Self {
        /// The first twelve bytes of such an address; the target is little-endian.
        const MAPPED: u64 = 0xffff_0000;
        const LOW: u64 = 0xffff_ffff;
        let mut flow = *self;
        if flow.family == AF_INET6 && flow.dst_addr[0] == 0 && flow.dst_addr[1] & LOW == MAPPED {
            flow.family = AF_INET;
            flow.src_addr = [flow.src_addr[1] >> 32, 0];
            flow.dst_addr = [flow.dst_addr[1] >> 32, 0];
        }
        flow
    }
}

/// The flow of an event.
///
/// # Safety
/// `event` points to a header with its flow.
#[inline(always)]
pub(crate) unsafe fn flow_of(event: *mut EventHeader) -> Flow {
    // SAFETY: the caller's promise.
    unsafe {
        Flow {
            family: (*event).family.into(),
            src_addr: (&raw const (*event).src_addr).cast::<Address16>().read(),
            dst_addr: (&raw const (*event).dst_addr).cast::<Address16>().read(),
            src_port: (*event).src_port,
            dst_port: (*event).dst_port,
        }
    }
}

/// The sequence numbers that the two ends of a connection use next.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Numbers {
    snd_nxt: u32,
    rcv_nxt: u32,
}

impl Numbers {
    #[inline(always)]
    pub(crate) fn of_socket(sk: Address) -> Self {
        Self {
            snd_nxt: get(sk, layout!(offsets.snd_nxt)),
            rcv_nxt: get(sk, layout!(offsets.rcv_nxt)),
        }
    }

    #[inline(always)]
    pub(crate) fn of_timewait(sk: Address) -> Self {
        Self {
            snd_nxt: get(sk, layout!(offsets.tw_snd_nxt)),
            rcv_nxt: get(sk, layout!(offsets.tw_rcv_nxt)),
        }
    }

    /// Those of the connection that a segment was sent for.
    #[inline(always)]
    pub(crate) fn expected_by(segment: &Segment) -> Self {
        Self { snd_nxt: segment.ack, rcv_nxt: segment.seq }
    }

    #[inline(always)]
    pub(crate) fn of_word(word: u64) -> Self {
        Self { snd_nxt: (word >> 32) as u32, rcv_nxt: word as u32 }
    }

    /// Both in one word; 0 is none.
    #[inline(always)]
    pub(crate) fn word(self) -> u64 {
        u64::from(self.snd_nxt) << 32 | u64::from(self.rcv_nxt)
    }

    /// Whether a segment may be one of this connection: what it acknowledges and where it stands
    /// are near. Of other connections one in 128 has such an acknowledgement. What is still in
    /// flight is less than the largest window, 1 GiB (RFC 7323, 2.3), and in practice far less.
    #[inline(always)]
    pub(crate) fn is_near(self, segment: &Segment) -> bool {
        const NEAR: i32 = 1 << 24;
        const AHEAD: i32 = 1 << 28;
        let acked = segment.ack.wrapping_sub(self.snd_nxt) as i32;
        let stands = segment.seq.wrapping_sub(self.rcv_nxt) as i32;
        let is_acked = !segment.has_ack() || (-NEAR <= acked && acked <= NEAR);
        // A SYN-ACK is the first that is heard of its sender's numbers.
        is_acked && (self.rcv_nxt == 0 || (-AHEAD <= stands && stands <= AHEAD))
    }
}

/// Number of connections that wait in a listener to be accepted, and how many may; and how many
/// handshakes are under way.
#[inline(always)]
pub(crate) fn accept_queue(sk: Address) -> (u32, u32) {
    (get(sk, layout!(offsets.sk_ack_backlog)), get(sk, layout!(offsets.sk_max_ack_backlog)))
}

/// State of what a TIME_WAIT socket stands for: FIN_WAIT2, as long as the peer has not closed.
#[inline(always)]
pub(crate) fn state_of_timewait(sk: Address) -> u8 {
    match get(sk, layout!(offsets.tw_substate)) {
        0 => TCP_TIME_WAIT,
        state => state,
    }
}

/// Whether it is a whole `struct sock`.
#[inline(always)]
pub(crate) fn is_full(state: u8) -> bool {
    state != TCP_TIME_WAIT && state != TCP_NEW_SYN_RECV
}

/// Its `struct net`.
#[inline(always)]
pub(crate) fn net<M: Memory>(sk: Address) -> Address {
    M::get(sk, layout!(offsets.skc_net))
}

/// What tells a network namespace from others: its cookie, or before 5.12 its inode, which other
/// namespaces may bear later.
#[inline(always)]
pub(crate) fn namespace(net: Address) -> u64 {
    match read::<u64>(net, layout!(offsets.net_cookie)) {
        Some(cookie) if cookie != 0 => cookie,
        _ => u64::from(get::<u32>(net, layout!(offsets.net_inum))),
    }
}

/// `skc_state`.
#[inline(always)]
pub(crate) fn state(sk: Address) -> u8 {
    get::<u8>(sk, layout!(offsets.skc_state))
}

/// The first bytes of a `struct sock_common`, where addresses, ports and family are, in one read: a
/// helper takes 35 ns whatever it reads.
struct Head {
    sk: Address,
    words: [u64; 4],
}

impl Head {
    #[inline(always)]
    fn of(sk: Address) -> Self {
        Self { sk, words: get(sk, 0) }
    }

    /// The member at that offset; read by itself where it is further behind.
    #[inline(always)]
    fn get<T: Plain>(&self, offset: u32) -> T {
        let end = offset as usize + size_of::<T>();
        if end > size_of_val(&self.words) {
            return get(self.sk, offset);
        }
        // SAFETY: it lies in the words, all of which were written. Members are aligned.
        unsafe { (&raw const self.words).byte_add(offset as usize).cast::<T>().read_volatile() }
    }
}

/// The socket's own end is the source of the RST.
#[inline(always)]
pub(crate) fn flow(sk: Address, full: bool) -> Flow {
    let head = Head::of(sk);
    let mut flow = Flow::NONE;
    flow.family = head.get::<u16>(layout!(offsets.skc_family)).into();
    flow.dst_port = u16::from_be(head.get(layout!(offsets.skc_dport)));
    // On a linger-0 close `skc_num` is already 0, while `inet_sport` still has the port.
    flow.src_port = match read::<u16>(sk, layout!(offsets.inet_sport)) {
        Some(port) if full => u16::from_be(port),
        _ => head.get(layout!(offsets.skc_num)),
    };
    if flow.family == AF_INET6 {
        flow.src_addr = get(sk, layout!(offsets.skc_v6_rcv_saddr));
        flow.dst_addr = get(sk, layout!(offsets.skc_v6_daddr));
    } else {
        flow.src_addr = ipv4(head.get(layout!(offsets.skc_rcv_saddr)));
        flow.dst_addr = ipv4(head.get(layout!(offsets.skc_daddr)));
    }
    flow
}

/// User and cgroup v2 of a whole socket; `u32::MAX` and 0 where they are not known.
#[inline(always)]
pub(crate) fn owner(sk: Address) -> (u32, u64) {
    /// Set where the place holds marks and no pointer (include/linux/cgroup-defs.h, 5.10).
    const MARKS: u64 = 3;
    let cgroup: Address = read(sk, layout!(offsets.sk_cgroup))
        .or_else(|| read(sk, layout!(offsets.sk_cgroup_val)).filter(|val| val & MARKS == 0))
        .unwrap_or(0);
    let node: Address = get(cgroup, layout!(offsets.cgroup_kn));
    let uid = read(sk, layout!(offsets.sk_uid)).unwrap_or(u32::MAX);
    (uid, get(node, layout!(offsets.kernfs_id)))
}

/// Whether a whole socket is a subflow of Multipath TCP.
#[inline(always)]
pub(crate) fn is_mptcp(sk: Address) -> bool {
    read::<u8>(sk, layout!(offsets.is_mptcp)).is_some_and(|is_mptcp| is_mptcp != 0)
}

/// The listener of a request socket.
#[inline(always)]
pub(crate) fn listener(request: Address) -> Address {
    get(request, layout!(offsets.skc_listener))
}

/// [`SK_KNOWN`] and similar flags, of a whole socket; 0 where the kernel does not say.
#[inline(always)]
pub(crate) fn flags(sk: Address) -> u8 {
    let Some(socket) = read::<Address>(sk, layout!(offsets.sk_socket)) else {
        return 0;
    };
    let mut flags = SK_KNOWN;
    if socket == 0 {
        flags |= SK_ORPHAN;
    }
    if get::<i32>(sk, layout!(offsets.linger2)) < 0 {
        flags |= SK_LINGER2;
    }
    flags
}
