//! Owners of many resets at once: each profile is attributed once between two changes of the table.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};

use tcprst_schema::row::{Named, Own, Owner, Row};

use super::attribution::{self, Found, OwnerEvidence, ROOT};
use super::netns::NetnsId;
use super::table::{LifeTable, Whose};
use crate::hash::{Map, map};
use crate::wake::Waker;

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
    /// Wakes it; none in tests.
    pub(super) watch: Option<Waker>,
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
                self.rescan();
                None
            }
        }
    }

    /// Looks for cgroups that the table does not know, so that it knows them when the rows are
    /// written. Neighbours mostly share a profile.
    pub(super) fn notice<'a>(
        &self,
        table: &LifeTable,
        profiles: impl Iterator<Item = &'a Arc<Row>>,
    ) {
        let mut last: Option<&Arc<Row>> = None;
        for profile in profiles {
            if last.replace(profile).is_some_and(|last| Arc::ptr_eq(last, profile)) {
                continue;
            }
            let cgroup = profile.socket.cgroup_id.filter(|_| profile.owner_from.is_some());
            if cgroup.is_some_and(|cgroup| {
                cgroup != ROOT && matches!(table.whose(cgroup), Whose::Unknown)
            }) {
                self.rescan();
            }
        }
    }

    fn rescan(&self) {
        if !self.is_stale.swap(true, Ordering::Relaxed)
            && let Some(watch) = &self.watch
        {
            watch.wake();
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

    /// The profile of a reset with its owner and peer, as far as they are known by now.
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
        // Where no container has an address of its own, only loopback leads to one.
        let address = own.dst.map(|(address, _)| address);
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Mutex;

    use tcprst_schema::row::{SocketOwner, Stack};

    use super::super::table::tests::{NETNS, id, inside};
    use super::*;

    /// A reset without a socket, in the containers' namespace.
    fn row() -> Row {
        Row {
            time_us: 0,
            boot_ns: 0,
            cpu: 0,
            seq: 1,
            host: "host".into(),
            direction: "sent",
            netns_id: Some(NETNS.inode),
            netns_cookie: Some(NETNS.cookie),
            cause: "unknown",
            blame: None,
            stack: Arc::new(Stack::default()),
            reason: None,
            reason_code: None,
            sk_state: None,
            context: None,
            answered_flags: None,
            sk_flags: None,
            past: None,
            past_us: None,
            first: None,
            accept_queue: None,
            icmp: None,
            src: None,
            dst: None,
            task: None,
            socket: SocketOwner::default(),
            owner_from: None,
            owner: None,
            peer: None,
        }
    }

    #[test]
    fn a_profile_has_the_owner_of_each_time() {
        let mut table = LifeTable::default();
        table.made(10, &format!("/kubepods/pod1/{}", id('a')), 100);
        table.began(10, inside(NETNS));
        table.end(&id('a'), 200);
        let address = std::net::IpAddr::from(Ipv4Addr::new(10, 1, 0, 2));
        table.add_addresses(&id('a'), vec![address]);
        let table = Mutex::new(table);
        let place = Place {
            host: NetnsId { cookie: 1, inode: 1 },
            node: "node".into(),
            is_stale: Arc::default(),
            watch: None,
        };
        let mut profiles = NamedProfiles::default();
        let profile = Arc::new(row());
        let mut found = Vec::new();
        for round in 0..2 {
            let table = table.lock().expect("locked");
            let mut finder = Finder::new(table, &place, &mut profiles, 50, 300);
            for boot_ns in [50, 99, 100, 150, 200, 201, 300] {
                for dst in [None, Some((address, 80)), Some((Ipv4Addr::LOCALHOST.into(), 80))] {
                    let own = Own { boot_ns, dst, ..profile.own() };
                    let named = finder.find(&profile, &own);
                    let is_alive = (100..=200).contains(&boot_ns);
                    let owner = named.owner.as_ref().map(|owner| owner.attribution);
                    assert_eq!(owner, is_alive.then_some("netns"), "at {boot_ns}");
                    assert_eq!(named.peer.is_some(), is_alive && dst.is_some(), "at {boot_ns}");
                    // One by one it is the same.
                    let expected = place.owner(&finder.table, &named, boot_ns);
                    assert_eq!(expected.map(|owner| owner.attribution), owner);
                    found.push((round, Arc::as_ptr(&named)));
                }
            }
        }
        let (first, second): (Vec<_>, Vec<_>) = found.iter().partition(|(round, _)| *round == 0);
        let of = |found: Vec<&(i32, *const Row)>| found.iter().map(|(_, p)| *p).collect::<Vec<_>>();
        let first = of(first);
        assert_eq!(first, of(second), "the next search finds the same profiles");
        // Without owner; with owner; with owner and peer.
        assert_eq!(first.iter().collect::<std::collections::HashSet<_>>().len(), 3);
    }

    #[test]
    fn a_cgroup_that_is_not_known_is_looked_for() {
        let table = Mutex::new(LifeTable::default());
        let is_stale = Arc::new(AtomicBool::new(false));
        let host = NetnsId { cookie: 1, inode: 1 };
        let place =
            Place { host, node: "node".into(), is_stale: Arc::clone(&is_stale), watch: None };
        let mut profiles = NamedProfiles::default();
        let socket = SocketOwner { cgroup_id: Some(77), ..SocketOwner::default() };
        let profile = Arc::new(Row { socket, owner_from: Some("socket"), ..row() });
        let mut finder = Finder::new(table.lock().expect("locked"), &place, &mut profiles, 0, 1);
        let named = finder.find(&profile, &profile.own());
        assert!(named.owner.is_none() && Arc::ptr_eq(&named, &profile));
        assert!(is_stale.swap(false, Ordering::Relaxed));
        // Before it is written, too.
        drop(finder);
        let mut table = table.lock().expect("locked");
        let profiles = [Arc::new(row()), Arc::clone(&profile), profile];
        place.notice(&table, profiles.iter());
        assert!(is_stale.swap(false, Ordering::Relaxed));
        table.made(77, "/system.slice/sshd.service", 1);
        place.notice(&table, profiles.iter());
        assert!(!is_stale.load(Ordering::Relaxed), "it is known");
    }
}
