//! BPF programs of a process, what makes them run, and what the kernel says about their runs.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use anyhow::{Context, Result, ensure};
use nix::libc;
use tcprst_schema::hook::{HOOKS, Hook, LIFE_HOOKS};

/// Commands of bpf(2), from `enum bpf_cmd` in include/uapi/linux/bpf.h.
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_ENABLE_STATS: libc::c_int = 32;

/// While this lives, the kernel counts and times the runs of all BPF programs. Unlike the
/// sysctl `kernel.bpf_stats_enabled` it ends with the process, however that ends.
#[derive(Debug)]
pub(crate) struct RunStatistics(#[expect(dead_code, reason = "held open")] OwnedFd);

impl RunStatistics {
    pub(crate) fn enable() -> Result<Self> {
        // Member `enable_stats`: `BPF_STATS_RUN_TIME` is 0.
        descriptor(BPF_ENABLE_STATS, 0).context("enable BPF run statistics").map(Self)
    }
}

/// Runs a command of bpf(2) that takes one number and makes a descriptor.
fn descriptor(command: libc::c_int, number: u32) -> Result<OwnedFd> {
    // SAFETY: the kernel reads as many bytes as said, from a value that lives throughout.
    let fd =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw const number, size_of_val(&number)) };
    ensure!(fd >= 0, "bpf({command}): {}", io::Error::last_os_error());
    // SAFETY: the call made this descriptor, and no other code has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// One loaded program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Program {
    /// The kernel keeps [`NAME`] - 1 bytes of it.
    pub(crate) name: String,
    pub(crate) runs: u64,
    pub(crate) nanoseconds: u64,
}

/// `BPF_OBJ_NAME_LEN`.
const NAME: usize = 16;

/// What makes a program of the recorder run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    Resets,
    /// Connections, whether or not they are reset.
    Connections,
    /// Control groups and processes.
    Containers,
}

impl Program {
    /// By its name, however it is attached. The schema lists the programs that see resets and those
    /// that follow containers; the others follow connections.
    pub(crate) fn trigger(&self) -> Trigger {
        let is_in = |hooks: &[Hook]| hooks.iter().any(|hook| cut(hook.program) == self.name);
        if is_in(HOOKS) {
            Trigger::Resets
        } else if is_in(LIFE_HOOKS) {
            Trigger::Containers
        } else {
            Trigger::Connections
        }
    }
}

/// The part of a program's name that the kernel keeps.
fn cut(name: &str) -> &str {
    name.get(..NAME - 1).unwrap_or(name)
}

/// The programs that a process holds, by id: it may hold several descriptors of one.
pub(crate) fn for_process(pid: u32) -> Result<BTreeMap<u32, Program>> {
    let folder = format!("/proc/{pid}/fdinfo");
    let mut infos = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("read {folder}"))? {
        // A descriptor may be closed at the same time.
        infos.extend(fs::read_to_string(entry?.path()));
    }
    let mut programs = parse(infos.iter().map(String::as_str));
    // A program may be gone by now, as those by which bpftrace tries what the kernel can do.
    programs.retain(|id, program| match name(*id) {
        Ok(name) => {
            program.name = name;
            true
        }
        Err(_) => false,
    });
    Ok(programs)
}

fn parse<'a>(infos: impl Iterator<Item = &'a str>) -> BTreeMap<u32, Program> {
    let mut programs: BTreeMap<u32, Program> = BTreeMap::new();
    for info in infos {
        let Some(id) = field(info, "prog_id") else { continue };
        let program = programs.entry(id).or_default();
        // A link names its program's id too, but has no counts.
        if let (Some(runs), Some(time)) = (field(info, "run_cnt"), field(info, "run_time_ns")) {
            (program.runs, program.nanoseconds) = (runs, time);
        }
    }
    programs
}

fn field<T: std::str::FromStr>(info: &str, name: &str) -> Option<T> {
    let mut lines = info.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
}

/// The name of a program. No link has it for all kinds: one of a raw tracepoint names that, one of
/// fentry only a number in BTF, one of a perf event nothing.
fn name(id: u32) -> Result<String> {
    /// `union bpf_attr`, member `info`.
    #[repr(C)]
    struct GetInfo {
        fd: u32,
        length: u32,
        info: u64,
    }
    /// `struct bpf_prog_info` up to its name. The kernel fills as much as it is given.
    #[repr(C)]
    struct ProgramInfo {
        before: [u64; 8],
        name: [u8; NAME],
    }
    let program = descriptor(BPF_PROG_GET_FD_BY_ID, id)?;
    let mut info = ProgramInfo { before: [0; 8], name: [0; NAME] };
    let attr = GetInfo {
        fd: program.as_raw_fd().cast_unsigned(),
        length: size_of_val(&info) as u32,
        info: (&raw mut info).addr() as u64,
    };
    // SAFETY: the kernel reads as many bytes as said, and writes at most `length` bytes to `info`;
    // both live throughout. The zeros in `before` say that no array follows.
    let done = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &raw const attr, size_of_val(&attr))
    };
    ensure!(done == 0, "ask for program {id}: {}", io::Error::last_os_error());
    let name = CStr::from_bytes_until_nul(&info.name).context("a name without an end")?;
    Ok(name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use tcprst_schema::hook::{ACCEPT_HOOKS, STATE_HOOK};

    use super::*;

    fn named(name: &str) -> Program {
        Program { name: name.to_owned(), ..Program::default() }
    }

    #[test]
    fn a_program_is_counted_once() {
        let program = "pos:\t0\nprog_type:\t17\nprog_id:\t7\nrun_time_ns:\t900\nrun_cnt:\t3\n";
        let link = "link_type:\ttracing\nprog_id:\t7\nattach_type:\t24\ntarget_btf_id:\t4242\n";
        let found = parse([program, link, program, "pos:\t0\n"].into_iter());
        let expected = Program { runs: 3, nanoseconds: 900, ..Program::default() };
        assert_eq!(found, BTreeMap::from([(7, expected)]));
    }

    #[test]
    fn a_name_that_the_kernel_cut_is_still_known() {
        assert_eq!(named("tcp_send_reset").trigger(), Trigger::Resets);
        assert_eq!(named("kprobe_bridge_v").trigger(), Trigger::Resets);
        assert_eq!(named("inet_sock_set_s").trigger(), Trigger::Connections);
        assert_eq!(named("sched_process_e").trigger(), Trigger::Containers);
    }

    /// Programs for connections must never count as programs for resets.
    #[test]
    fn cut_names_do_not_meet() {
        for hook in ACCEPT_HOOKS.iter().chain([&STATE_HOOK]) {
            let trigger = named(cut(hook.program)).trigger();
            assert_eq!(trigger, Trigger::Connections, "{}", hook.program);
        }
        for hook in HOOKS {
            assert!(!hook.sites.is_empty(), "{} sees no resets", hook.program);
        }
    }
}
