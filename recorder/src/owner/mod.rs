//! The owners of resets: processes by their sockets, containers by cgroup and network namespace.
//!
//! ```text
//! kernel     ebpf/src/owner.rs      the process behind each socket
//!            ebpf/src/hooks/life.rs cgroups made and removed, first programs -> a separate ring
//!                |
//! life       bytes -> what happened
//! scan       what was there before; netns: cookies and addresses
//!                |
//! table      containers by cgroup, namespace and address, with their life spans
//!                |                                     ^
//! attribution   rules: the owner of a reset            | names, when they come
//! finder        owners of many resets at once          |
//!                |                                     |
//! rows       write thread                         resolver: asks the container runtimes, in a
//!                                                 separate thread, and delays no one
//! ```

mod attribution;
mod finder;
mod life;
pub(crate) mod netns;
mod path;
pub(crate) mod resolver;
pub(crate) mod scan;
mod table;
mod watch;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tcprst_schema::row::{ContainerRow, Named, Owner, Row};

use crate::clock::Clock;
use crate::error::Result;
use crate::kernel::probe::Lives;
use netns::NetnsId;
use table::{Life, LifeTable};
use watch::Watch;

pub(crate) use finder::Finder;
use finder::{NamedProfiles, Place};

/// Options of the search for owners.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnerOptions {
    /// Name of the Kubernetes node; the host's name if none is given.
    pub(crate) node: Option<String>,
    pub(crate) resolver: resolver::ResolverOptions,
}

/// The owners of resets, as far as they are known.
#[derive(Debug)]
pub(crate) struct Owners {
    table: Arc<Mutex<LifeTable>>,
    place: Place,
    host_name: Arc<str>,
    /// Profiles with their owners.
    profiles: NamedProfiles,
    /// Containers that died before this time have been written.
    written_to_ns: u64,
    watch: Watch,
}

impl Owners {
    /// Scans the existing containers, and follows changes from then on. Call it when the kernel
    /// half is attached, so that no change is missed in between.
    pub(crate) fn start(
        lives: Lives,
        options: OwnerOptions,
        host_name: &str,
        clock: &Clock,
    ) -> Result<Self> {
        let table = Arc::new(Mutex::new(LifeTable::default()));
        let is_stale = Arc::new(AtomicBool::new(false));
        let watch = Watch::start(
            lives,
            options.resolver,
            Arc::clone(&table),
            Arc::clone(&is_stale),
            clock.boot_ns(),
        )?;
        Ok(Self {
            table,
            place: Place {
                host: NetnsId { cookie: 0, inode: netns::host() },
                node: options.node.as_deref().unwrap_or(host_name).into(),
                is_stale,
                watch: Some(watch.waker().clone()),
            },
            host_name: host_name.into(),
            profiles: NamedProfiles::default(),
            written_to_ns: 0,
            watch,
        })
    }

    /// Waits, for a moment at most, until every life that the kernel has told of is known.
    pub(crate) fn catch_up(&self) {
        self.watch.catch_up();
    }

    /// Looks for what these profiles need and nobody has told.
    pub(crate) fn notice<'a>(&self, profiles: impl Iterator<Item = &'a Arc<Row>>) {
        self.place.notice(&lock(&self.table), profiles);
    }

    /// Names the owners of rows that have none yet, as far as they are known.
    pub(crate) fn attribute<'a>(&self, rows: impl Iterator<Item = &'a mut Row>) {
        let table = lock(&self.table);
        for row in rows.filter(|row| row.owner.is_none()) {
            row.owner = self.place.owner(&table, row, row.boot_ns);
        }
    }

    /// The owners of resets whose times lie between the two, in the order of their time.
    pub(crate) fn finder(&mut self, from_ns: u64, to_ns: u64) -> Finder<'_> {
        Finder::new(lock(&self.table), &self.place, &mut self.profiles, from_ns, to_ns)
    }

    /// The containers that lived since the last time, as rows of `containers`.
    pub(crate) fn rows(&mut self, clock: &Clock) -> Vec<ContainerRow> {
        let since = self.written_to_ns;
        self.written_to_ns = clock.boot_ns();
        let table = lock(&self.table);
        /// A container's end is reported a little late.
        const MAX_DELAY_NS: u64 = 10 * 1_000_000_000;
        let since = since.saturating_sub(MAX_DELAY_NS);
        let has_lived = |life: &&Life| life.to_ns.is_none_or(|end| end >= since);
        let mut rows: Vec<ContainerRow> =
            table.lives().filter(has_lived).map(|life| self.row(life, clock)).collect();
        rows.sort_by_key(|row| row.from_us);
        rows
    }

    fn row(&self, life: &Life, clock: &Clock) -> ContainerRow {
        let known = |netns: NetnsId| (netns.cookie != 0).then_some(netns.cookie);
        ContainerRow {
            from_us: clock.wall_us(life.from_ns),
            to_us: life.to_ns.map(|end| clock.wall_us(end)),
            host: Arc::clone(&self.host_name),
            owner: Owner {
                named: Named::container(Arc::clone(&life.container)),
                attribution: "socket",
                node: Arc::clone(&self.place.node),
            },
            container: Arc::clone(&life.container),
            cgroup_id: life.cgroup_id,
            cgroup_path: life.path.clone(),
            netns_id: life.netns.map(|netns| netns.inode),
            netns_cookie: life.netns.and_then(known),
            mntns_id: life.mntns,
            pid: life.pid,
            addresses: life.addresses.clone(),
        }
    }

    /// Ends the threads, without waiting for a runtime that hangs.
    pub(crate) fn stop(self) {
        self.watch.stop();
    }
}

fn lock(table: &Mutex<LifeTable>) -> MutexGuard<'_, LifeTable> {
    // A panic leaves a table that is still usable.
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shorter prefixes of an id would match too many; runtimes show twelve digits.
pub(crate) const SHORTEST_ID: usize = 6;

/// Whether the owner matches `--container`: by name, by a prefix of its id, or by its pod.
pub(crate) fn is_named(owner: &Owner, wanted: &str) -> bool {
    let named = &owner.named;
    let pod = named.pod().and_then(|pod| pod.name.as_deref());
    let by_id = wanted.len() >= SHORTEST_ID
        && named.one().is_some_and(|container| container.id.starts_with(wanted));
    owner.is_certain()
        && (by_id || [named.name(), named.pod_container(), pod].contains(&Some(wanted)))
}
