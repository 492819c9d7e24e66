//! The lives of containers: `cgroup_mkdir` and `cgroup_rmdir(cgroup, path)` of the v2 hierarchy
//! (kernel/cgroup/cgroup.c), and `sched_process_exec(task, ...)` (fs/exec.c).

use aya_ebpf::helpers::{
    bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_ktime_get_boot_ns,
    bpf_probe_read_kernel_str_bytes,
};
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use tcprst_schema::wire::{Life, LifeEvent};

use crate::kernel::{Address, Probed, get, layout, read};
use crate::maps::{BEGUN, LIVES, LIVES_LOST};
use crate::task::mount_namespace;

/// Room in the ring, all zero but for the time; else the loss is counted.
#[inline(always)]
fn tell(kind: Life, fill: impl FnOnce(*mut LifeEvent)) {
    let Some(mut entry) = LIVES.reserve_untyped::<LifeEvent>(0) else {
        if let Some(lost) = LIVES_LOST.get_ptr_mut(0) {
            // SAFETY: the entry of this CPU.
            unsafe { *lost += 1 };
        }
        return;
    };
    let event: *mut LifeEvent = entry.as_mut_ptr();
    // SAFETY: reserved whole, and every field is written here or by `fill`.
    unsafe {
        (*event).boot_ns = bpf_ktime_get_boot_ns();
        (*event).kind = kind as u32;
        (*event).netns_cookie = 0;
        (*event).netns_inum = 0;
        (*event).mntns_inum = 0;
        (*event).tgid = 0;
        (*event).pid_level = 0;
        (*event).padding = 0;
        (*event).path[0] = 0;
    }
    fill(event);
    entry.submit(0);
}

#[inline(always)]
fn cgroup(ctx: &RawTracePointContext, kind: Life) -> u32 {
    let cgroup: Address = ctx.arg(0);
    let path: Address = ctx.arg(1);
    let root: Address = get(cgroup, layout!(offsets.cgroup_root));
    // The v2 hierarchy is the one with the number 0 (/proc/cgroups).
    if read::<u32>(root, layout!(offsets.cgroup_root_hierarchy)) != Some(0) {
        return 0;
    }
    let node: Address = get(cgroup, layout!(offsets.cgroup_kn));
    let id: u64 = get(node, layout!(offsets.kernfs_id));
    tell(kind, |event| {
        // SAFETY: `tell` gives a whole event; the helper checks the address of the path.
        unsafe {
            (*event).cgroup_id = id;
            let _ = bpf_probe_read_kernel_str_bytes(path as *const u8, &mut (*event).path);
        }
    });
    0
}

#[raw_tracepoint(tracepoint = "cgroup_mkdir")]
pub fn cgroup_mkdir(ctx: RawTracePointContext) -> u32 {
    cgroup(&ctx, Life::Made)
}

#[raw_tracepoint(tracepoint = "cgroup_rmdir")]
pub fn cgroup_rmdir(ctx: RawTracePointContext) -> u32 {
    cgroup(&ctx, Life::Removed)
}

#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn sched_process_exec(ctx: RawTracePointContext) -> u32 {
    let task: Address = ctx.arg(0);
    let namespaces: Address = get(task, layout!(offsets.task_nsproxy));
    let net: Address = get(namespaces, layout!(offsets.nsproxy_net));
    let netns_inum: u32 = get(net, layout!(offsets.net_inum));
    let pid: Address = get(task, layout!(offsets.task_pid));
    let level: u32 = get(pid, layout!(offsets.pid_level));
    if level == 0 && netns_inum == layout!(host_netns) {
        return 0;
    }
    // SAFETY: no arguments, always allowed.
    let cgroup_id = unsafe { bpf_get_current_cgroup_id() };
    let netns_cookie: u64 = get(net, layout!(offsets.net_cookie));
    let key = [cgroup_id, netns_cookie ^ (u64::from(netns_inum) << 32)];
    // SAFETY: only whether it is there.
    if unsafe { BEGUN.get(key) }.is_some() {
        return 0;
    }
    let _ = BEGUN.insert(key, 1, 0);
    tell(Life::Began, |event| {
        // SAFETY: `tell` gives a whole event.
        unsafe {
            (*event).cgroup_id = cgroup_id;
            (*event).netns_cookie = netns_cookie;
            (*event).netns_inum = netns_inum;
            (*event).pid_level = level;
            (*event).mntns_inum = mount_namespace::<Probed>(task);
            (*event).tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
        }
    });
    0
}
