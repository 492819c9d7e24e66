//! `bpf_sock_destroy`: a BPF program that walks the TCP sockets of its network namespace and
//! destroys those on one port, as socket load balancers do. It is eight instructions long, and
//! aya can neither make such a program nor call that function: so it is assembled here.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use btf_rs::{Btf, Type};
use nix::libc;

use super::pair::{Pair, await_reset};
use super::scene::Impossible;
use super::{Actor, Caused, Scene};

pub(crate) fn bpf_destroy(scene: &Scene) -> Result<Caused> {
    let types = KernelTypes::read()?;
    let Some(destroy) = types.function("bpf_sock_destroy") else {
        bail!(Impossible("the kernel has no bpf_sock_destroy, which came with 6.5".to_owned()));
    };
    let walk = types.function("bpf_iter_tcp").context("the kernel has no iterator of sockets")?;
    let port_at = types.port_offset().context("no skc_num in struct sock_common")?;
    let program = load(&instructions(destroy, port_at, scene.port), walk)?;
    let program = stays_loaded(program);

    let pair = Pair::open(scene, IpAddr::V4(Ipv4Addr::LOCALHOST))?;
    walk_sockets(program)?;
    await_reset(scene, &pair.client)?;
    Ok(scene.caused(pair.server_addr, pair.client_addr).by(Actor::this_thread()?))
}

/// Keeps the program for as long as this process runs, as a load balancer does: the name of
/// its frame in the stack is known only while it is loaded.
fn stays_loaded(program: OwnedFd) -> &'static OwnedFd {
    static PROGRAM: OnceLock<OwnedFd> = OnceLock::new();
    PROGRAM.get_or_init(|| program)
}

/// What the program needs to know of the running kernel.
struct KernelTypes(Btf);

impl KernelTypes {
    fn read() -> Result<Self> {
        const PATH: &str = "/sys/kernel/btf/vmlinux";
        match Btf::from_file(PATH) {
            Ok(btf) => Ok(Self(btf)),
            Err(_) if !Path::new(PATH).exists() => {
                bail!(Impossible("the kernel does not tell its types (BTF)".to_owned()))
            }
            Err(error) => Err(error).with_context(|| format!("read {PATH}")),
        }
    }

    /// The type id of a kernel function.
    fn function(&self, name: &str) -> Option<u32> {
        let ids = self.0.resolve_ids_by_name(name).ok()?;
        ids.into_iter().find(|&id| matches!(self.0.resolve_type_by_id(id), Ok(Type::Func(_))))
    }

    /// Where a socket has its own port, in host order.
    fn port_offset(&self) -> Option<i16> {
        let found = self.0.resolve_types_by_name("sock_common").ok()?;
        let sock_common = found.iter().find(|found| matches!(found, Type::Struct(_)))?;
        i16::try_from(self.member(sock_common, "skc_num")? / 8).ok()
    }

    /// Bit offset of a member, also of unnamed structures and unions inside.
    fn member(&self, outer: &Type, name: &str) -> Option<u32> {
        let (Type::Struct(outer) | Type::Union(outer)) = outer else {
            return None;
        };
        outer.members.iter().find_map(|member| {
            let inside = match self.0.resolve_name(member).unwrap_or_default() {
                found if found == name => Some(0),
                found if found.is_empty() => {
                    self.member(&self.0.resolve_chained_type(member).ok()?, name)
                }
                _ => None,
            };
            Some(member.bit_offset() + inside?)
        })
    }
}

/// Operation codes, from the kernel's `Documentation/bpf/standardization/instruction-set.rst`.
mod code {
    pub(super) const LOAD_64: u8 = 0x79;
    pub(super) const LOAD_16: u8 = 0x69;
    pub(super) const JUMP_IF_EQUAL: u8 = 0x15;
    pub(super) const JUMP_UNLESS_EQUAL: u8 = 0x55;
    pub(super) const COPY: u8 = 0xbf;
    pub(super) const SET: u8 = 0xb7;
    pub(super) const CALL: u8 = 0x85;
    pub(super) const EXIT: u8 = 0x95;
}

/// One instruction, as `struct bpf_insn` lies in memory on a little-endian machine.
fn instruction(code: u8, dst: u8, src: u8, offset: i16, immediate: i32) -> u64 {
    u64::from(code)
        | u64::from(dst) << 8
        | u64::from(src) << 12
        | u64::from(offset as u16) << 16
        | u64::from(immediate as u32) << 32
}

