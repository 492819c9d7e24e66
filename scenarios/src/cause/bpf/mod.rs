//! BPF programs of a few instructions, assembled here and loaded by the system call itself: aya
//! can neither make such a program nor call a function of the kernel from one.

pub(crate) mod destroy;
pub(crate) mod empty;
pub(crate) mod icmp;

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, bail};
use btf_rs::{Btf, Type};
use nix::libc;

use crate::scene::Impossible;

/// Types and functions of the running kernel.
pub(crate) struct KernelTypes(Btf);

impl KernelTypes {
    pub(crate) fn read() -> Result<Self> {
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
    pub(crate) fn function(&self, name: &str) -> Option<u32> {
        let ids = self.0.resolve_ids_by_name(name).ok()?;
        ids.into_iter().find(|&id| matches!(self.0.resolve_type_by_id(id), Ok(Type::Func(_))))
    }

    /// Where a socket has its own port, in host order.
    pub(crate) fn port_offset(&self) -> Option<i16> {
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
pub(crate) mod code {
    pub(crate) const LOAD_64: u8 = 0x79;
    pub(crate) const LOAD_32: u8 = 0x61;
    pub(crate) const LOAD_16: u8 = 0x69;
    pub(crate) const LOAD_8: u8 = 0x71;
    pub(crate) const JUMP_IF_EQUAL: u8 = 0x15;
    pub(crate) const JUMP_UNLESS_EQUAL: u8 = 0x55;
    /// These compare with another register.
    pub(crate) const JUMP_UNLESS_EQUAL_OTHER: u8 = 0x5d;
    pub(crate) const JUMP_IF_ABOVE_OTHER: u8 = 0x2d;
    pub(crate) const ADD: u8 = 0x07;
    pub(crate) const COPY: u8 = 0xbf;
    pub(crate) const SET: u8 = 0xb7;
    /// Takes two instructions: the immediate of the second is the upper half.
    pub(crate) const SET_64: u8 = 0x18;
    pub(crate) const CALL: u8 = 0x85;
    pub(crate) const EXIT: u8 = 0x95;
}

/// One instruction, as `struct bpf_insn` lies in memory on a little-endian machine.
pub(crate) fn instruction(code: u8, dst: u8, src: u8, offset: i16, immediate: i32) -> u64 {
    u64::from(code)
        | u64::from(dst) << 8
        | u64::from(src) << 12
        | u64::from(offset as u16) << 16
        | u64::from(immediate as u32) << 32
}

/// A call of one of the helpers that `enum bpf_func_id` numbers.
pub(crate) fn call_helper(number: i32) -> u64 {
    instruction(code::CALL, 0, 0, 0, number)
}

/// A call of a function of the kernel, by its type id.
pub(crate) fn call_kernel(function: u32) -> u64 {
    /// In `src`: the immediate is the id of a kernel function.
    const KERNEL_FUNCTION: u8 = 2;
    instruction(code::CALL, 0, KERNEL_FUNCTION, 0, function as i32)
}

/// From `include/uapi/linux/bpf.h`, as what follows.
const PROG_LOAD: i32 = 5;
const LINK_CREATE: i32 = 28;

/// `union bpf_attr` for `PROG_LOAD`.
#[repr(C)]
#[derive(Default)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
}

/// `union bpf_attr` for `LINK_CREATE`.
#[repr(C)]
struct LinkCreate {
    prog_fd: i32,
    target: i32,
    attach_type: u32,
    flags: u32,
}

/// A `bpf` call that returns a descriptor.
pub(crate) fn call<A>(command: i32, attributes: &A) -> io::Result<OwnedFd> {
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

/// The sort of a program.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProgramKind {
    /// `enum bpf_prog_type`.
    pub(crate) prog_type: u32,
    /// `enum bpf_attach_type`, where the sort has several.
    pub(crate) attach_type: u32,
    /// The type id of the function that it stands for, where the sort has such.
    pub(crate) function: u32,
}

/// Loads a program; what the verifier dislikes is in the error.
pub(crate) fn load(name: &str, program: &[u64], kind: ProgramKind) -> Result<OwnedFd> {
    const LICENSE: &CStr = c"GPL";
    let mut prog_name = [0; 16];
    // The last byte stays zero, as the kernel wants it.
    prog_name[..15].iter_mut().zip(name.bytes()).for_each(|(place, byte)| *place = byte);
    let mut log = vec![0_u8; 1 << 14];
    let attributes = ProgLoad {
        prog_type: kind.prog_type,
        expected_attach_type: kind.attach_type,
        attach_btf_id: kind.function,
        insns: program.as_ptr() as u64,
        insn_cnt: program.len() as u32,
        license: LICENSE.as_ptr() as u64,
        prog_name,
        log_buf: log.as_mut_ptr() as u64,
        log_size: log.len() as u32,
        log_level: 1,
        ..ProgLoad::default()
    };
    call(PROG_LOAD, &attributes).with_context(|| {
        let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
        format!("load a BPF program: {}", String::from_utf8_lossy(&log[..end]))
    })
}

/// Links a program to `target`, a descriptor (0 where the sort has none). Closing the link ends
/// it.
pub(crate) fn link(program: &OwnedFd, target: i32, attach_type: u32) -> Result<OwnedFd> {
    let attributes = LinkCreate { prog_fd: program.as_raw_fd(), target, attach_type, flags: 0 };
    call(LINK_CREATE, &attributes).context("link a BPF program")
}
