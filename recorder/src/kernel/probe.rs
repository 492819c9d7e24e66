//! Loads the kernel half and attaches it; gives access to its rings and counters.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use aya::maps::{Array, Map, MapData, PerCpuArray, PerCpuHashMap, RingBuf};
use aya::programs::Program;
use aya::{Ebpf, EbpfLoader};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use tcprst_schema::footer::SiteStatus;
use tcprst_schema::hook::{ACCEPT_HOOKS, Attach, Direction, HOOKS, Hook, LIFE_HOOKS, STATE_HOOK};
use tcprst_schema::implied::Shape;
use tcprst_schema::layout::KernelLayout;
use tcprst_schema::wire::{CpuTotals, LostKey, StormKey};
use zerocopy::{FromBytes, IntoBytes};

use crate::error::{Error, Result};
use crate::kernel::attach::{Attached, Attacher};
use crate::kernel::programs::Programs;
use crate::kernel::rings::{RingMaps, RingMemory, Rings, possible_cpus};
use crate::kernel::sizes;
use crate::kernel::tracefs::{self, Tracefs};
use crate::memory;
use crate::stderr::say;

/// The kernel half as it is built and committed, so that a build needs no BPF toolchain.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../ebpf/prebuilt/tcprst.bpf.o");

/// Bytes of the ring for container lives: it holds 230 of them, more than a host starts between two
/// drains.
const LIVES_BYTES: u32 = 128 * 1024;

/// The ring for container lives.
pub(crate) struct Lives {
    pub(crate) ring: RingBuf<MapData>,
    lost: PerCpuArray<MapData, u64>,
}

impl std::fmt::Debug for Lives {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lives").finish_non_exhaustive()
    }
}

impl Lives {
    /// Lives that did not fit into the ring, since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.get(&0, 0).map_or(0, |values| values.iter().sum())
    }
}

/// Hooks for the owners of sockets and containers, or the reasons why they failed.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub(crate) struct OwnerHooks {
    /// Hook for accepted connections; `None` with `--socket-owner=off`.
    pub(crate) accept: Option<Result<String, String>>,
    /// Failed hooks, each with its reason: without them less is known about containers.
    pub(crate) missing: Vec<String>,
}

/// The loaded programs. They run until the probe is dropped or detached.
#[derive(Debug)]
pub(crate) struct Probe {
    ebpf: Ebpf,
    probes: Vec<tracefs::Probe>,
    sites: Vec<SiteStatus>,
}

/// Counts of storms by [`StormKey`].
type StormMap = PerCpuHashMap<MapData, [u64; size_of::<StormKey>() / 8], u64>;

/// Counters of the kernel half; they outlive the programs.
pub(crate) struct Counters {
    totals: PerCpuArray<MapData, [u64; 3]>,
    implied: Array<MapData, u32>,
    lost: PerCpuHashMap<MapData, [u64; size_of::<LostKey>() / 8], u64>,
    counted: StormMap,
    /// Where that is full: counts of several ports together.
    counted_rest: Option<StormMap>,
    programs: Vec<OwnedFd>,
    /// Names of our kprobe events.
    events: Vec<&'static str>,
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counters").field("programs", &self.programs).finish_non_exhaustive()
    }
}

/// The parts of a loaded kernel half.
pub(crate) struct Loaded {
    pub(crate) probe: Probe,
    pub(crate) rings: Rings,
    pub(crate) counters: Counters,
    pub(crate) lives: Lives,
    pub(crate) owner_hooks: OwnerHooks,
    /// Names of BPF programs; it knows which are ours.
    pub(crate) programs: Programs,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("probe", &self.probe).finish_non_exhaustive()
    }
}

