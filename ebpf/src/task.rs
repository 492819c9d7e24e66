//! The running task.

use aya_ebpf::helpers::bpf_get_current_task;
use aya_ebpf::helpers::generated::bpf_get_current_task_btf;

use crate::kernel::{Address, Memory, Probed, Typed, layout};

/// A thread of the kernel (include/linux/sched.h).
const PF_KTHREAD: u32 = 0x0020_0000;
/// A task that is about to end.
const PF_EXITING: u32 = 0x0000_0004;

/// What the kernel knows of the running task, beside what helpers give.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    flags: u32,
    /// Inode of its mount namespace; 0 unknown.
    pub(crate) mntns_inum: u32,
}

impl Task {
    /// By plain loads where the kernel gives a typed pointer (5.11), in programs of any type.
    #[inline(always)]
    pub(crate) fn current() -> Self {
        if layout!(task_btf) != 0 {
            // SAFETY: no arguments; the kernel has it.
            Self::of::<Typed>(unsafe { bpf_get_current_task_btf() } as Address)
        } else {
            // SAFETY: no arguments, always allowed.
            Self::of::<Probed>(unsafe { bpf_get_current_task() })
        }
    }

    #[inline(always)]
    fn of<M: Memory>(task: Address) -> Self {
        Self {
            flags: M::get(task, layout!(offsets.task_flags)),
            mntns_inum: mount_namespace::<M>(task),
        }
    }

    /// A thread of the kernel may act in the name of a task.
    #[inline(always)]
    pub(crate) fn is_kernel_thread(self) -> bool {
        self.flags & PF_KTHREAD != 0
    }

    #[inline(always)]
    pub(crate) fn is_exiting(self) -> bool {
        self.flags & PF_EXITING != 0
    }
}

/// Inode of a task's mount namespace; 0 unknown.
#[inline(always)]
pub(crate) fn mount_namespace<M: Memory>(task: Address) -> u32 {
    let namespaces: Address = M::get(task, layout!(offsets.task_nsproxy));
    let mounts: Address = M::get(namespaces, layout!(offsets.nsproxy_mnt_ns));
    M::get(mounts, layout!(offsets.mnt_ns_inum))
}
