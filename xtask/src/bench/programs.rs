//! BPF programs of a process and what the kernel says about their runs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use anyhow::{Context, Result, ensure};
use nix::libc;

/// While this lives, the kernel counts and times the runs of all BPF programs. Unlike the
/// sysctl `kernel.bpf_stats_enabled` it ends with the process, however that ends.
#[derive(Debug)]
pub(crate) struct RunStatistics(#[expect(dead_code, reason = "held open")] OwnedFd);

impl RunStatistics {
    pub(crate) fn enable() -> Result<Self> {
        /// `enum bpf_cmd` in include/uapi/linux/bpf.h.
        const BPF_ENABLE_STATS: libc::c_int = 32;
        /// `union bpf_attr`, member `enable_stats`; `BPF_STATS_RUN_TIME` is 0.
        #[repr(C)]
        struct EnableStats {
            kind: u32,
        }
        let attr = EnableStats { kind: 0 };
        // SAFETY: the kernel reads as many bytes as said, from a value that lives throughout.
        let fd = unsafe {
            libc::syscall(libc::SYS_bpf, BPF_ENABLE_STATS, &raw const attr, size_of_val(&attr))
        };
        ensure!(fd >= 0, "enable BPF run statistics: {}", io::Error::last_os_error());
        // SAFETY: the call made this descriptor, and no other code has it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
    }
}

/// One loaded program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Program {
    /// The raw tracepoint that it hangs on; none where the link does not name it.
    pub(crate) tracepoint: Option<String>,
    pub(crate) runs: u64,
    pub(crate) nanoseconds: u64,
}

/// The programs that a process holds, by id: it may hold several descriptors of one.
pub(crate) fn for_process(pid: u32) -> Result<BTreeMap<u32, Program>> {
    let folder = format!("/proc/{pid}/fdinfo");
    let mut infos = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("read {folder}"))? {
        // A descriptor may be closed at the same time.
        infos.extend(fs::read_to_string(entry?.path()));
    }
    Ok(parse(infos.iter().map(String::as_str)))
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
        if let Some(name) = text(info, "tp_name") {
            program.tracepoint = Some(name.to_owned());
        }
    }
    programs
}

fn text<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

fn field<T: std::str::FromStr>(info: &str, name: &str) -> Option<T> {
    text(info, name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_counted_once_and_named_by_its_link() {
        let program = "pos:\t0\nprog_type:\t17\nprog_id:\t7\nrun_time_ns:\t900\nrun_cnt:\t3\n";
        let link = "link_type:\traw_tracepoint\nprog_id:\t7\ntp_name:\ttcp_send_reset\n";
        let found = parse([program, link, program, "pos:\t0\n"].into_iter());
        let expected =
            Program { tracepoint: Some("tcp_send_reset".to_owned()), runs: 3, nanoseconds: 900 };
        assert_eq!(found, BTreeMap::from([(7, expected)]));
    }
}
