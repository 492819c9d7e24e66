//! Profiles: rows that are equal but for what is their own share one.

use std::sync::Arc;

use tcprst_schema::row::{Named, Row, SocketOwner};

use crate::hash::{Map, map};

/// Maximum number of profiles to remember. A busy host has some hundred; who sets his own command
/// name can make many. A full table is cleared, and the rows that come have new profiles.
pub(crate) const MAX_PROFILES: usize = 16 * 1024;

/// The profiles of rows.
#[derive(Debug)]
pub(crate) struct Profiles {
    known: Map<Key, Arc<Row>>,
}

impl Default for Profiles {
    fn default() -> Self {
        Self { known: map() }
    }
}

impl Profiles {
    /// The profile of a row: a row that differs from it in what is its own only.
    pub(crate) fn of(&mut self, row: &Row) -> Arc<Row> {
        let key = Key::of(row);
        if let Some(profile) = self.known.get(&key) {
            return Arc::clone(profile);
        }
        if self.known.len() >= MAX_PROFILES {
            self.known.clear();
        }
        let profile = Arc::new(row.clone());
        self.known.insert(key, Arc::clone(&profile));
        profile
    }
}

/// Everything in a row that is not its own. Texts that are shared are compared by their address:
/// equal ones at two addresses make two profiles, which say the same. The profile keeps them alive,
/// so that no other text gets the address.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    texts: [(usize, usize); 12],
    numbers: [Option<u64>; 18],
    comms: [Option<Arc<str>>; 2],
    owner: Option<((usize, bool), usize)>,
    peer: Option<(usize, bool)>,
}

impl Key {
    fn of(row: &Row) -> Self {
        // Statics of two lengths may share an address.
        let of =
            |text: Option<&str>| text.map_or((0, 0), |text| (text.as_ptr().addr(), text.len()));
        let byte = |value: Option<u8>| value.map(u64::from);
        let word = |value: Option<u32>| value.map(u64::from);
        let SocketOwner { uid, netns_id, cgroup_id, process } = &row.socket;
        let (task, process) = (row.task.as_ref(), process.as_ref());
        let owner = row.owner.as_ref();
        Self {
            texts: [
                of(Some(&row.host)),
                of(Some(row.direction)),
                (Arc::as_ptr(&row.stack).addr(), 0),
                of(Some(row.cause)),
                of(row.blame),
                of(row.reason.as_deref()),
                of(row.sk_state.as_deref()),
                of(row.context),
                of(row.owner_from),
                of(row.past),
                of(process.map(|process| process.act)),
                of(owner.map(|owner| &*owner.node)),
            ],
            numbers: [
                word(row.netns_id),
                row.netns_cookie,
                row.reason_code.map(|code| u64::from(code.cast_unsigned())),
                byte(row.answered_flags),
                byte(row.sk_flags),
                byte(row.icmp.map(|(kind, _)| kind)),
                byte(row.icmp.map(|(_, code)| code)),
                row.src.map(|(address, _)| u64::from(address.is_ipv4())),
                row.dst.map(|(address, _)| u64::from(address.is_ipv4())),
                word(task.map(|task| task.uid)),
                word(task.map(|task| task.gid)),
                word(task.and_then(|task| task.mntns_id)),
                task.and_then(|task| task.cgroup_id),
                word(*uid),
                word(*netns_id),
                *cgroup_id,
                word(process.map(|process| process.gid)),
                word(process.and_then(|process| process.mntns_id)),
            ],
            comms: [
                task.map(|task| Arc::clone(&task.comm)),
                process.map(|process| Arc::clone(&process.comm)),
            ],
            owner: owner.map(|owner| (owner.named.identity(), owner.attribution.as_ptr().addr())),
            peer: row.peer.as_ref().map(Named::identity),
        }
    }
}