/// `if (socket && socket->skc_num == port) bpf_sock_destroy(socket); return 0;`
fn instructions(destroy: u32, port_at: i16, port: u16) -> [u64; 8] {
    use code::{CALL, COPY, EXIT, JUMP_IF_EQUAL, JUMP_UNLESS_EQUAL, LOAD_16, LOAD_64, SET};
    /// `struct bpf_iter__tcp`: first what all iterators have, then the socket.
    const SOCKET: i16 = 8;
    /// In `src`: the immediate is the id of a kernel function.
    const KERNEL_FUNCTION: u8 = 2;
    [
        instruction(LOAD_64, 6, 1, SOCKET, 0),
        instruction(JUMP_IF_EQUAL, 6, 0, 4, 0),
        instruction(LOAD_16, 2, 6, port_at, 0),
        instruction(JUMP_UNLESS_EQUAL, 2, 0, 2, port.into()),
        instruction(COPY, 1, 6, 0, 0),
        instruction(CALL, 0, KERNEL_FUNCTION, 0, destroy as i32),
        instruction(SET, 0, 0, 0, 0),
        instruction(EXIT, 0, 0, 0, 0),
    ]
}

/// From `include/uapi/linux/bpf.h`.
mod bpf {
    pub(super) const PROG_LOAD: i32 = 5;
    pub(super) const LINK_CREATE: i32 = 28;
    pub(super) const ITER_CREATE: i32 = 33;
    pub(super) const PROG_TYPE_TRACING: u32 = 26;
    pub(super) const TRACE_ITER: u32 = 28;

    /// `union bpf_attr` for `PROG_LOAD`.
    #[repr(C)]
    #[derive(Default)]
    pub(super) struct ProgLoad {
        pub(super) prog_type: u32,
        pub(super) insn_cnt: u32,
        pub(super) insns: u64,
        pub(super) license: u64,
        pub(super) log_level: u32,
        pub(super) log_size: u32,
        pub(super) log_buf: u64,
        pub(super) kern_version: u32,
        pub(super) prog_flags: u32,
        pub(super) prog_name: [u8; 16],
        pub(super) prog_ifindex: u32,
        pub(super) expected_attach_type: u32,
        pub(super) prog_btf_fd: u32,
        pub(super) func_info_rec_size: u32,
        pub(super) func_info: u64,
        pub(super) func_info_cnt: u32,
        pub(super) line_info_rec_size: u32,
        pub(super) line_info: u64,
        pub(super) line_info_cnt: u32,
        pub(super) attach_btf_id: u32,
    }

    /// `union bpf_attr` for `LINK_CREATE`.
    #[repr(C)]
    pub(super) struct LinkCreate {
        pub(super) prog_fd: i32,
        pub(super) target_fd: i32,
        pub(super) attach_type: u32,
        pub(super) flags: u32,
    }

    /// `union bpf_attr` for `ITER_CREATE`.
    #[repr(C)]
    pub(super) struct IterCreate {
        pub(super) link_fd: i32,
        pub(super) flags: u32,
    }
}

/// A `bpf` call that returns a descriptor.
fn call<A>(command: i32, attributes: &A) -> io::Result<OwnedFd> {
    // SAFETY: the attributes are the command's own structure, with its size; what they point
    // to outlives the call.
    let made = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<A>())
    };
    match i32::try_from(made) {
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(made) if made >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(made) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Loads an iterator's program; what the verifier dislikes is in the error.
fn load(program: &[u64], walk: u32) -> Result<OwnedFd> {
    const LICENSE: &CStr = c"GPL";
    let mut name = [0; 16];
    name[..14].copy_from_slice(b"tcprst_destroy");
    let mut log = vec![0_u8; 1 << 14];
    let attributes = bpf::ProgLoad {
        prog_type: bpf::PROG_TYPE_TRACING,
        expected_attach_type: bpf::TRACE_ITER,
        attach_btf_id: walk,
        insns: program.as_ptr() as u64,
        insn_cnt: program.len() as u32,
        license: LICENSE.as_ptr() as u64,
        prog_name: name,
        log_buf: log.as_mut_ptr() as u64,
        log_size: log.len() as u32,
        log_level: 1,
        ..bpf::ProgLoad::default()
    };
    call(bpf::PROG_LOAD, &attributes).with_context(|| {
        let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
        format!("load a BPF program: {}", String::from_utf8_lossy(&log[..end]))
    })
}

/// Runs the program once for each TCP socket of the calling thread's network namespace.
fn walk_sockets(program: &OwnedFd) -> Result<()> {
    let link = bpf::LinkCreate {
        prog_fd: program.as_raw_fd(),
        target_fd: 0,
        attach_type: bpf::TRACE_ITER,
        flags: 0,
    };
    let link = call(bpf::LINK_CREATE, &link).context("link the iterator")?;
    let iterator = bpf::IterCreate { link_fd: link.as_raw_fd(), flags: 0 };
    let iterator = call(bpf::ITER_CREATE, &iterator).context("make the iterator")?;
    let mut said = vec![];
    File::from(iterator).read_to_end(&mut said).context("run the iterator")?;
    Ok(())
}
