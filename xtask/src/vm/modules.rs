//! The modules that the guests load, and in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::fetch::GuestKernel;

/// Modules that scenarios need besides netfilter: `ss -K`, devices, packet sockets, and TCP-MD5
/// where the kernel asks its crypto layer. A module that a kernel does not have is reported; one
/// that is built in is fine.
const BASE: &[&str] = &[
    "inet_diag",
    "tcp_diag",
    "mptcp_diag",
    "dummy",
    "veth",
    "llc",
    "stp",
    "bridge",
    "af_packet",
    "md5",
];

/// Whatever can reject a segment.
const NETFILTER: &[&str] = &[
    "nf_reject_ipv4",
    "nf_reject_ipv6",
    "x_tables",
    "ipt_REJECT",
    "ip6t_REJECT",
    "ip_tables",
    "iptable_filter",
    "ip6_tables",
    "ip6table_filter",
    "xt_tcpudp",
    "nfnetlink",
    "libcrc32c",
    "nf_tables",
    "nft_reject",
    "nft_reject_ipv4",
    "nft_reject_ipv6",
    "nft_reject_inet",
    "nft_reject_netdev",
    "nft_compat",
    "nf_defrag_ipv4",
    "nf_defrag_ipv6",
    "nf_conntrack",
    "nft_ct",
    "br_netfilter",
    "nft_reject_bridge",
    "nf_conntrack_bridge",
    "nft_meta_bridge",
];

/// Modules that a guest needs to reach a disk with a system on it.
const DISK: &[&str] = &["virtio_pci", "virtio_blk", "ext4"];

/// The modules of one kernel, ready to be put into an initrd.
#[derive(Debug)]
pub(crate) struct Modules {
    /// In the order of loading, dependencies first.
    pub(crate) base: Vec<Module>,
    /// The same for a disk alone.
    pub(crate) disk: Vec<Module>,
    /// The same for netfilter, without what is in `base`.
    pub(crate) netfilter: Vec<Module>,
    /// Neither a module of this kernel nor built in.
    pub(crate) absent: Vec<&'static str>,
}

/// A module's name, with `_`, and its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
}

/// Which modules to load, by depmod's own account. `work` is an empty folder.
pub(crate) fn choose(kernel: &GuestKernel, work: &Path) -> Result<Modules> {
    // depmod writes into the folder of the modules; the cache stays as it was unpacked.
    let folder = work.join("lib/modules").join(&kernel.release);
    fs::create_dir_all(&folder)?;
    for entry in fs::read_dir(&kernel.modules)? {
        let entry = entry?;
        symlink(entry.path(), folder.join(entry.file_name()))?;
    }
    let status = Command::new("depmod").arg("-b").arg(work).arg(&kernel.release).status();
    let status = status.context("cannot run depmod")?;
    ensure!(status.success(), "depmod: {status}");
    let graph = Graph::parse(&fs::read_to_string(folder.join("modules.dep"))?, &folder);
    let builtin = fs::read_to_string(folder.join("modules.builtin"))?;
    let builtin: BTreeSet<String> = builtin.lines().map(name_of).collect();

    let disk = graph.order(DISK, &mut BTreeSet::new());
    let mut seen = BTreeSet::new();
    let base = graph.order(BASE, &mut seen);
    let netfilter = graph.order(NETFILTER, &mut seen);
    let has = |name: &&str| graph.files.contains_key(*name) || builtin.contains(*name);
    let absent = BASE.iter().chain(NETFILTER).copied().filter(|name| !has(name)).collect();
    Ok(Modules { base, disk, netfilter, absent })
}

/// `kernel/net/ipv4/netfilter/ipt_REJECT.ko.xz` is `ipt_REJECT`; the kernel takes `-` for `_`.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

/// The output of depmod: each module's file and the modules that must be loaded before it.
#[derive(Debug)]
struct Graph {
    files: BTreeMap<String, PathBuf>,
    /// All dependencies, also indirect ones, the last to be loaded first.
    needs: BTreeMap<String, Vec<String>>,
}

impl Graph {
    fn parse(modules_dep: &str, folder: &Path) -> Self {
        let mut graph = Self { files: BTreeMap::new(), needs: BTreeMap::new() };
        for (path, needs) in modules_dep.lines().filter_map(|line| line.split_once(':')) {
            let name = name_of(path);
            graph.files.insert(name.clone(), folder.join(path));
            graph.needs.insert(name, needs.split_ascii_whitespace().map(name_of).collect());
        }
        graph
    }

    /// The wanted modules and their dependencies, in the order of loading, without those that
    /// were seen already.
    fn order(&self, wanted: &[&str], seen: &mut BTreeSet<String>) -> Vec<Module> {
        let mut order = vec![];
        for name in wanted {
            let before = self.needs.get(*name).into_iter().flatten().rev().map(String::as_str);
            for name in before.chain([*name]) {
                if let Some(file) = self.files.get(name)
                    && seen.insert(name.to_owned())
                {
                    order.push(Module { name: name.to_owned(), file: file.clone() });
                }
            }
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_come_first_and_once() {
        let graph = Graph::parse(
            "kernel/a/nf-tables.ko.xz: kernel/a/nfnetlink.ko.xz kernel/b/libcrc32c.ko.xz\n\
             kernel/a/nft_reject.ko.xz: kernel/a/nf-tables.ko.xz kernel/a/nfnetlink.ko.xz \
             kernel/b/libcrc32c.ko.xz\n\
             kernel/a/nfnetlink.ko.xz:\nkernel/b/libcrc32c.ko.xz:\nkernel/b/other.ko.xz:\n",
            Path::new("/m"),
        );
        let mut seen = BTreeSet::from(["libcrc32c".to_owned()]);
        let order = graph.order(&["nft_reject", "nf_tables", "absent"], &mut seen);
        let names: Vec<_> = order.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["nfnetlink", "nf_tables", "nft_reject"]);
        assert_eq!(order[1].file, Path::new("/m/kernel/a/nf-tables.ko.xz"));
    }
}
