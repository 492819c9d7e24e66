//! Paths in /proc and /sys where the kernel shows itself.

/// Its types.
pub(crate) const BTF: &str = "/sys/kernel/btf/vmlinux";
/// Its symbols, those of modules and BPF programs included.
pub(crate) const KALLSYMS: &str = "/proc/kallsyms";
/// Its modules; the file is missing in a kernel without modules.
pub(crate) const MODULES: &str = "/proc/modules";
/// Exists if the perf subsystem creates kprobes.
pub(crate) const KPROBE_PMU: &str = "/sys/bus/event_source/devices/kprobe";
/// Where tracefs is mounted, or the kernel provides a mount point for it.
pub(crate) const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
