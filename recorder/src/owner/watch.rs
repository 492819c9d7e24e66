//! The thread that keeps the table up to date, from kernel events and the runtimes' answers.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::life::{self, ContainerEvent, ProcessPlace, What};
use super::resolver::{self, Answer, Query, Resolver};
use super::scan::{self, Hierarchy};
use super::table::LifeTable;
use super::{lock, netns};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::kernel::probe::Lives;
use crate::wake::{self, Alarm, Waker};

/// Shortest time between two scans of the cgroup tree, because a large host has thousands of
/// cgroups. A row with an unreported cgroup asks for a scan.
const MIN_SCAN_INTERVAL: Duration = Duration::from_secs(5);

/// Interval at which the processes of containers without a cgroup v2 are checked.
const RESCAN_INTERVAL: Duration = Duration::from_secs(1);

/// Longest wait for a round of the owners thread, which may be walking a large host's cgroups.
const MAX_CATCH_UP: Duration = Duration::from_millis(200);

/// The running owners thread.
#[derive(Debug)]
pub(super) struct Watch {
    is_over: Arc<AtomicBool>,
    rounds: Arc<Rounds>,
    waker: Waker,
    thread: JoinHandle<()>,
}

/// Rounds of the owners thread that were asked for and that are done.
#[derive(Debug, Default)]
struct Rounds {
    /// Number of the last request, and of the last one that was met.
    state: Mutex<(u64, u64)>,
    done: Condvar,
}

impl Rounds {
    fn asked(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn finish(&self, asked: u64) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = asked;
        self.done.notify_all();
    }

    /// Asks for a round, and waits until it is done.
    fn wait(&self, waker: &Waker) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        let asked = state.0;
        waker.wake();
        // Too late, or a panic of the thread: the rows have fewer names.
        let _ = self.done.wait_timeout_while(state, MAX_CATCH_UP, |(_, done)| *done < asked);
    }
}

/// Sleeps until the ring has a life, a runtime answers, or something is due.
struct Watcher {
    lives: Lives,
    alarm: Alarm,
    resolver: Resolver,
    answers: Receiver<Answer>,
    table: Arc<Mutex<LifeTable>>,
    hierarchy: Hierarchy,
    is_stale: Arc<AtomicBool>,
    /// Time of the last scan; `lost` is the kernel half's count of lost events at that time.
    scanned: Instant,
    /// When the processes of containers without a cgroup v2 were last checked.
    looked: Instant,
    scanned_ns: u64,
    lost: u64,
}

impl Watch {
    pub(super) fn start(
        lives: Lives,
        options: resolver::ResolverOptions,
        table: Arc<Mutex<LifeTable>>,
        is_stale: Arc<AtomicBool>,
        boot_ns: u64,
    ) -> Result<Self> {
        let (waker, alarm) = wake::pair()?;
        let (resolver, answers) = Resolver::start(options, waker.clone())?;
        let mut watcher = Watcher {
            lives,
            alarm,
            resolver,
            answers,
            table,
            hierarchy: Hierarchy::find(),
            is_stale,
            scanned: Instant::now(),
            looked: Instant::now(),
            scanned_ns: boot_ns,
            lost: 0,
        };
        // Scan before the first reset is attributed.
        watcher.scan();
        let is_over = Arc::new(AtomicBool::new(false));
        let rounds = Arc::new(Rounds::default());
        let thread = thread::Builder::new()
            .name("owners".to_owned())
            .spawn({
                let (is_over, rounds) = (Arc::clone(&is_over), Arc::clone(&rounds));
                move || watcher.run(&is_over, &rounds)
            })
            .map_err(|source| Error::System("start the owners thread", source))?;
        Ok(Self { is_over, rounds, waker, thread })
    }

    /// Wakes the thread for a scan, which may have to wait for [`MIN_SCAN_INTERVAL`].
    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Waits until the table has every life that the kernel has told of by now. A container's
    /// start and its first reset come through two rings, and either may be read first.
    pub(super) fn catch_up(&self) {
        self.rounds.wait(&self.waker);
    }

    pub(super) fn stop(self) {
        self.is_over.store(true, Ordering::Release);
        self.waker.wake();
        // A panic of the thread costs names; it was reported on stderr.
        let _ = self.thread.join();
    }
}

