//! `bpf_sock_destroy`: a BPF program that walks the TCP sockets of its network namespace and
//! destroys those on one port, as socket load balancers do.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use crate::cause::bpf::{self, KernelTypes, ProgramKind, call_kernel, code, instruction};
use crate::scene::{Caused, Impossible, Scene};
use crate::stage::pair::{Pair, await_reset};
use crate::task::Actor;

/// From `include/uapi/linux/bpf.h`, as the structure below.
const ITER_CREATE: i32 = 33;
const PROG_TYPE_TRACING: u32 = 26;
const TRACE_ITER: u32 = 28;

pub(crate) fn bpf_destroy(scene: &Scene) -> Result<Caused> {
    let types = KernelTypes::read()?;
    let Some(destroy) = types.function("bpf_sock_destroy") else {
        bail!(Impossible("the kernel has no bpf_sock_destroy, which came with 6.5".to_owned()));
    };
    let walk = types.function("bpf_iter_tcp").context("the kernel has no iterator of sockets")?;
    let port_at = types.port_offset().context("no skc_num in struct sock_common")?;
    let kind =
        ProgramKind { prog_type: PROG_TYPE_TRACING, attach_type: TRACE_ITER, function: walk };
    let instructions = instructions(destroy, port_at, scene.port);
    let program = stays_loaded(bpf::load("tcprst_destroy", &instructions, kind)?);

    let pair = Pair::open(scene, IpAddr::V4(Ipv4Addr::LOCALHOST))?;
    walk_sockets(program)?;
    await_reset(scene, &pair.client)?;
    Ok(scene.caused(pair.server_addr, pair.client_addr).with_actor(Actor::this_thread()?))
}

/// Keeps the program for as long as this process runs, as a load balancer does: the name of
/// its frame in the stack is known only while it is loaded.
fn stays_loaded(program: OwnedFd) -> &'static OwnedFd {
    static PROGRAM: OnceLock<OwnedFd> = OnceLock::new();
    PROGRAM.get_or_init(|| program)
}

/// `if (socket && socket->skc_num == port) bpf_sock_destroy(socket); return 0;`
fn instructions(destroy: u32, port_at: i16, port: u16) -> [u64; 8] {
    use code::{COPY, EXIT, JUMP_IF_EQUAL, JUMP_UNLESS_EQUAL, LOAD_16, LOAD_64, SET};
    /// `struct bpf_iter__tcp`: first what all iterators have, then the socket.
    const SOCKET: i16 = 8;
    [
        instruction(LOAD_64, 6, 1, SOCKET, 0),
        instruction(JUMP_IF_EQUAL, 6, 0, 4, 0),
        instruction(LOAD_16, 2, 6, port_at, 0),
        instruction(JUMP_UNLESS_EQUAL, 2, 0, 2, port.into()),
        instruction(COPY, 1, 6, 0, 0),
        call_kernel(destroy),
        instruction(SET, 0, 0, 0, 0),
        instruction(EXIT, 0, 0, 0, 0),
    ]
}

/// `union bpf_attr` for `ITER_CREATE`.
#[repr(C)]
struct IterCreate {
    link_fd: i32,
    flags: u32,
}

/// Runs the program once for each TCP socket of the calling thread's network namespace.
fn walk_sockets(program: &OwnedFd) -> Result<()> {
    let link = bpf::link(program, 0, TRACE_ITER)?;
    let iterator = IterCreate { link_fd: link.as_raw_fd(), flags: 0 };
    let iterator = bpf::call(ITER_CREATE, &iterator).context("make the iterator")?;
    let mut said = vec![];
    File::from(iterator).read_to_end(&mut said).context("run the iterator")?;
    Ok(())
}
