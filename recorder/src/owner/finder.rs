//! Owners of many resets at once: each profile is attributed once between two changes of the table.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};

use tcprst_schema::row::{Named, Own, Owner, Row};

use super::attribution::{self, Found, OwnerEvidence};
use super::netns::NetnsId;
use super::table::LifeTable;
use crate::hash::{Map, map};

/// Maximum number of profiles with an owner or a peer to remember, as of those without.
const MAX_PROFILES: usize = 16 * 1024;

/// The host on which owners are looked for.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) host: NetnsId,
    /// Name of the Kubernetes node.
    pub(super) node: Arc<str>,
    /// Set to make the watch walk the cgroup tree again.
    pub(super) is_stale: Arc<AtomicBool>,
}

impl Place {
    pub(super) fn owner(&self, table: &LifeTable, row: &Row, boot_ns: u64) -> Option<Owner> {
        let cgroup = row.socket.cgroup_id.zip(row.owner_from);
        let evidence = OwnerEvidence { boot_ns, cgroup, netns: namespace(row) };
        match attribution::owner(table, self.host, &evidence) {
            Found::Owner(named, attribution) => {
                Some(Owner { named, attribution, node: Arc::clone(&self.node) })
            }
            Found::Nothing | Found::NotYet => None,
            Found::UnknownCgroup => {
                self.is_stale.store(true, Ordering::Relaxed);
                None
            }
        }
    }

    pub(super) fn peer(
        &self,
        table: &LifeTable,
        row: &Row,
        address: IpAddr,
        boot_ns: u64,
    ) -> Option<Named> {
        attribution::peer(table, self.host, namespace(row), address, boot_ns)
    }
}

fn namespace(row: &Row) -> NetnsId {
    NetnsId { cookie: row.netns_cookie.unwrap_or(0), inode: row.netns_id.unwrap_or(0) }
}

/// A profile and whom its resets belong to.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    profile: usize,
    owner: Option<((usize, bool), &'static str)>,
    peer: Option<(usize, bool)>,
}

/// Profiles with their owners, from one search to the next.
#[derive(Debug, Default)]
pub(super) struct NamedProfiles {
    /// With the profile as it was before, whose address is in the key.
    known: HashMap<Key, (Arc<Row>, Arc<Row>)>,
}

impl NamedProfiles {
    fn of(&mut self, profile: &Arc<Row>, owner: Option<&Owner>, peer: Option<Named>) -> Arc<Row> {
        let key = Key {
            profile: Arc::as_ptr(profile).addr(),
            owner: owner.map(|owner| (owner.named.identity(), owner.attribution)),
            peer: peer.as_ref().map(Named::identity),
        };
        if let Some((_, named)) = self.known.get(&key) {
            return Arc::clone(named);
        }
        if self.known.len() >= MAX_PROFILES {
            self.known.clear();
        }
        let named = Arc::new(Row { owner: owner.cloned(), peer, ..Row::clone(profile) });
        self.known.insert(key, (Arc::clone(profile), Arc::clone(&named)));
        named
    }
}

/// Finds the owners of resets in the order of their time. The table is locked as long as it lives.
#[derive(Debug)]
pub(crate) struct Finder<'a> {
    table: MutexGuard<'a, LifeTable>,
    place: &'a Place,
    profiles: &'a mut NamedProfiles,
    /// Times from which on an answer may be another, from the last to the first.
    changes: Vec<u64>,
    /// Answers since the last change. The owner of each profile, and the profile with that owner
    /// and without a peer.
    owners: Map<usize, (Option<Owner>, Arc<Row>)>,
    peers: Map<(u64, u32, IpAddr), Option<Named>>,
    has_addresses: bool,
}

impl<'a> Finder<'a> {
    pub(super) fn new(
        table: MutexGuard<'a, LifeTable>,
        place: &'a Place,
        profiles: &'a mut NamedProfiles,
        from_ns: u64,
        to_ns: u64,
    ) -> Self {
        let mut changes = table.changes_between(from_ns, to_ns);
        changes.sort_unstable_by_key(|change| u64::MAX - change);
        Self {
            changes,
            has_addresses: table.has_addresses(),
            table,
            place,
            profiles,
            owners: map(),
            peers: map(),
        }
    }

    /// The profile of a reset with its owner and peer, as far as they are known.
    pub(crate) fn find(&mut self, profile: &Arc<Row>, own: &Own) -> Arc<Row> {
        while self.changes.pop_if(|change| *change <= own.boot_ns).is_some() {
            self.owners.clear();
            self.peers.clear();
        }
        let Self { table, place, profiles, owners, .. } = self;
        let (owner, named) = owners.entry(Arc::as_ptr(profile).addr()).or_insert_with(|| {
            let owner = place.owner(table, profile, own.boot_ns);
            let named = match &owner {
                Some(owner) => profiles.of(profile, Some(owner), None),
                None => Arc::clone(profile),
            };
            (owner, named)
        });
        let address = own.dst.map(|(address, _)| address);
        // Where no container has an address of its own, only loopback leads to one.
        let Some(address) = address.filter(|ip| self.has_addresses || ip.is_loopback()) else {
            return Arc::clone(named);
        };
        let NetnsId { cookie, inode } = namespace(profile);
        let peer = self.peers.entry((cookie, inode, address));
        match peer.or_insert_with(|| place.peer(table, profile, address, own.boot_ns)) {
            Some(peer) => profiles.of(profile, owner.as_ref(), Some(peer.clone())),
            None => Arc::clone(named),
        }
    }
}
