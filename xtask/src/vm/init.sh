#!/bin/busybox sh
# The first process of a test guest: makes it a host like any other, then runs the tests.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null # some kernels have done it
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup /sys/fs/cgroup
# Causes need the names of the frames. As a hardened host: root sees them with CAP_SYSLOG only, and
# those of BPF programs nobody does.
echo 1 >/proc/sys/kernel/kptr_restrict
echo 2 >/proc/sys/net/core/bpf_jit_harden
ip link set lo up
hostname guest
xtask guest
# Here only if the tests could not end the guest themselves: to the host that is a crash.
poweroff -f