/// Loads the object with `layout` and rings of `memory`, and attaches it to the sites of these
/// directions. `release` is the kernel's release.
pub(crate) fn load(
    layout: &KernelLayout,
    memory: RingMemory,
    directions: &[Direction],
    release: &str,
) -> Result<Loaded> {
    // Before 5.11 maps count against RLIMIT_MEMLOCK. Root without CAP_SYS_RESOURCE may not raise it
    // and, on newer kernels, need not: a refusal is not an error.
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    let cpus = possible_cpus()?;
    let mut loader = EbpfLoader::new();
    loader
        // Our object has no relocations, and the kernel's types are large.
        .btf(None)
        .override_global("LAYOUT", layout.as_bytes(), true)
        .map_max_entries("RINGS", cpus)
        .map_max_entries("LIVES", LIVES_BYTES);
    loader
        .map_max_entries("SOCKETS", sizes::buckets(layout.socket_shift))
        .map_max_entries("FLOWS", sizes::buckets(layout.flow_shift))
        .map_max_entries("LISTENERS", sizes::lru_entries(cpus))
        .map_max_entries("BEGUN", sizes::lru_entries(cpus));
    let mut ebpf = loader.load(OBJECT).map_err(load_error)?;
    let rings = RingMaps::make(ebpf.map_mut("RINGS"), memory)?;
    let totals = take(&mut ebpf, "TOTALS")?;
    let totals = PerCpuArray::try_from(totals).map_err(map_error("TOTALS"))?;
    let implied = take(&mut ebpf, "IMPLIED")?;
    let implied = Array::try_from(implied).map_err(map_error("IMPLIED"))?;
    let lost = take(&mut ebpf, "LOST")?;
    let lost = PerCpuHashMap::try_from(lost).map_err(map_error("LOST"))?;
    let counted = take(&mut ebpf, "COUNTED")?;
    let counted = PerCpuHashMap::try_from(counted).map_err(map_error("COUNTED"))?;
    let counted_rest = ebpf.take_map("COUNTED_REST").map(PerCpuHashMap::try_from).transpose();
    let counted_rest = counted_rest.map_err(map_error("COUNTED_REST"))?;
    let ring = RingBuf::try_from(take(&mut ebpf, "LIVES")?).map_err(map_error("LIVES"))?;
    let lives_lost = take(&mut ebpf, "LIVES_LOST")?;
    let lives_lost = PerCpuArray::try_from(lives_lost).map_err(map_error("LIVES_LOST"))?;
    let lives = Lives { ring, lost: lives_lost };

    // State hook first, so that no reset is recorded without its state.
    let mut attacher = Attacher::new(&mut ebpf, release);
    if let Err(reason) = attacher.attach(&STATE_HOOK) {
        say!("the state before a reset is not seen: {reason}");
    }
    let owner_hooks = attach_owners(&mut attacher, layout);
    let Attached { sites, probes } = attacher.sites(layout, directions);
    if sites.iter().all(|site| site.hook.is_none()) {
        return Err(Error::NoHook);
    }
    let programs = program_fds(&ebpf);
    let events = probes.iter().map(tracefs::Probe::name).collect();
    // The loader's copies of the object and of the kernel's types.
    memory::trim();
    let rings = rings.map()?;
    Ok(Loaded {
        programs: Programs::new(&programs),
        probe: Probe { ebpf, probes, sites },
        rings,
        counters: Counters { totals, implied, lost, counted, counted_rest, programs, events },
        lives,
        owner_hooks,
    })
}

/// Attaches the owner hooks, before the reset hooks, so that no reset is recorded without its
/// owner.
fn attach_owners(attacher: &mut Attacher<'_>, layout: &KernelLayout) -> OwnerHooks {
    let mut hooks = OwnerHooks::default();
    let with_reason = |hook: &str, reason: String| format!("{hook}: {reason}");
    for hook in LIFE_HOOKS {
        if let Err(reason) = attacher.attach(hook) {
            hooks.missing.push(with_reason(hook.target, reason));
        }
    }
    if layout.socket_owner != 0 {
        let is_safe = |hook: &&Hook| hook.attach != Attach::Fexit || layout.accept_return != 0;
        let accept = attacher.first(ACCEPT_HOOKS.iter().filter(is_safe));
        hooks.accept = Some(accept.map(|hook| format!("{} {}", hook.attach.name(), hook.target)));
    }
    hooks
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map> {
    ebpf.take_map(name).ok_or(Error::Missing(name))
}

fn map_error(name: &'static str) -> impl Fn(aya::maps::MapError) -> Error {
    move |source| Error::Map { name, source }
}

/// Reports missing permission as such, whatever aya was doing.
fn load_error(error: aya::EbpfError) -> Error {
    if is_permission(&error) { Error::NotPermitted } else { Error::Load(Box::new(error)) }
}

fn is_permission(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
    })
}

