//! Decodes the kernel half's ring: events in the life of a container.

use tcprst_schema::wire::{Life, LifeEvent};
use zerocopy::FromBytes;

use super::netns::NetnsId;

/// An event in the life of a container, at `boot_ns`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContainerEvent {
    pub(crate) boot_ns: u64,
    pub(crate) cgroup_id: u64,
    pub(crate) what: What,
}

/// The namespaces of a process of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessPlace {
    pub(crate) pid: u32,
    pub(crate) netns: NetnsId,
    pub(crate) mntns: Option<u32>,
    /// The process is in a pid namespace of its own. Otherwise it may be the runtime's: runc
    /// re-executes itself in the container's cgroup before it enters the container's namespaces.
    pub(crate) is_inside: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The container's cgroup was made.
    Made { path: String },
    /// The container's cgroup was removed.
    Removed,
    /// The container's first program began.
    Began(ProcessPlace),
}

/// Decodes a record; `None` if it is short, or of a kind that this version does not know.
pub(crate) fn decode(record: &[u8]) -> Option<ContainerEvent> {
    let (event, _) = LifeEvent::read_from_prefix(record).ok()?;
    let what = if event.kind == Life::Made as u32 {
        let end = event.path.iter().position(|byte| *byte == 0).unwrap_or(event.path.len());
        What::Made { path: String::from_utf8_lossy(&event.path[..end]).into_owned() }
    } else if event.kind == Life::Removed as u32 {
        What::Removed
    } else if event.kind == Life::Began as u32 {
        let netns = NetnsId { cookie: event.netns_cookie, inode: event.netns_inum };
        What::Began(ProcessPlace {
            pid: event.tgid,
            netns,
            mntns: (event.mntns_inum != 0).then_some(event.mntns_inum),
            is_inside: event.pid_level > 0,
        })
    } else {
        return None;
    };
    Some(ContainerEvent { boot_ns: event.boot_ns, cgroup_id: event.cgroup_id, what })
}

#[cfg(test)]
mod tests {
    use zerocopy::{FromZeros, IntoBytes};

    use super::*;

    #[test]
    fn a_path_ends_with_its_zero() {
        let mut event = LifeEvent::new_zeroed();
        event.kind = Life::Made as u32;
        event.cgroup_id = 7;
        event.path[..5].copy_from_slice(b"/a\0/b");
        let read = decode(event.as_bytes()).expect("whole");
        assert_eq!((read.cgroup_id, read.what), (7, What::Made { path: "/a".to_owned() }));
        event.kind = 99;
        assert_eq!(decode(event.as_bytes()), None);
        assert_eq!(decode(&[1; 8]), None);
    }
}