impl Watcher {
    fn run(mut self, is_over: &AtomicBool, rounds: &Rounds) {
        while !is_over.load(Ordering::Acquire) {
            let asked = rounds.asked();
            self.take_lives();
            self.take_answers();
            self.scan_again();
            self.end_without_cgroup();
            self.ask();
            rounds.finish(asked);
            self.sleep();
        }
    }

    fn sleep(&self) {
        let until = self.deadline();
        let timeout = until.map_or(PollTimeout::NONE, |at| {
            // Rounded up: a wake-up just before the time would find nothing to do.
            let left = at.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        let mut fds = [
            PollFd::new(self.lives.ring.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.alarm.as_fd(), PollFlags::POLLIN),
        ];
        // An interrupted or failed poll only makes the next round start early.
        let _ = poll(&mut fds, timeout);
        self.alarm.take();
    }

    /// When there is something to do even if nothing happens.
    fn deadline(&self) -> Option<Instant> {
        let is_stale = self.is_stale.load(Ordering::Relaxed);
        let scan = is_stale.then(|| self.scanned + MIN_SCAN_INTERVAL);
        let has_v1 = !lock(&self.table).without_cgroup().is_empty();
        let look = has_v1.then(|| self.looked + RESCAN_INTERVAL);
        scan.into_iter().chain(look).min()
    }

    fn take_lives(&mut self) {
        let mut events = Vec::new();
        while let Some(record) = self.lives.ring.next() {
            // Records that cannot be decoded are of a kind that this version does not know.
            events.extend(life::decode(&record));
        }
        for event in events {
            self.take(event);
            // Ask at once: the container may live for only 50 ms.
            self.ask();
        }
    }

    fn take(&mut self, event: ContainerEvent) {
        let began = match event.what {
            What::Began(place) => Some((place, event.boot_ns)),
            What::Made { .. } | What::Removed => None,
        };
        lock(&self.table).take(event);
        if let Some((place, boot_ns)) = began {
            self.arrive(place, boot_ns);
        }
    }

    /// A process of a container has started: finds the container by its v1 cgroups, if v2 does not
    /// name it, and the addresses there.
    fn arrive(&self, place: ProcessPlace, boot_ns: u64) {
        let paths = scan::paths_of(place.pid);
        let addresses = container_addresses(place.pid, place.netns);
        let mut table = lock(&self.table);
        if let Some(id) = table.container_of_process(&paths, boot_ns) {
            table.lives_in(&id, place);
            // Skip the addresses if the process is not the one that counts: it is outside, or
            // elsewhere.
            if table.get(&id).is_some_and(|life| life.pid == Some(place.pid)) {
                add_addresses(&mut table, &id, addresses);
            }
        }
    }

    fn take_answers(&mut self) {
        while let Ok(answer) = self.answers.try_recv() {
            let Answer::Found { id, details, is_final } = answer else { continue };
            let runtime = details.runtime;
            let stranger = lock(&self.table).resolve(&id, details.clone(), is_final);
            if let Some(pid) = stranger {
                self.adopt(&id, runtime, pid, details);
            }
        }
    }

    /// Adds a container whose cgroup does not bear its id: `ctr` accepts any name.
    fn adopt(
        &self,
        id: &str,
        runtime: Option<tcprst_schema::container::Runtime>,
        pid: u32,
        details: tcprst_schema::container::Details,
    ) {
        let Some(path) = scan::paths_of(pid).into_iter().next() else { return };
        // A cgroup whose name lacks the id may be shared, such as the cgroup of the runtime's
        // service.
        let root = self.hierarchy.root().filter(|_| path.contains(id));
        let cgroup = root.and_then(|root| scan::id_of(root, &path));
        let Some(netns) = netns::for_process(pid) else { return };
        let addresses = container_addresses(pid, netns);
        let mut table = lock(&self.table);
        table.adopt(id, runtime, cgroup, &path, self.scanned_ns);
        table.lives_in(id, ProcessPlace { pid, netns, mntns: None, is_inside: true });
        table.resolve(id, details, true);
        add_addresses(&mut table, id, addresses);
    }

    fn ask(&self) {
        for place in lock(&self.table).questions() {
            self.resolver.ask(Query { runtime: place.runtime, id: place.id });
        }
    }

    fn scan_again(&mut self) {
        let lost = self.lives.lost();
        let has_lost = lost > self.lost;
        if has_lost {
            // Remembered until a scan may run.
            self.lost = lost;
            self.is_stale.store(true, Ordering::Relaxed);
        }
        if self.is_stale.load(Ordering::Relaxed) && self.scanned.elapsed() >= MIN_SCAN_INTERVAL {
            self.is_stale.store(false, Ordering::Relaxed);
            self.scan();
        }
    }

    /// Ends containers without a cgroup v2 when their process is gone.
    fn end_without_cgroup(&mut self) {
        if self.looked.elapsed() < RESCAN_INTERVAL {
            return;
        }
        self.looked = Instant::now();
        let lives = lock(&self.table).without_cgroup();
        for (id, pid, netns) in lives {
            if netns::inode(pid) != Some(netns.inode) {
                let now = Clock::now().map_or(self.scanned_ns, |clock| clock.boot_ns());
                lock(&self.table).end(&id, now);
            }
        }
    }

    /// Scans every cgroup, and one process of each network namespace.
    fn scan(&mut self) {
        // A container found now started after the last scan.
        let since = self.scanned_ns;
        let now = Clock::now().map_or(since, |clock| clock.boot_ns());
        if let Some(root) = self.hierarchy.root() {
            let cgroups = scan::cgroups(root);
            let mut table = lock(&self.table);
            // First, because a container restarted since then has two cgroups; the old one is gone.
            table.keep_only(&cgroups, now);
            for (id, path) in &cgroups {
                table.made(*id, path, since);
            }
        }
        for pid in scan::processes() {
            let paths = scan::paths_of(pid);
            let known = lock(&self.table).container_of_process(&paths, since);
            let Some(id) = known else { continue };
            if lock(&self.table).get(&id).is_some_and(|life| life.netns.is_none())
                && let Some(netns) = netns::for_process(pid)
            {
                let addresses = container_addresses(pid, netns);
                let mut table = lock(&self.table);
                let mntns = netns::mount_namespace(pid);
                table.lives_in(&id, ProcessPlace { pid, netns, mntns, is_inside: true });
                add_addresses(&mut table, &id, addresses);
            }
        }
        (self.scanned, self.scanned_ns) = (Instant::now(), now);
    }
}

/// Addresses of a container's namespace that the host does not have as well: rootless Podman gives
/// its containers the host's address. The host's own table is not read, since a router's may be
/// huge.
fn container_addresses(pid: u32, netns: netns::NetnsId) -> Vec<IpAddr> {
    if netns.inode == netns::host() {
        return Vec::new();
    }
    let of_host = netns::own_addresses();
    let mut addresses = netns::addresses(pid);
    addresses.retain(|address| !of_host.contains(address));
    addresses
}

/// Adds addresses to a container, unless it is in the host's network namespace.
fn add_addresses(table: &mut LifeTable, id: &str, addresses: Vec<IpAddr>) {
    let on_host = |netns: netns::NetnsId| netns.inode == netns::host();
    if table.get(id).and_then(|life| life.netns).is_some_and(|netns| !on_host(netns)) {
        table.add_addresses(id, addresses);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_that_was_asked_for_is_waited_for() {
        let (waker, alarm) = wake::pair().expect("two sockets");
        let rounds = Arc::new(Rounds::default());
        let is_over = Arc::new(AtomicBool::new(false));
        let began = Arc::new(Mutex::new(0));
        let thread = thread::spawn({
            let (rounds, is_over) = (Arc::clone(&rounds), Arc::clone(&is_over));
            let began = Arc::clone(&began);
            move || {
                while !is_over.load(Ordering::Acquire) {
                    let asked = rounds.asked();
                    *began.lock().expect("locked") = asked;
                    rounds.finish(asked);
                    alarm.sleep(Duration::from_secs(60));
                    alarm.take();
                }
            }
        });
        for asked in 1..=100 {
            rounds.wait(&waker);
            assert_eq!(*began.lock().expect("locked"), asked, "a round began after the question");
        }
        is_over.store(true, Ordering::Release);
        waker.wake();
        thread.join().expect("it ends");
        // A thread that is gone costs a moment, not the recording.
        rounds.wait(&waker);
    }
}
