//! Socket options that neither socket2 nor nix has.

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
