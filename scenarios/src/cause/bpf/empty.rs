//! A program that does nothing: what it costs is the cost of running any program there.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};

use crate::cause::bpf::{self, ProgramKind, code, instruction};

/// From `include/uapi/linux/bpf.h`, as the structure below.
const RAW_TRACEPOINT_OPEN: i32 = 17;
const PROG_TYPE_RAW_TRACEPOINT: u32 = 17;

/// A raw tracepoint program of two instructions, attached until this is dropped. The process holds
/// the descriptors of both the program and its link.
#[derive(Debug)]
pub struct EmptyProgram {
    #[expect(dead_code, reason = "held open, so that /proc shows the program's run statistics")]
    program: OwnedFd,
    #[expect(dead_code, reason = "held open: its end detaches the program")]
    link: OwnedFd,
}

/// `union bpf_attr` for `RAW_TRACEPOINT_OPEN`.
#[repr(C)]
struct RawTracepointOpen {
    name: u64,
    prog_fd: i32,
    _padding: u32,
}

impl EmptyProgram {
    pub fn attach(tracepoint: &CStr) -> Result<Self> {
        let kind = ProgramKind { prog_type: PROG_TYPE_RAW_TRACEPOINT, ..ProgramKind::default() };
        let instructions =
            [instruction(code::SET, 0, 0, 0, 0), instruction(code::EXIT, 0, 0, 0, 0)];
        let program = bpf::load("tcprst_empty", &instructions, kind)?;
        let attributes = RawTracepointOpen {
            name: tracepoint.as_ptr() as u64,
            prog_fd: program.as_raw_fd(),
            _padding: 0,
        };
        let link = bpf::call(RAW_TRACEPOINT_OPEN, &attributes)
            .with_context(|| format!("attach to {}", tracepoint.to_string_lossy()))?;
        Ok(Self { program, link })
    }
}
