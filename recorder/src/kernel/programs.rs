//! The BPF programs of this host by their addresses: our own, which are on top of each stack, and
//! others, such as one that destroys sockets.
//!
//! The kernel tells both start and length of each function of a program (`jited_ksyms`,
//! `jited_func_lens`), whatever `net.core.bpf_jit_kallsyms` and `net.core.bpf_jit_harden` hide from
//! /proc/kallsyms. So an address is of a program or of none, and never gets its neighbour's name.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aya_obj::generated::{bpf_cmd, bpf_prog_info};
use nix::libc;

/// How long a program that is gone keeps its name: its last resets are read later.
const KEEP: Duration = Duration::from_secs(5);
/// How old the list of programs may be for a stack that was named before.
const MAX_AGE: Duration = Duration::from_secs(1);
/// A listing must not use up more of the time than one part in this.
const SHARE_OF_TIME: u32 = 20;
/// Functions of one program: the verifier allows 256 (`BPF_MAX_SUBPROGS`).
const MAX_FUNCTIONS: u32 = 1024;

/// One function of a program.
#[derive(Clone, Debug)]
struct Function {
    start: u64,
    end: u64,
    /// Of the program.
    id: u32,
    name: Arc<str>,
}

/// The programs that are loaded.
#[derive(Debug)]
pub(crate) struct Programs {
    own: Vec<Function>,
    ids: BTreeSet<u32>,
    /// Of all other programs, sorted by start.
    others: Vec<Function>,
    /// Gone, and when that was noticed.
    gone: Vec<(Function, Instant)>,
    listed: Option<Instant>,
    took: Duration,
}

impl Programs {
    /// Our own programs, by their descriptors. Others are listed when an address asks for them.
    pub(crate) fn new(own: &[OwnedFd]) -> Self {
        Self {
            own: own.iter().filter_map(|fd| functions(fd.as_fd()).ok()).flatten().collect(),
            ids: BTreeSet::new(),
            others: Vec::new(),
            gone: Vec::new(),
            listed: None,
            took: Duration::ZERO,
        }
    }

    /// One program of ours, at this place.
    #[cfg(test)]
    pub(super) fn of_one(place: std::ops::Range<u64>) -> Self {
        let own = Function { start: place.start, end: place.end, id: 1, name: "ours".into() };
        Self { own: vec![own], ..Self::new(&[]) }
    }

    /// Whether our own programs have a function there.
    pub(super) fn is_own(&self, at: u64) -> bool {
        self.own.iter().any(|function| function.holds(at))
    }

    /// The name of the program, also of one that has gone just now.
    pub(super) fn name(&self, at: u64) -> Option<Arc<str>> {
        let next = self.others.partition_point(|function| function.start <= at);
        let found = next.checked_sub(1).map(|index| &self.others[index]);
        let gone = || self.gone.iter().rev().map(|(function, _)| function).find(|f| f.holds(at));
        found.filter(|f| f.holds(at)).or_else(gone).map(|function| Arc::clone(&function.name))
    }

    /// Lists the programs again if the list is old. Returns whether one came or went, or whether
    /// one that is gone has lost its name.
    pub(super) fn refresh_old(&mut self) -> bool {
        self.listed.is_none_or(|at| at.elapsed() >= MAX_AGE) && self.refresh()
    }

    /// Lists the programs again, at once: one of them may be gone the next moment. Returns as
    /// [`Self::refresh_old`].
    pub(super) fn refresh(&mut self) -> bool {
        if self.listed.is_some_and(|at| at.elapsed() < self.took * SHARE_OF_TIME) {
            return false;
        }
        let began = Instant::now();
        // Without CAP_SYS_ADMIN the kernel lists none.
        let ids = ids();
        let mut is_changed = ids != self.ids;
        let (gone, mut there): (Vec<_>, Vec<_>) =
            self.others.drain(..).partition(|function| !ids.contains(&function.id));
        for id in ids.difference(&self.ids) {
            there.extend(program(*id).and_then(|fd| functions(fd.as_fd())).unwrap_or_default());
        }
        there.sort_by_key(|function| function.start);
        let kept = self.gone.len();
        self.gone.retain(|(_, since)| since.elapsed() < KEEP);
        is_changed |= self.gone.len() != kept;
        self.gone.extend(gone.into_iter().map(|function| (function, began)));
        (self.others, self.ids, self.listed) = (there, ids, Some(Instant::now()));
        self.took = began.elapsed();
        is_changed
    }
}

impl Function {
    fn holds(&self, at: u64) -> bool {
        (self.start..self.end).contains(&at)
    }
}

/// The functions of a program; none if the kernel hides their addresses.
fn functions(program: BorrowedFd<'_>) -> io::Result<Vec<Function>> {
    let counts = info(program, &mut [], &mut [])?;
    let count = counts.nr_jited_ksyms.min(counts.nr_jited_func_lens).min(MAX_FUNCTIONS) as usize;
    let (mut starts, mut lengths) = (vec![0; count], vec![0; count]);
    let info = info(program, &mut starts, &mut lengths)?;
    let name: Arc<str> = name(&info).into();
    let found =
        starts.into_iter().zip(lengths).filter(|(start, length)| *start != 0 && *length != 0);
    Ok(found
        .map(|(start, length)| Function {
            start,
            end: start + u64::from(length),
            id: info.id,
            name: Arc::clone(&name),
        })
        .collect())
}

