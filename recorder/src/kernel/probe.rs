//! Loads the kernel half and attaches it; gives access to its rings and counters.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use aya::maps::{ArrayOfMaps, Map, MapData, PerCpuArray, PerCpuHashMap, RingBuf};
use aya::programs::Program;
use aya::{Ebpf, EbpfLoader};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use tcprst_schema::footer::SiteStatus;
use tcprst_schema::hook::{
    ACCEPT_HOOKS, Attach, Direction, FORGET_HOOK, HOOKS, Hook, LIFE_HOOKS, STATE_HOOK,
};
use tcprst_schema::layout::KernelLayout;
use tcprst_schema::wire::{CpuTotals, LostKey, StormKey};
use zerocopy::{FromBytes, IntoBytes};

use crate::error::{Error, Result};
use crate::kernel::attach::{Attached, Attacher};
use crate::kernel::tracefs::{self, Tracefs};
use crate::stderr::say;

/// The kernel half as it is built and committed, so that a build needs no BPF toolchain.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../ebpf/prebuilt/tcprst.bpf.o");

/// Ring buffers, one for each possible CPU.
pub(crate) type Rings = Vec<RingBuf<MapData>>;

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
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("probe", &self.probe).finish_non_exhaustive()
    }
}

/// Loads the object with `layout` and rings of `ring_bytes` each, and attaches it to the sites of
/// these directions. `release` is the kernel's release.
pub(crate) fn load(
    layout: &KernelLayout,
    ring_bytes: u32,
    directions: &[Direction],
    release: &str,
) -> Result<Loaded> {
    // Before 5.11 maps count against RLIMIT_MEMLOCK. Root without CAP_SYS_RESOURCE may not raise it
    // and, on newer kernels, need not: a refusal is not an error.
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    let cpus = possible_cpus()?;
    let mut loader = EbpfLoader::new();
    loader
        .override_global("LAYOUT", layout.as_bytes(), true)
        .map_max_entries("RINGS", cpus)
        .map_max_entries("LIVES", LIVES_BYTES);
    if layout.socket_owner == 0 {
        for map in ["OWNERS", "LISTENERS", "TIMEWAIT"] {
            // An LRU map needs at least one entry for each CPU.
            loader.map_max_entries(map, cpus);
        }
    }
    let mut ebpf = loader.load(OBJECT).map_err(load_error)?;
    let rings = make_rings(&mut ebpf, cpus, ring_bytes)?;
    let totals = take(&mut ebpf, "TOTALS")?;
    let totals = PerCpuArray::try_from(totals).map_err(map_error("TOTALS"))?;
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
    Ok(Loaded {
        probe: Probe { ebpf, probes, sites },
        rings,
        counters: Counters { totals, lost, counted, counted_rest, programs, events },
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
        if let Err(reason) = attacher.attach(&FORGET_HOOK) {
            hooks.missing.push(with_reason(FORGET_HOOK.target, reason));
        }
        let is_safe = |hook: &&Hook| hook.attach != Attach::Fexit || layout.accept_return != 0;
        let accept = attacher.first(ACCEPT_HOOKS.iter().filter(is_safe));
        hooks.accept = Some(accept.map(|hook| format!("{} {}", hook.attach.name(), hook.target)));
    }
    hooks
}

fn possible_cpus() -> Result<u32> {
    aya::util::nr_cpus()
        .map(|cpus| cpus as u32)
        .map_err(|(_, source)| Error::System("count the CPUs", source))
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

fn make_rings(ebpf: &mut Ebpf, cpus: u32, ring_bytes: u32) -> Result<Rings> {
    const NAME: &str = "RINGS";
    let error = map_error(NAME);
    let outer = ebpf.map_mut(NAME).ok_or(Error::Missing(NAME))?;
    let mut outer = ArrayOfMaps::<_, MapData>::try_from(outer).map_err(&error)?;
    (0..cpus)
        .map(|cpu| {
            const RINGBUF: u32 = aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_RINGBUF as u32;
            let inner = aya_obj::Map::new_from_params(RINGBUF, 0, 0, ring_bytes, 0);
            let inner = MapData::create(inner, "tcprst_ring", None).map_err(&error)?;
            outer.set(cpu, &inner, 0).map_err(&error)?;
            RingBuf::try_from(Map::RingBuf(inner)).map_err(&error)
        })
        .collect()
}

fn program_fds(ebpf: &Ebpf) -> Vec<OwnedFd> {
    let names = HOOKS.iter().map(|hook| hook.program);
    names
        .filter_map(|name| {
            let fd = match ebpf.program(name)? {
                Program::RawTracePoint(program) => program.fd().ok()?,
                Program::FEntry(program) => program.fd().ok()?,
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
