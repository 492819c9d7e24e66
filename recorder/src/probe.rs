//! Loads the kernel half and attaches, for each RST site, the best hook that this kernel accepts.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use aya::maps::{ArrayOfMaps, Map, MapData, PerCpuArray, PerCpuHashMap, RingBuf};
use aya::programs::{FEntry, KProbe, Program, ProgramError, RawTracePoint};
use aya::{Btf, Ebpf, EbpfLoader};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use tcprst_schema::footer::SiteStatus;
use tcprst_schema::hook::{Attach, HOOKS, Hook, Needs, SITES, STATE_HOOK, Site};
use tcprst_schema::layout::KernelLayout;
use tcprst_schema::wire::{CpuTotals, LostKey};
use zerocopy::{FromBytes, IntoBytes};

use crate::error::{Error, Result};
use crate::say;

/// The kernel half as it is built and committed, so that a build needs no BPF toolchain.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../ebpf/prebuilt/tcprst.bpf.o");

/// Ring buffers, one for each possible CPU.
pub type Rings = Vec<RingBuf<MapData>>;

/// The loaded programs. They run until it is dropped or detached.
#[derive(Debug)]
pub struct Probe {
    ebpf: Ebpf,
    sites: Vec<SiteStatus>,
}

/// Accounts of the kernel half; they outlive the programs.
pub struct Counters {
    totals: PerCpuArray<MapData, [u64; 2]>,
    lost: PerCpuHashMap<MapData, [u64; size_of::<LostKey>() / 8], u64>,
    programs: Vec<OwnedFd>,
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counters").field("programs", &self.programs).finish_non_exhaustive()
    }
}

/// Everything that a loaded kernel half gives.
pub struct Loaded {
    pub probe: Probe,
    pub rings: Rings,
    pub counters: Counters,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("probe", &self.probe).finish_non_exhaustive()
    }
}