/// As in /proc/kallsyms: `bpf_prog_TAG_NAME`.
fn name(info: &bpf_prog_info) -> String {
    let tag: String = info.tag.iter().map(|byte| format!("{byte:02x}")).collect();
    let name: String = info
        .name
        .iter()
        .map(|byte| byte.cast_unsigned())
        .take_while(|byte| *byte != 0)
        // The kernel allows letters, digits, `_` and `.` only.
        .map(|byte| if byte.is_ascii_graphic() && byte != b';' { char::from(byte) } else { '?' })
        .collect();
    if name.is_empty() { format!("bpf_prog_{tag}") } else { format!("bpf_prog_{tag}_{name}") }
}

/// Ids of all programs; none without CAP_SYS_ADMIN.
fn ids() -> BTreeSet<u32> {
    let mut ids = BTreeSet::new();
    let mut request = IdRequest::default();
    while bpf(bpf_cmd::BPF_PROG_GET_NEXT_ID, &mut request).is_ok() {
        ids.insert(request.next_id);
        request.id = request.next_id;
    }
    ids
}

fn program(id: u32) -> io::Result<OwnedFd> {
    let fd = bpf(bpf_cmd::BPF_PROG_GET_FD_BY_ID, &mut IdRequest { id, ..IdRequest::default() })?;
    // SAFETY: the kernel has just made it, for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// What the kernel tells of a program, with the starts and the lengths of as many functions as the
/// slices hold.
fn info(
    program: BorrowedFd<'_>,
    starts: &mut [u64],
    lengths: &mut [u32],
) -> io::Result<bpf_prog_info> {
    // SAFETY: a structure of numbers; all zero asks for the numbers alone.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    info.nr_jited_ksyms = starts.len() as u32;
    info.jited_ksyms = starts.as_mut_ptr() as u64;
    info.nr_jited_func_lens = lengths.len() as u32;
    info.jited_func_lens = lengths.as_mut_ptr() as u64;
    let mut request = InfoRequest {
        fd: program.as_raw_fd() as u32,
        length: size_of::<bpf_prog_info>() as u32,
        info: &raw mut info as u64,
    };
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut request)?;
    Ok(info)
}

/// `union bpf_attr` of commands that work with ids.
#[derive(Default)]
#[repr(C)]
struct IdRequest {
    id: u32,
    next_id: u32,
    flags: u32,
}

/// `union bpf_attr` of `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct InfoRequest {
    fd: u32,
    length: u32,
    info: u64,
}

/// bpf(2).
fn bpf<R>(command: bpf_cmd, request: &mut R) -> io::Result<libc::c_long> {
    let size = size_of::<R>() as libc::c_uint;
    // SAFETY: the kernel reads and writes as many bytes of the request as `size` says. The buffers
    // in it are as long as their counts say, and outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command as libc::c_int, request, size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(start: u64, id: u32, name: &str) -> Function {
        Function { start, end: start + 100, id, name: name.into() }
    }

    fn some() -> Programs {
        Programs {
            own: vec![function(5000, 1, "ours")],
            others: vec![function(1000, 2, "a"), function(2000, 3, "b")],
            ..Programs::new(&[])
        }
    }

    #[test]
    fn an_address_behind_a_program_has_no_name() {
        let programs = some();
        let name = |at| programs.name(at).map(|name| name.to_string());
        assert_eq!((name(999), name(1000), name(1099)), (None, Some("a".into()), Some("a".into())));
        assert_eq!((name(1100), name(2050), name(2100)), (None, Some("b".into()), None));
        assert!(programs.is_own(5099) && !programs.is_own(5100) && name(5000).is_none());
    }

    #[test]
    fn a_program_that_is_gone_keeps_its_name_for_a_moment() {
        let mut programs = some();
        // No program of this host has such a number: `refresh` takes both for gone.
        for function in &mut programs.others {
            function.id += u32::MAX - 10;
        }
        programs.ids = programs.others.iter().map(|function| function.id).collect();
        assert!(programs.refresh(), "they are gone");
        assert_eq!(programs.name(1050).as_deref(), Some("a"));
        let long_ago = Instant::now().checked_sub(KEEP * 2).expect("up for some seconds");
        programs.gone.iter_mut().for_each(|(_, since)| *since = long_ago);
        programs.listed = None;
        assert!(programs.refresh(), "their names are gone");
        assert_eq!(programs.name(1050), None);
    }

    #[test]
    fn names_are_those_of_kallsyms() {
        // SAFETY: a structure of numbers.
        let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
        info.tag = [0, 1, 2, 0xab, 4, 5, 6, 7];
        assert_eq!(name(&info), "bpf_prog_000102ab04050607");
        for (to, from) in info.name.iter_mut().zip(*b"f;g") {
            *to = from.cast_signed();
        }
        assert_eq!(name(&info), "bpf_prog_000102ab04050607_f?g");
    }
}
