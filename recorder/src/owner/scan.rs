//! Scans the cgroup v2 tree and the processes in it: at the start, and again when the kernel half
//! lost events.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The cgroup hierarchies of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hierarchy {
    /// cgroup v2 alone.
    Unified(PathBuf),
    /// cgroup v2 next to v1.
    Hybrid(PathBuf),
    /// cgroup v1 alone.
    Legacy,
}

impl Hierarchy {
    /// Reads the hierarchies from the mounts of this process.
    pub(crate) fn find() -> Self {
        Self::from_mounts(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
    }

    fn from_mounts(mounts: &str) -> Self {
        let mut v2 = None;
        let mut has_v1 = false;
        for line in mounts.lines() {
            // `ID PARENT DEVICE ROOT MOUNTPOINT OPTIONS ... - TYPE SOURCE OPTIONS`
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let mut left = left.split(' ').skip(3);
            let (root, point) = (left.next(), left.next());
            match right.split(' ').next() {
                // Skip a mount of a subtree: that is a container's view.
                Some("cgroup2") if v2.is_none() && root == Some("/") => v2 = point,
                Some("cgroup") => has_v1 = true,
                _ => {}
            }
        }
        match (v2, has_v1) {
            (Some(point), false) => Hierarchy::Unified(point.into()),
            (Some(point), true) => Hierarchy::Hybrid(point.into()),
            (None, _) => Hierarchy::Legacy,
        }
    }

    /// Mount point of v2.
    pub(crate) fn root(&self) -> Option<&Path> {
        match self {
            Hierarchy::Unified(root) | Hierarchy::Hybrid(root) => Some(root),
            Hierarchy::Legacy => None,
        }
    }
}

/// Every cgroup below `root`: id (inode of its folder) and path. Cgroups that are removed during
/// the walk are left out.
pub(crate) fn cgroups(root: &Path) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(metadata) = fs::metadata(&folder) else { continue };
        let below = folder.strip_prefix(root).unwrap_or(Path::new(""));
        found.push((metadata.ino(), format!("/{}", below.display())));
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        open.extend(entries.filter(is_folder).map(|entry| entry.path()));
    }
    found
}

/// Id of the cgroup at a path below `root`.
pub(crate) fn id_of(root: &Path, path: &str) -> Option<u64> {
    fs::metadata(root.join(path.trim_start_matches('/'))).ok().map(|folder| folder.ino())
}

/// Paths of the cgroups of a process, v2 first.
pub(crate) fn paths_of(pid: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mut lines: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| {
            let (hierarchy, rest) = line.split_once(':')?;
            Some((hierarchy, rest.split_once(':')?.1))
        })
        .collect();
    lines.sort_by_key(|(hierarchy, _)| *hierarchy != "0");
    lines.into_iter().map(|(_, path)| path.to_owned()).collect()
}

/// Every process of this host.
pub(crate) fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // The first process of a container shows its namespaces; ids mostly rise, so it sorts first.
    pids.sort_unstable();
    pids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_tell_the_kind_of_host() {
        let v1 = "30 25 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        let v2 = "31 25 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(Hierarchy::from_mounts(v2), Hierarchy::Unified("/sys/fs/cgroup".into()));
        let both = format!("{v1}{}", v2.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified"));
        assert_eq!(
            Hierarchy::from_mounts(&both),
            Hierarchy::Hybrid("/sys/fs/cgroup/unified".into())
        );
        assert_eq!(Hierarchy::from_mounts(v1), Hierarchy::Legacy);
        let part = v2.replace(" / /sys", " /docker/x /sys");
        assert_eq!(Hierarchy::from_mounts(&part), Hierarchy::Legacy);
    }

    #[test]
    fn this_process_is_found() {
        assert!(processes().contains(&std::process::id()));
        let paths = paths_of(std::process::id());
        assert!(paths.iter().all(|path| path.starts_with('/')), "{paths:?}");
    }
}