/// Loads the object with `layout` and rings of `ring_bytes` each, and attaches it.
pub fn load(layout: &KernelLayout, ring_bytes: u32) -> Result<Loaded> {
    // Before 5.11 maps count against RLIMIT_MEMLOCK. Root without CAP_SYS_RESOURCE may not
    // raise it and, on newer kernels, need not: so a refusal is no failure.
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    let cpus = possible_cpus()?;
    let mut ebpf = EbpfLoader::new()
        .override_global("LAYOUT", layout.as_bytes(), true)
        .map_max_entries("RINGS", cpus)
        .load(OBJECT)
        .map_err(load_error)?;
    let rings = make_rings(&mut ebpf, cpus, ring_bytes)?;
    let totals = take(&mut ebpf, "TOTALS")?;
    let totals = PerCpuArray::try_from(totals).map_err(map_error("TOTALS"))?;
    let lost = take(&mut ebpf, "LOST")?;
    let lost = PerCpuHashMap::try_from(lost).map_err(map_error("LOST"))?;

    // The states first, so that no reset is seen without them.
    let state_hook = attach(&mut ebpf, &STATE_HOOK);
    let sites = attach_sites(&mut ebpf, layout);
    let programs = program_fds(&ebpf);
    if let Err(reason) = state_hook {
        say!("the state before a reset is not seen: {reason}");
    }
    if sites.iter().all(|site| site.hook.is_none()) {
        return Err(Error::NoHook);
    }
    Ok(Loaded {
        probe: Probe { ebpf, sites },
        rings,
        counters: Counters { totals, lost, programs },
    })
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

/// A refusal for want of rights is told as such, whatever aya was doing.
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

/// Takes the hooks in their order; each site keeps the first that works, and why the others
/// did not where none does.
fn attach_sites(ebpf: &mut Ebpf, layout: &KernelLayout) -> Vec<SiteStatus> {
    let mut taken: Vec<(Site, &Hook)> = Vec::new();
    let mut refused: Vec<(&Hook, String)> = Vec::new();
    for hook in HOOKS {
        let is_taken = |site: &Site| taken.iter().any(|(done, _)| done == site);
        if hook.sites.iter().all(is_taken) {
            continue;
        }
        let outcome = match hook.needs {
            Needs::TracepointReason if layout.tracepoint_reason == 0 => {
                Err("blind to resets without a socket before 6.10".to_owned())
            }
            _ => attach(ebpf, hook),
        };
        match outcome {
            Ok(()) => taken.extend(hook.sites.iter().map(|site| (*site, hook))),
            Err(reason) => refused.push((hook, reason)),
        }
    }
    SITES
        .iter()
        .map(|info| {
            let hook = taken.iter().find(|(site, _)| *site == info.site).map(|(_, hook)| *hook);
            let reasons: Vec<String> = refused
                .iter()
                .filter(|(hook, _)| hook.sites.contains(&info.site))
                .map(|(hook, reason)| format!("{}: {reason}", hook.attach.name()))
                .collect();
            SiteStatus {
                site: info.function.to_owned(),
                hook: hook.map(|hook| hook.attach.name().to_owned()),
                detail: match hook {
                    Some(hook) => hook.target.to_owned(),
                    None if reasons.is_empty() => {
                        "netfilter resets are not recorded by this version".to_owned()
                    }
                    None => reasons.join("; "),
                },
            }
        })
        .collect()
}

fn attach(ebpf: &mut Ebpf, hook: &Hook) -> Result<(), String> {
    let program = ebpf.program_mut(hook.program).ok_or("not in the object")?;
    attach_program(program, hook).map_err(|error| root_cause(error.as_ref()))
}

fn attach_program(program: &mut Program, hook: &Hook) -> Result<(), Box<dyn std::error::Error>> {
    match hook.attach {
        Attach::RawTracepoint => {
            let program: &mut RawTracePoint = program.try_into()?;
            program.load()?;
            program.attach(hook.target)?;
        }
        Attach::Fentry => {
            let program: &mut FEntry = program.try_into()?;
            program.load(hook.target, &Btf::from_sys_fs()?)?;
            program.attach()?;
        }
        Attach::Kprobe => {
            let program: &mut KProbe = program.try_into()?;
            program.load()?;
            program.attach(hook.target, 0)?;
        }
    }
    Ok(())
}

/// The innermost error in one line: aya wraps the kernel's answer in several layers. Of the
/// verifier's pages, the last line says why.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut root = error;
    loop {
        if let Some(ProgramError::LoadError { io_error, verifier_log }) = root.downcast_ref() {
            let log = verifier_log.to_string();
            let is_verdict = |line: &&str| !line.is_empty() && !line.starts_with("processed ");
            return match log.lines().rev().map(str::trim).find(is_verdict) {
                Some(verdict) => format!("{io_error}: {verdict}"),
                None => io_error.to_string(),
            };
        }
        match root.source() {
            Some(source) => root = source,
            None => return root.to_string().lines().next().unwrap_or_default().to_owned(),
        }
    }
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
    /// Every RST site and what sees it.
    pub fn sites(&self) -> &[SiteStatus] {
        &self.sites
    }

    /// Takes the programs off the kernel. What they have put into the rings stays there.
    pub fn detach(self) {
        drop(self.ebpf);
    }
}

impl Counters {
    /// Seen and lost, by CPU.
    pub fn totals(&self) -> Result<Vec<CpuTotals>> {
        let values = self.totals.get(&0, 0).map_err(map_error("TOTALS"))?;
        Ok(values.iter().map(|[seen, lost]| CpuTotals { seen: *seen, lost: *lost }).collect())
    }

    /// Keyed losses since the start, all CPUs together.
    pub fn lost(&self) -> Result<Vec<(LostKey, u64)>> {
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

    /// Forgets a key, so that others find room. Losses counted in between stay in the totals.
    pub fn forget(&mut self, key: &LostKey) {
        if let Ok(key) = <[u64; size_of::<LostKey>() / 8]>::read_from_bytes(key.as_bytes()) {
            let _ = self.lost.remove(&key);
        }
    }

    /// How often the kernel refused to run one of our programs because it was running on that
    /// CPU already (since 6.1). Such a reset is seen by nobody else, so it counts as lost.
    pub fn recursion_misses(&self) -> u64 {
        self.programs
            .iter()
            .filter_map(|fd| {
                let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()));
                let info = info.ok()?;
                let line = info.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?;
                line.trim().parse::<u64>().ok()
            })
            .sum()
    }
}
