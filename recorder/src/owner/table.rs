//! The containers of this host, by cgroup and network namespace, with their life spans. Filled at
//! the start ([`super::scan`]), then from kernel events ([`super::life`]).

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use tcprst_schema::container::{Container, Details, Runtime};

use super::life::{self, ContainerEvent, What};
use super::netns::NetnsId;
use super::path::{self, CgroupOwner};

/// Dead containers are kept this long. No reset of theirs is written later, except for connections
/// in TIME_WAIT, which last a minute.
const KEEP_NS: u64 = 300 * 1_000_000_000;
/// Maximum number of containers, and of cgroups; the oldest dead are evicted first. A Kubernetes
/// node has 110 pods, and a build host may start thousands in five minutes.
const MAX_LIVES: usize = 16 * 1024;

/// The life span of a container.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) container: Arc<Container>,
    pub(crate) from_ns: u64,
    pub(crate) to_ns: Option<u64>,
    pub(crate) cgroup_id: Option<u64>,
    pub(crate) path: Option<Arc<str>>,
    pub(crate) netns: Option<NetnsId>,
    pub(crate) mntns: Option<u32>,
    pub(crate) pid: Option<u32>,
    /// `netns`, `mntns` and `pid` are of a process inside the container, and therefore final.
    is_settled: bool,
    /// Addresses of its network namespace, as read there and as reported by the runtime.
    pub(crate) addresses: Vec<IpAddr>,
}

impl Life {
    fn is_alive_at(&self, boot_ns: u64) -> bool {
        self.from_ns <= boot_ns && self.to_ns.is_none_or(|end| boot_ns <= end)
    }

    /// Whether the container shares the host's network, where a reset may be anyone's.
    fn is_on_host(&self) -> bool {
        self.container.details().is_some_and(|details| details.is_host_network == Some(true))
    }
}

/// A known cgroup.
#[derive(Clone, Debug)]
struct Cgroup {
    /// The container that the cgroup belongs to; `None` for other cgroups.
    container: Option<Arc<str>>,
    gone_ns: Option<u64>,
}

/// All known containers, cgroups, namespaces and addresses.
#[derive(Debug, Default)]
pub(crate) struct LifeTable {
    cgroups: HashMap<u64, Cgroup>,
    lives: HashMap<Arc<str>, Life>,
    namespaces: HashMap<(u64, u32), Vec<Arc<str>>>,
    addresses: HashMap<IpAddr, Vec<Arc<str>>>,
    /// Containers for which the resolver is to ask the runtimes.
    questions: Vec<CgroupOwner>,
}

/// The owner of a cgroup.
#[derive(Debug)]
pub(crate) enum Whose<'a> {
    Container(&'a Life),
    /// The host, not a container.
    Host,
    /// The cgroup has not been reported.
    Unknown,
}

impl LifeTable {
    /// Applies an event from the kernel.
    pub(crate) fn take(&mut self, event: ContainerEvent) {
        match event.what {
            What::Made { path } => self.made(event.cgroup_id, &path, event.boot_ns),
            What::Removed => self.removed(event.cgroup_id, event.boot_ns),
            What::Began(place) => self.began(event.cgroup_id, place),
        }
    }

    /// Records a cgroup that exists since `boot_ns`.
    pub(crate) fn made(&mut self, cgroup_id: u64, path: &str, boot_ns: u64) {
        if self.cgroups.contains_key(&cgroup_id) {
            return;
        }
        self.make_room(boot_ns);
        // Anyone can choose a cgroup's name: a second cgroup that claims to be the own cgroup of a
        // living container belongs to no container.
        let is_claim = |owner: &CgroupOwner| {
            owner.is_own
                && self.lives.get(owner.id.as_str()).is_some_and(|life| {
                    life.to_ns.is_none() && life.cgroup_id.is_some_and(|own| own != cgroup_id)
                })
        };
        let owner = path::parse(path).filter(|owner| !is_claim(owner));
        let container = owner.map(|owner| {
            let is_own = owner.is_own;
            // Stopped and started again: a new life, about which the runtime gives new details.
            if is_own && self.lives.get(owner.id.as_str()).is_some_and(|old| old.to_ns.is_some()) {
                self.retire(&owner.id);
            }
            let id = self.life(owner, boot_ns);
            if let Some(life) = self.lives.get_mut(&id)
                && is_own
                && life.cgroup_id.is_none()
            {
                life.cgroup_id = Some(cgroup_id);
                life.path = Some(path.into());
            }
            id
        });
        self.cgroups.insert(cgroup_id, Cgroup { container, gone_ns: None });
    }

