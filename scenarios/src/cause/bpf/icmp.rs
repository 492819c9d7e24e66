//! `bpf_icmp_send`: a BPF program of a control group that refuses the segments to one port by
//! ICMP, as policies of container networks do.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use nix::sys::socket::getsockopt;

use crate::cause::bpf::{
    self, KernelTypes, ProgramKind, call_helper, call_kernel, code, instruction,
};
use crate::cause::refusal::refused_by_icmp_here;
use crate::scene::{Caused, Impossible, Scene};
use crate::stage::options::NetnsCookie;
use crate::stage::pair::listen;

/// From `include/uapi/linux/bpf.h`. In 7.3 programs of tc may not call the function.
const PROG_TYPE_CGROUP_SKB: u32 = 8;
const CGROUP_INET_INGRESS: u32 = 0;

pub(crate) fn icmp_bpf(scene: &Scene) -> Result<Caused> {
    let Some(send) = KernelTypes::read()?.function("bpf_icmp_send") else {
        bail!(Impossible("the kernel has no bpf_icmp_send, which came with 7.3".to_owned()));
    };
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    // Programs of control groups see what comes in only where there is a socket for it.
    let listener = listen(scene, here)?;
    let cookie = getsockopt(&listener, NetnsCookie).context("ask for the netns cookie")?;

    let kind = ProgramKind {
        prog_type: PROG_TYPE_CGROUP_SKB,
        attach_type: CGROUP_INET_INGRESS,
        ..ProgramKind::default()
    };
    let instructions = instructions(send, cookie, scene.port);
    let program = bpf::load("tcprst_refuse", &instructions, kind)?;
    let cgroup = own_cgroup()?;
    let _link = bpf::link(&program, cgroup.as_raw_fd(), CGROUP_INET_INGRESS)?;
    stays_loaded(program);
    refused_by_icmp_here(scene, here)
}

/// Keeps the program, not its link, for as long as this process runs: the name of its frame in
/// the stack is known only while it is loaded.
fn stays_loaded(program: OwnedFd) {
    static PROGRAM: OnceLock<OwnedFd> = OnceLock::new();
    PROGRAM.get_or_init(|| program);
}

/// The control group of this process, and so of its sockets.
fn own_cgroup() -> Result<File> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("read the mounts")?;
    let mount = mounts.lines().find_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
        [_, mount, "cgroup2", ..] => Some(mount),
        _ => None,
    });
    let Some(mount) = mount else {
        bail!(Impossible("no control groups (cgroup2) are mounted".to_owned()));
    };
    let groups = fs::read_to_string("/proc/self/cgroup").context("read the control groups")?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"));
    let path = format!("{mount}{}", group.context("this process has no control group")?);
    File::open(&path).with_context(|| format!("open {path}"))
}

/// Refuses TCP over IPv4 to `port` in the network namespace with that cookie, and lets everything
/// else pass.
fn instructions(send: u32, cookie: u64, port: u16) -> [u64; 24] {
    use code::{
        ADD, COPY, EXIT, JUMP_IF_ABOVE_OTHER, JUMP_UNLESS_EQUAL, JUMP_UNLESS_EQUAL_OTHER, LOAD_8,
        LOAD_16, LOAD_32, SET, SET_64,
    };
    const GET_NETNS_COOKIE: i32 = 122;
    /// Where `struct __sk_buff` has the packet's begin, from the IP header on, and its end.
    const DATA: i16 = 76;
    const DATA_END: i16 = 80;
    /// Version 4, and five words of header: no options.
    const PLAIN_IPV4: i32 = 0x45;
    const PROTOCOL: i16 = 9;
    const TCP: i32 = 6;
    const DST_PORT: i16 = 22;
    const PORT_UNREACHABLE: (i32, i32) = (3, 3);
    const DROP: i32 = 0;
    const PASS: i32 = 1;
    /// From the instruction at this place to the one that lets pass.
    const fn pass_from(place: i16) -> i16 {
        22 - (place + 1)
    }
    [
        instruction(COPY, 6, 1, 0, 0),
        call_helper(GET_NETNS_COOKIE),
        instruction(SET_64, 2, 0, 0, cookie as i32),
        instruction(0, 0, 0, 0, (cookie >> 32) as i32),
        instruction(JUMP_UNLESS_EQUAL_OTHER, 0, 2, pass_from(4), 0),
        instruction(LOAD_32, 2, 6, DATA, 0),
        instruction(LOAD_32, 3, 6, DATA_END, 0),
        instruction(COPY, 4, 2, 0, 0),
        instruction(ADD, 4, 0, 0, i32::from(DST_PORT) + 2),
        instruction(JUMP_IF_ABOVE_OTHER, 4, 3, pass_from(9), 0),
        instruction(LOAD_8, 0, 2, 0, 0),
        instruction(JUMP_UNLESS_EQUAL, 0, 0, pass_from(11), PLAIN_IPV4),
        instruction(LOAD_8, 0, 2, PROTOCOL, 0),
        instruction(JUMP_UNLESS_EQUAL, 0, 0, pass_from(13), TCP),
        instruction(LOAD_16, 0, 2, DST_PORT, 0),
        instruction(JUMP_UNLESS_EQUAL, 0, 0, pass_from(15), port.to_be().into()),
        instruction(COPY, 1, 6, 0, 0),
        instruction(SET, 2, 0, 0, PORT_UNREACHABLE.0),
        instruction(SET, 3, 0, 0, PORT_UNREACHABLE.1),
        call_kernel(send),
        instruction(SET, 0, 0, 0, DROP),
        instruction(EXIT, 0, 0, 0, 0),
        instruction(SET, 0, 0, 0, PASS),
        instruction(EXIT, 0, 0, 0, 0),
    ]
}