fn program_fds(ebpf: &Ebpf) -> Vec<OwnedFd> {
    let names = HOOKS.iter().map(|hook| hook.program);
    names
        .filter_map(|name| {
            let fd = match ebpf.program(name)? {
                Program::RawTracePoint(program) => program.fd().ok()?,
                Program::BtfTracePoint(program) => program.fd().ok()?,
                Program::FEntry(program) => program.fd().ok()?,
                Program::FExit(program) => program.fd().ok()?,
                Program::KProbe(program) => program.fd().ok()?,
                _ => return None,
            };
            fd.as_fd().try_clone_to_owned().ok()
        })
        .collect()
}

impl Probe {
    /// Every RST site and the hook that sees it.
    pub(crate) fn sites(&self) -> &[SiteStatus] {
        &self.sites
    }

    /// Detaches the programs from the kernel. Events in the rings stay there.
    pub(crate) fn detach(self) {
        drop(self.probes);
        drop(self.ebpf);
    }
}

impl Counters {
    /// Resets seen, lost and counted, by CPU.
    pub(crate) fn totals(&self) -> Result<Vec<CpuTotals>> {
        let values = self.totals.get(&0, 0).map_err(map_error("TOTALS"))?;
        let totals = |[seen, lost, counted]: &[u64; 3]| CpuTotals {
            seen: *seen,
            lost: *lost,
            counted: *counted,
        };
        Ok(values.iter().map(totals).collect())
    }

    /// Keyed losses since the start, summed over all CPUs.
    pub(crate) fn lost(&self) -> Result<Vec<(LostKey, u64)>> {
        self.lost
            .iter()
            .map(|entry| {
                let (key, values) = entry.map_err(map_error("LOST"))?;
                let key = LostKey::read_from_bytes(key.as_bytes())
                    .map_err(|_| Error::Missing("the key of LOST"))?;
                Ok((key, values.iter().sum()))
            })
            .collect()
    }

    /// Forgets a key to make room for others. Losses counted in between stay in the totals.
    pub(crate) fn forget(&mut self, key: &LostKey) {
        if let Ok(key) = <[u64; size_of::<LostKey>() / 8]>::read_from_bytes(key.as_bytes()) {
            let _ = self.lost.remove(&key);
        }
    }

    /// What the reason of that number implies from now on.
    pub(crate) fn imply(&mut self, reason: u32, shape: Option<Shape>) -> Result<()> {
        let shape = shape.map_or(0, |shape| shape as u32);
        self.implied.set(reason, shape, 0).map_err(map_error("IMPLIED"))
    }

    /// Resets of storms since the start, under each key, CPU by CPU. A key can be there twice.
    pub(crate) fn counted(&self) -> Result<Vec<(StormKey, Vec<u64>)>> {
        let maps = std::iter::once(&self.counted).chain(&self.counted_rest);
        maps.flat_map(PerCpuHashMap::iter)
            .map(|entry| {
                let (key, values) = entry.map_err(map_error("COUNTED"))?;
                let key = StormKey::read_from_bytes(key.as_bytes())
                    .map_err(|_| Error::Missing("the key of COUNTED"))?;
                Ok((key, values.iter().copied().collect()))
            })
            .collect()
    }

    /// Forgets a key of storms to make room for others, and returns whether it did.
    pub(crate) fn forget_storm(&mut self, key: &StormKey) -> bool {
        <[u64; size_of::<StormKey>() / 8]>::read_from_bytes(key.as_bytes())
            .is_ok_and(|key| self.counted.remove(&key).is_ok())
    }

    /// How often the kernel refused to run one of our programs because one was already running on
    /// that CPU. No other hook sees such a reset, so it counts as lost. The kernel counts this for
    /// raw tracepoints and fentry since 6.1; for kprobes tracefs counts it while they are attached;
    /// where another program blocked a kprobe's, the kernel counts it since 6.7.
    pub(crate) fn recursion_misses(&self) -> u64 {
        let passed_over = match Tracefs::find() {
            Ok(tracefs) if !self.events.is_empty() => tracefs.missed(&self.events),
            _ => 0,
        };
        let refused: u64 = self
            .programs
            .iter()
            .filter_map(|fd| {
                let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()));
                let info = info.ok()?;
                let line = info.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?;
                line.trim().parse::<u64>().ok()
            })
            .sum();
        passed_over + refused
    }
}
