//! Reads facts about a network namespace through a process that is in it.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt;
use std::thread;

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, getsockopt, socket};
use nix::{getsockopt_impl, libc, sockopt_impl};

/// A network namespace. A cookie is not reused until reboot; an inode is reused at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct NetnsId {
    /// 0 if unknown (before 5.12).
    pub(crate) cookie: u64,
    pub(crate) inode: u32,
}

impl NetnsId {
    /// Whether both are the same namespace. A cookie may be missing on either side: the kernel has
    /// cookies since 5.12, and reading one takes 5.14 and CAP_SYS_ADMIN.
    pub(crate) fn is_same(self, other: Self) -> bool {
        match (self.cookie, other.cookie) {
            (0, _) | (_, 0) => self.inode == other.inode,
            (one, other) => one == other,
        }
    }

    /// Key of the namespace: the cookie, or the inode if there is no cookie.
    pub(crate) fn key(self) -> (u64, u32) {
        if self.cookie != 0 { (self.cookie, 0) } else { (0, self.inode) }
    }
}

/// From `include/uapi/asm-generic/socket.h`; libc has it for a few targets only.
const SO_NETNS_COOKIE: libc::c_int = 71;

sockopt_impl!(
    /// The cookie of the socket's network namespace: a number unique since boot (5.14).
    NetnsCookie,
    GetOnly,
    libc::SOL_SOCKET,
    SO_NETNS_COOKIE,
    u64
);

/// The host's network namespace: process 1's, or the recorder's own if process 1 has more rights
/// than the recorder and hides its namespace.
pub(crate) fn host() -> u32 {
    let inode = |path: &str| fs::metadata(path).ok().map(|file| file.ino());
    let found = inode("/proc/1/ns/net").or_else(|| inode("/proc/self/ns/net"));
    found.and_then(|inode| u32::try_from(inode).ok()).unwrap_or(0)
}

/// Inode of the network namespace of a process.
pub(crate) fn inode(pid: u32) -> Option<u32> {
    fs::metadata(format!("/proc/{pid}/ns/net")).ok()?.ino().try_into().ok()
}

/// Inode of the mount namespace of a process.
pub(crate) fn mount_namespace(pid: u32) -> Option<u32> {
    fs::metadata(format!("/proc/{pid}/ns/mnt")).ok()?.ino().try_into().ok()
}

/// The network namespace of a process; without the cookie if that cannot be read.
pub(crate) fn for_process(pid: u32) -> Option<NetnsId> {
    let inode = inode(pid)?;
    let handle = File::open(format!("/proc/{pid}/ns/net")).ok()?;
    // In a separate thread: a thread that has entered the namespace cannot return.
    let cookie = thread::Builder::new()
        .name("netns".to_owned())
        .spawn(move || {
            setns(handle, CloneFlags::CLONE_NEWNET).ok()?;
            let probe =
                socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
            getsockopt(&probe.ok()?, NetnsCookie).ok()
        })
        .ok()?
        .join()
        .ok()?;
    Some(NetnsId { cookie: cookie.unwrap_or(0), inode })
}

/// Addresses of the network namespace of a process, without loopback.
pub(crate) fn addresses(pid: u32) -> Vec<IpAddr> {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/net/{file}"));
    let mut found = local_v4(&read("fib_trie").unwrap_or_default());
    found.extend(local_v6(&read("if_inet6").unwrap_or_default()));
    found
}

/// Addresses of the recorder's own network namespace, which is the host's.
pub(crate) fn own_addresses() -> Vec<IpAddr> {
    let interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
    interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .collect()
}

/// Addresses in `/proc/net/fib_trie`: those above a line `/32 host LOCAL`.
fn local_v4(trie: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let mut last = None;
    for line in trie.lines() {
        if let Some(leaf) = line.trim_start().strip_prefix("|-- ") {
            last = leaf.trim().parse::<Ipv4Addr>().ok();
        } else if line.trim() == "/32 host LOCAL"
            && let Some(address) = last.map(IpAddr::V4)
            // The main and the local table may be merged into one list.
            && !address.is_loopback()
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

/// Addresses in `/proc/net/if_inet6`, without link-local ones, which are not unique to a host.
fn local_v6(table: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let digits = line.split_ascii_whitespace().next()?;
        Some(Ipv6Addr::from(u128::from_str_radix(digits, 16).ok()?))
    };
    let is_own = |address: &Ipv6Addr| !address.is_loopback() && !address.is_unicast_link_local();
    table.lines().filter_map(address).filter(is_own).map(IpAddr::V6).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_kernel_shows_them() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 10.88.0.0/16 2 0 2\n        |-- 10.88.0.0\n           /16 link UNICAST\n        |-- 10.88.0.7\n           /32 host LOCAL\n        |-- 10.88.255.255\n           /32 link BROADCAST\n        |-- 127.0.0.1\n           /32 host LOCAL\nLocal:\n        |-- 10.88.0.7\n           /32 host LOCAL\n";
        assert_eq!(local_v4(trie), [IpAddr::from([10, 88, 0, 7])]);
        let table = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     fe80000000000000f84b1afffe2a5c11 02 40 20 80     eth0\n\
                     fd000000000000000000000000000007 02 40 00 80     eth0\n";
        assert_eq!(local_v6(table), ["fd00::7".parse::<IpAddr>().expect("an address")]);
    }

    #[test]
    fn the_own_namespace_is_found() {
        let own = for_process(std::process::id()).expect("this process");
        assert_eq!(Some(own.inode), inode(std::process::id()));
        assert!(for_process(0).is_none());
    }
}