    /// Keeps an ended life under another key, for its resets that are not written yet.
    fn retire(&mut self, id: &str) {
        let Some((id, life)) = self.lives.remove_entry(id) else { return };
        let key: Arc<str> = format!("{id} from {}", life.from_ns).into();
        let ids = self.namespaces.values_mut().chain(self.addresses.values_mut()).flatten();
        let of_cgroups = self.cgroups.values_mut().filter_map(|cgroup| cgroup.container.as_mut());
        ids.chain(of_cgroups).filter(|one| **one == id).for_each(|one| *one = Arc::clone(&key));
        self.lives.insert(key, life);
    }

    fn removed(&mut self, cgroup_id: u64, boot_ns: u64) {
        let Some(cgroup) = self.cgroups.get_mut(&cgroup_id) else {
            return;
        };
        cgroup.gone_ns = Some(boot_ns);
        if let Some(id) = &cgroup.container
            && let Some(life) = self.lives.get_mut(id)
            && life.cgroup_id == Some(cgroup_id)
        {
            life.to_ns = Some(boot_ns);
        }
    }

    /// Records that a process of a cgroup is in a network namespace. On a host with cgroup v1 alone
    /// all processes are in the root of v2, and `container_of_process` finds the container by its other
    /// cgroups.
    pub(crate) fn began(&mut self, cgroup_id: u64, place: life::ProcessPlace) {
        if let Some(id) = self.cgroups.get(&cgroup_id).and_then(|cgroup| cgroup.container.clone()) {
            self.lives_in(&id, place);
        }
    }

    /// Finds the container that one of a process's cgroups names.
    pub(crate) fn container_of_process(
        &mut self,
        paths: &[String],
        boot_ns: u64,
    ) -> Option<Arc<str>> {
        let owner = paths.iter().find_map(|path| path::parse(path))?;
        Some(self.life(owner, boot_ns))
    }

    /// Records that a container lives in a network namespace.
    pub(crate) fn lives_in(&mut self, id: &str, place: life::ProcessPlace) {
        let Some(life) = self.lives.get_mut(id) else {
            return;
        };
        // The first process inside counts: processes started in it later may go elsewhere
        // (`nsenter`). Until one is seen inside, keep the latest process outside: earlier ones are
        // the runtime's.
        if life.is_settled {
            return;
        }
        life.is_settled = place.is_inside;
        if life.netns != Some(place.netns) {
            life.addresses.clear();
        }
        (life.pid, life.netns, life.mntns) = (Some(place.pid), Some(place.netns), place.mntns);
        let ids = self.namespaces.entry(place.netns.key()).or_default();
        if !ids.contains(&life.container.id) {
            ids.push(Arc::clone(&life.container.id));
        }
    }

    /// Returns the life of a container, which is added if it is new.
    fn life(&mut self, owner: CgroupOwner, boot_ns: u64) -> Arc<str> {
        if let Some((id, _)) = self.lives.get_key_value(owner.id.as_str()) {
            return Arc::clone(id);
        }
        self.make_room(boot_ns);
        let container = Arc::new(Container::new(owner.runtime, &owner.id));
        let id = Arc::clone(&container.id);
        let life = Life {
            container,
            from_ns: boot_ns,
            to_ns: None,
            cgroup_id: None,
            path: None,
            netns: None,
            mntns: None,
            pid: None,
            is_settled: false,
            addresses: Vec::new(),
        };
        self.lives.insert(Arc::clone(&id), life);
        self.questions.push(owner);
        id
    }

    /// Applies a runtime's answer. For a container that has not been seen yet, returns the pid in
    /// the answer: the cgroup and namespaces of that process identify the container.
    pub(crate) fn resolve(&mut self, id: &str, details: Details, is_final: bool) -> Option<u32> {
        match self.lives.get(id) {
            Some(life) => {
                let addresses = details.addresses.clone();
                life.container.resolve(details, is_final);
                self.add_addresses(id, addresses);
                None
            }
            None => details.pid,
        }
    }

