//! Socket options that neither socket2 nor nix has.

use std::net::Ipv4Addr;

use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};

/// From `include/uapi/asm-generic/socket.h`; libc has it for a few targets only.
const SO_NETNS_COOKIE: libc::c_int = 71;

sockopt_impl!(
    /// The number, unique since boot, of the socket's network namespace.
    NetnsCookie,
    GetOnly,
    libc::SOL_SOCKET,
    SO_NETNS_COOKIE,
    u64
);

sockopt_impl!(
    /// Seconds that an orphan stays in FIN_WAIT2; negative: reset it at once.
    Linger2,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_LINGER2,
    libc::c_int
);

sockopt_impl!(
    /// How many connections may wait that began with data in their SYN (TCP Fast Open).
    FastOpen,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_FASTOPEN,
    libc::c_int
);

/// From `include/uapi/linux/tcp.h`, as the structure below; libc has them for a few targets only.
const TCP_MD5SIG: libc::c_int = 14;

sockopt_impl!(
    /// The key that signs all segments of connections with one peer (RFC 2385).
    Md5Key,
    SetOnly,
    libc::IPPROTO_TCP,
    TCP_MD5SIG,
    Md5Signature
);

/// `struct tcp_md5sig`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[expect(unreachable_pub, reason = "the macro makes the option public, and so its value must be")]
pub struct Md5Signature {
    family: u16,
    port: u16,
    address: [u8; 4],
    /// The rest of `struct sockaddr_storage`.
    _storage: [u8; 120],
    flags: u8,
    prefix: u8,
    key_length: u16,
    interface: u32,
    key: [u8; 80],
}

impl Md5Key {
    pub(crate) fn for_peer(peer: Ipv4Addr, key: &[u8; 5]) -> Md5Signature {
        let mut padded = [0; 80];
        padded[..key.len()].copy_from_slice(key);
        Md5Signature {
            family: libc::AF_INET as u16,
            port: 0,
            address: peer.octets(),
            _storage: [0; 120],
            flags: 0,
            prefix: 0,
            key_length: key.len() as u16,
            interface: 0,
            key: padded,
        }
    }
}

sockopt_impl!(
    /// Which queue of a socket under repair the next options are about.
    RepairQueue,
    SetOnly,
    libc::SOL_TCP,
    libc::TCP_REPAIR_QUEUE,
    libc::c_int
);

sockopt_impl!(
    /// The sequence number at the end of that queue.
    QueueSeq,
    GetOnly,
    libc::SOL_TCP,
    libc::TCP_QUEUE_SEQ,
    u32
);
