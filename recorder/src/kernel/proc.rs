//! Paths in /proc and /sys under which the kernel describes itself.

/// Its types.
pub(crate) const BTF: &str = "/sys/kernel/btf/vmlinux";
/// Its list of symbols, including those of modules and BPF programs.
pub(crate) const KALLSYMS: &str = "/proc/kallsyms";
/// Its list of modules; missing if the kernel has no module support.
pub(crate) const MODULES: &str = "/proc/modules";
/// Exists if the perf subsystem can create kprobes.
pub(crate) const KPROBE_PMU: &str = "/sys/bus/event_source/devices/kprobe";
/// Usual mount points of tracefs, the kernel's default first.
pub(crate) const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