    /// Adds a container that a runtime reported, if its cgroup does not bear its id.
    pub(crate) fn adopt(
        &mut self,
        id: &str,
        runtime: Option<Runtime>,
        cgroup_id: Option<u64>,
        path: &str,
        boot_ns: u64,
    ) {
        let owner = CgroupOwner { runtime, id: id.to_owned(), is_own: true };
        let id = self.life(owner, boot_ns);
        // The runtime has already answered: there is nothing left to ask.
        self.questions.retain(|question| question.id != *id);
        if let Some(life) = self.lives.get_mut(&id) {
            life.cgroup_id = life.cgroup_id.or(cgroup_id);
            life.path = life.path.take().or_else(|| Some(path.into()));
        }
        if let Some(cgroup_id) = cgroup_id {
            self.cgroups.insert(cgroup_id, Cgroup { container: Some(id), gone_ns: None });
        }
    }

    /// Marks cgroups that a scan did not find as removed: their removal was not reported.
    pub(crate) fn keep_only(&mut self, cgroups: &[(u64, String)], boot_ns: u64) {
        let there: HashSet<u64> = cgroups.iter().map(|(id, _)| *id).collect();
        let is_gone = |(id, cgroup): (&u64, &Cgroup)| {
            (cgroup.gone_ns.is_none() && !there.contains(id)).then_some(*id)
        };
        let gone: Vec<u64> = self.cgroups.iter().filter_map(is_gone).collect();
        for cgroup_id in gone {
            self.removed(cgroup_id, boot_ns);
        }
    }

    /// Containers to ask the runtimes about, since the last call.
    pub(crate) fn questions(&mut self) -> Vec<CgroupOwner> {
        std::mem::take(&mut self.questions)
    }

