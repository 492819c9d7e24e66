//! Determines the memory available to a query.

use std::fs;
use std::path::Path;

/// Bytes that this process can still allocate, by the kernel's account and by that of each cgroup
/// of the process; `None` if neither is known.
pub(super) fn free() -> Option<usize> {
    let host = fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text));
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = own.lines().filter_map(|line| {
        // `0::/path` is version 2; `5:memory:/path` is version 1.
        let mut parts = line.splitn(3, ':').skip(1);
        match (parts.next()?, parts.next()?) {
            ("", path) => room("/sys/fs/cgroup", path, "memory.max", "memory.current"),
            (names, path) if names.split(',').any(|name| name == "memory") => room(
                "/sys/fs/cgroup/memory",
                path,
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
            ),
            _ => None,
        }
    });
    let free = groups.chain(host).min()?;
    Some(usize::try_from(free).unwrap_or(usize::MAX))
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The smallest remainder in a cgroup and its ancestors. In a container the path may be that of the
/// host, and the container's cgroup is the root of the mount.
fn room(root: &str, path: &str, limit: &str, usage: &str) -> Option<u64> {
    let root = Path::new(root);
    let below = root.join(path.trim_start_matches('/'));
    let number = |path: &Path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    below
        .ancestors()
        .take_while(|folder| folder.starts_with(root))
        .filter_map(|folder| {
            // `max` is not a number and means no limit. Version 1 has a huge number instead.
            let limit = number(&folder.join(limit))?;
            Some(limit.saturating_sub(number(&folder.join(usage))?))
        })
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_tells() {
        assert!(free().is_some_and(|free| free > 1 << 20), "{:?}", free());
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:   2 kB\n"), Some(2048));
        assert_eq!(available("MemTotal: 9 kB\n"), None);
    }
}