    /// Adds addresses of a container's network namespace, except loopback, which every namespace
    /// has.
    pub(crate) fn add_addresses(&mut self, id: &str, addresses: Vec<IpAddr>) {
        let Some(life) = self.lives.get_mut(id).filter(|life| !life.is_on_host()) else {
            return;
        };
        for address in addresses {
            if !address.is_loopback() && !life.addresses.contains(&address) {
                life.addresses.push(address);
                let id = Arc::clone(&life.container.id);
                self.addresses.entry(address).or_default().push(id);
            }
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Life> {
        self.lives.get(id)
    }

    pub(crate) fn whose(&self, cgroup_id: u64) -> Whose<'_> {
        match self.cgroups.get(&cgroup_id) {
            None => Whose::Unknown,
            Some(cgroup) => match cgroup.container.as_ref().and_then(|id| self.lives.get(id)) {
                Some(life) => Whose::Container(life),
                None => Whose::Host,
            },
        }
    }

    /// Containers that live in a namespace at that time.
    pub(crate) fn inhabitants(&self, netns: NetnsId, boot_ns: u64) -> Vec<&Life> {
        self.all_in(netns).filter(|life| life.is_alive_at(boot_ns) && !life.is_on_host()).collect()
    }

    /// Whether a container of the namespace, other than a sandbox and `survivor` in an earlier life,
    /// has died by that time.
    pub(crate) fn has_dead(&self, netns: NetnsId, survivor: &Container, boot_ns: u64) -> bool {
        let is_sandbox =
            |life: &Life| life.container.details().is_some_and(|details| details.is_sandbox);
        self.all_in(netns)
            .filter(|life| !is_sandbox(life) && life.container.id != survivor.id)
            .any(|life| life.to_ns.is_some_and(|end| end < boot_ns))
    }

    /// Times after `from_ns`, up to `to_ns`, from which on others are alive than before.
    pub(crate) fn changes_between(&self, from_ns: u64, to_ns: u64) -> Vec<u64> {
        // A container is still alive at the time of its end.
        let times = |life: &Life| [Some(life.from_ns), life.to_ns.map(|end| end.saturating_add(1))];
        let changes = self.lives.values().flat_map(times).flatten();
        changes.filter(|change| from_ns < *change && *change <= to_ns).collect()
    }

    /// Whether any container is known to have an address.
    pub(crate) fn has_addresses(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// Containers of a namespace, living or dead.
    fn all_in(&self, netns: NetnsId) -> impl Iterator<Item = &Life> {
        let by_inode = NetnsId { cookie: 0, ..netns }.key();
        let keys = [Some(netns.key()), Some(by_inode).filter(|key| *key != netns.key())];
        keys.into_iter()
            .flatten()
            .filter_map(|key| self.namespaces.get(&key))
            .flatten()
            .filter_map(|id| self.lives.get(id))
            .filter(move |life| life.netns.is_some_and(|other| other.is_same(netns)))
    }

    /// Living containers without a known cgroup v2, with their process and its namespace.
    pub(crate) fn without_cgroup(&self) -> Vec<(Arc<str>, u32, NetnsId)> {
        let lives = self.lives.values().filter(|l| l.cgroup_id.is_none() && l.to_ns.is_none());
        lives.filter_map(|l| Some((Arc::clone(&l.container.id), l.pid?, l.netns?))).collect()
    }

    /// Records the end of a container.
    pub(crate) fn end(&mut self, id: &str, boot_ns: u64) {
        if let Some(life) = self.lives.get_mut(id) {
            life.to_ns = Some(boot_ns);
        }
    }

    /// The namespace of containers that has an address at that time, if there is exactly one.
    pub(crate) fn namespace_of(&self, address: IpAddr, boot_ns: u64) -> Option<NetnsId> {
        let lives = self.addresses.get(&address)?.iter().filter_map(|id| self.lives.get(id));
        let has_it = |life: &&Life| life.addresses.contains(&address);
        let living = lives.filter(has_it).filter(|life| life.is_alive_at(boot_ns));
        let mut found = living.filter_map(|life| life.netns);
        let first = found.next()?;
        found.all(|other| other.is_same(first)).then_some(first)
    }

    /// Every container, living or dead.
    pub(crate) fn lives(&self) -> impl Iterator<Item = &Life> {
        self.lives.values()
    }

    /// Forgets containers and cgroups that died long ago; if too many are left, the oldest dead.
    fn make_room(&mut self, now_ns: u64) {
        if self.cgroups.len().max(self.lives.len()) < MAX_LIVES {
            return;
        }
        let mut ends: Vec<u64> = self.cgroups.values().filter_map(|c| c.gone_ns).collect();
        ends.sort_unstable();
        // Evict at least an eighth, so that this does not run for each new one.
        let eighth = ends.get(MAX_LIVES / 8).or(ends.last()).copied().unwrap_or(0);
        self.forget_before(eighth.max(now_ns.saturating_sub(KEEP_NS)));
    }

    fn forget_before(&mut self, boot_ns: u64) {
        let is_over = |end: Option<u64>| end.is_some_and(|end| end < boot_ns);
        self.cgroups.retain(|_, cgroup| !is_over(cgroup.gone_ns));
        self.lives.retain(|_, life| !is_over(life.to_ns));
        let lives = &self.lives;
        let any_left = |ids: &mut Vec<Arc<str>>| {
            ids.retain(|id| lives.contains_key(id));
            !ids.is_empty()
        };
        self.namespaces.retain(|_, ids| any_left(ids));
        self.addresses.retain(|_, ids| any_left(ids));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn id(digit: char) -> String {
        digit.to_string().repeat(64)
    }

    pub(crate) const NETNS: NetnsId = NetnsId { cookie: 5, inode: 77 };

    pub(crate) fn inside(netns: NetnsId) -> life::ProcessPlace {
        life::ProcessPlace { pid: 42, netns, mntns: Some(3), is_inside: true }
    }

    #[test]
    fn the_runtimes_own_process_is_not_the_container() {
        let mut table = LifeTable::default();
        table.made(10, &format!("/docker/{}", id('a')), 100);
        let outside =
            life::ProcessPlace { is_inside: false, ..inside(NetnsId { cookie: 9, inode: 9 }) };
        table.began(10, outside);
        table.add_addresses(&id('a'), vec![IpAddr::from([10, 1, 0, 1])]);
        table.began(10, inside(NETNS));
        table.began(10, inside(NetnsId { cookie: 8, inode: 8 }));
        let Whose::Container(life) = table.whose(10) else { panic!("not known") };
        assert_eq!((life.netns, life.addresses.len()), (Some(NETNS), 0));
        assert_eq!(table.inhabitants(NETNS, 150).len(), 1);
        assert!(table.inhabitants(outside.netns, 150).is_empty());
    }

    #[test]
    fn a_container_lives_from_mkdir_to_rmdir() {
        let mut table = LifeTable::default();
        table.made(10, &format!("/docker/{}", id('a')), 100);
        table.made(11, &format!("/docker/{}/below", id('a')), 110);
        table.began(11, inside(NETNS));
        assert_eq!(table.questions().len(), 1, "asked for once");
        table.removed(11, 190);
        table.removed(10, 200);
        for cgroup in [10, 11] {
            let Whose::Container(life) = table.whose(cgroup) else { panic!("{cgroup}") };
            assert_eq!((life.from_ns, life.to_ns, life.cgroup_id), (100, Some(200), Some(10)));
        }
        assert_eq!(table.inhabitants(NETNS, 150).len(), 1);
        assert!(table.inhabitants(NETNS, 201).is_empty());
        assert!(matches!(table.whose(12), Whose::Unknown));
        table.made(12, "/system.slice/sshd.service", 100);
        assert!(matches!(table.whose(12), Whose::Host));
    }

    #[test]
    fn a_container_that_starts_again_has_a_new_life() {
        let mut table = LifeTable::default();
        let path = format!("/docker/{}", id('a'));
        let address = IpAddr::from([10, 1, 0, 2]);
        table.made(10, &path, 100);
        table.began(10, inside(NETNS));
        table.add_addresses(&id('a'), vec![address]);
        table.removed(10, 200);
        table.made(20, &path, 300);
        table.began(20, inside(NetnsId { cookie: 6, inode: 77 }));
        assert_eq!(table.questions().len(), 2, "asked for again");
        let Whose::Container(life) = table.whose(20) else { panic!("not known") };
        assert_eq!((life.from_ns, life.to_ns), (300, None));
        assert!(table.inhabitants(NETNS, 350).is_empty(), "the namespace it had before");
        assert_eq!(table.namespace_of(address, 350), None, "the address it had before");
        // A reset before that may be written only now.
        let Whose::Container(life) = table.whose(10) else { panic!("not known") };
        assert_eq!((life.from_ns, life.to_ns), (100, Some(200)));
        let earlier = table.inhabitants(NETNS, 150);
        assert_eq!(earlier.iter().map(|life| life.from_ns).collect::<Vec<_>>(), [100]);
        assert_eq!(table.namespace_of(address, 150), Some(NETNS));
        assert!(!table.has_dead(NETNS, &Container::new(None, &id('a')), 350), "the same");
        assert!(table.has_dead(NETNS, &Container::new(None, &id('b')), 350));
    }

    #[test]
    fn an_address_that_two_namespaces_have_is_nobodys() {
        let mut table = LifeTable::default();
        let address = IpAddr::from([10, 1, 0, 2]);
        for (cgroup, digit, cookie) in [(10, 'a', 5), (11, 'b', 6)] {
            table.made(cgroup, &format!("/docker/{}", id(digit)), 100);
            table.began(cgroup, inside(NetnsId { cookie, inode: 77 }));
            table.add_addresses(&id(digit), vec![address]);
        }
        assert_eq!(table.namespace_of(address, 150), None);
        table.removed(11, 140);
        assert_eq!(table.namespace_of(address, 150).map(|netns| netns.cookie), Some(5));
    }

    #[test]
    fn memory_is_bounded() {
        let mut table = LifeTable::default();
        for cgroup in 0..4 * MAX_LIVES as u64 {
            table.made(cgroup, &format!("/docker/{cgroup:064x}"), cgroup);
            table.began(cgroup, inside(NetnsId { cookie: cgroup + 1, inode: 1 }));
            table.removed(cgroup, cgroup);
        }
        assert!(table.cgroups.len() <= MAX_LIVES, "{}", table.cgroups.len());
        assert!(table.lives.len() <= MAX_LIVES && table.namespaces.len() <= MAX_LIVES);
        let last = 4 * MAX_LIVES as u64 - 1;
        assert!(matches!(table.whose(last), Whose::Container(_)));
    }
}
