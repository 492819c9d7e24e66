//! Attaches, for each site, the best hook that this kernel accepts, and says why.

use std::cell::OnceCell;
use std::os::fd::AsFd;
use std::path::Path;

use aya::programs::{BtfTracePoint, FEntry, FExit, KProbe, Program, ProgramError, RawTracePoint};
use aya::{Btf, Ebpf};
use tcprst_schema::footer::SiteStatus;
use tcprst_schema::hook::{Attach, Direction, HOOKS, Hook, Needs, SITES, Site, SiteInfo};
use tcprst_schema::layout::KernelLayout;

use crate::kernel::locate::{FunctionPlace, Functions};
use crate::kernel::proc::KPROBE_PMU;
use crate::kernel::tracefs::{self, Tracefs};

const NO_KPROBES: &str = "this kernel has no kprobes (CONFIG_KPROBES)";

/// Attaches programs and keeps what must live as long as they run.
#[derive(Debug)]
pub(crate) struct Attacher<'a> {
    ebpf: &'a mut Ebpf,
    functions: Functions,
    /// The kernel's types; parsed if a program needs them, which takes 17 MB for as long.
    btf: OnceCell<Btf>,
    tracefs: Result<Tracefs, String>,
    probes: Vec<tracefs::Probe>,
}

/// The hook of each requested site, or the reasons why it has none.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) sites: Vec<SiteStatus>,
    pub(crate) probes: Vec<tracefs::Probe>,
}

/// A hook that was attached; it may wait for a module.
struct Taken {
    hook: &'static Hook,
    waiting: Option<&'static str>,
}

impl<'a> Attacher<'a> {
    pub(crate) fn new(ebpf: &'a mut Ebpf, release: &str) -> Self {
        let functions = Functions::read(release);
        let btf = OnceCell::new();
        Self { ebpf, functions, btf, tracefs: Tracefs::find(), probes: Vec::new() }
    }

    /// Attaches the hooks in their order. Each site keeps the first that works, and the reasons why
    /// those before it failed.
    pub(crate) fn sites(mut self, layout: &KernelLayout, directions: &[Direction]) -> Attached {
        let wanted: Vec<&SiteInfo> =
            SITES.iter().filter(|info| directions.contains(&info.direction)).collect();
        let mut taken: Vec<Taken> = Vec::new();
        let mut refused: Vec<(&Hook, String)> = Vec::new();
        for hook in HOOKS {
            let is_open = |site: &Site| {
                wanted.iter().any(|info| info.site == *site)
                    && !taken.iter().any(|done| done.hook.sites.contains(site))
            };
            let is_beside_the_point =
                hook.needs == Needs::OwnReject && self.functions.has_shared_reject(hook);
            if is_beside_the_point || !hook.sites.iter().any(is_open) {
                continue;
            }
            match self.meets(hook, layout).and_then(|()| self.attach(hook)) {
                Ok(waiting) => taken.push(Taken { hook, waiting }),
                Err(reason) => refused.push((hook, reason)),
            }
        }
        let sites = wanted.into_iter().map(|info| status(info, &taken, &refused)).collect();
        Attached { sites, probes: self.probes }
    }

    /// Attaches the first of several hooks that works, or returns the reasons why none does.
    pub(crate) fn first(
        &mut self,
        hooks: impl Iterator<Item = &'static Hook>,
    ) -> Result<&'static Hook, String> {
        let mut refused = Vec::new();
        for hook in hooks {
            match self.attach(hook) {
                Ok(_) => return Ok(hook),
                Err(reason) => {
                    refused.push(format!("{} {}: {reason}", hook.attach.name(), hook.target));
                }
            }
        }
        Err(refused.join("; "))
    }

    /// Whether the kernel has what the hook needs to see all resets of its sites.
    fn meets(&self, hook: &Hook, layout: &KernelLayout) -> Result<(), String> {
        let missing = match hook.needs {
            Needs::Nothing | Needs::OwnReject => return Ok(()),
            Needs::TracepointReason if layout.tracepoint_reason != 0 => return Ok(()),
            Needs::SharedReject if self.functions.has_shared_reject(hook) => return Ok(()),
            Needs::TracepointReason => "blind to resets without a socket before 6.10",
            Needs::SharedReject => "not in this kernel (5.11)",
        };
        Err(missing.to_owned())
    }

    /// Attaches one program; returns the module that it waits for, if any.
    pub(crate) fn attach(&mut self, hook: &'static Hook) -> Result<Option<&'static str>, String> {
        let place = self.functions.place(hook);
        let program = self.ebpf.program_mut(hook.program).ok_or("not in the object")?;
        let attach = match hook.attach {
            Attach::RawTracepoint => raw_tracepoint(program, hook),
            Attach::BtfTracepoint => btf_tracepoint(program, hook, &self.btf),
            Attach::Fentry | Attach::Fexit | Attach::Kretprobe if place != FunctionPlace::Image => {
                return Err("this hook works only for functions of the kernel image".to_owned());
            }
            Attach::Fentry => fentry(program, hook, &self.btf),
            Attach::Fexit => fexit(program, hook, &self.btf),
            Attach::Kretprobe => kretprobe(program, hook),
            Attach::Kprobe => return self.kprobe(hook, &place),
        };
        attach.map(|()| None).map_err(|error| root_cause(error.as_ref()))
    }

    /// Attaches a kprobe. Functions of the image need no tracefs if the perf subsystem can create
    /// kprobes, but then the kernel does not report how many calls it skipped.
    fn kprobe(
        &mut self,
        hook: &'static Hook,
        place: &FunctionPlace,
    ) -> Result<Option<&'static str>, String> {
        let (symbol, waiting) = match place {
            FunctionPlace::Image => (hook.target.to_owned(), None),
            FunctionPlace::Loaded(module) => (format!("{module}:{}", hook.target), None),
            FunctionPlace::Awaited(module) => (format!("{module}:{}", hook.target), Some(*module)),
            FunctionPlace::Nowhere => return Err("this kernel has no such function".to_owned()),
        };
        let program = self.ebpf.program_mut(hook.program).ok_or("not in the object")?;
        let in_words = |error: Box<dyn std::error::Error>| root_cause(error.as_ref());
        let program = load_kprobe(program).map_err(in_words)?;
        match &self.tracefs {
            Ok(tracefs) => {
                let fd = program.fd().map_err(|error| in_words(error.into()))?;
                let probe = tracefs.attach(hook.program, &symbol, fd.as_fd());
                self.probes.push(probe.map_err(|error| error.to_string())?);
            }
            Err(_) if *place == FunctionPlace::Image && Path::new(KPROBE_PMU).exists() => {
                program.attach(hook.target, 0).map_err(|error| in_words(error.into()))?;
            }
            Err(missing) if Path::new(KPROBE_PMU).exists() => return Err(missing.clone()),
            Err(_) => return Err(NO_KPROBES.to_owned()),
        }
        Ok(waiting)
    }
}

type AttachResult<T> = Result<T, Box<dyn std::error::Error>>;

fn raw_tracepoint(program: &mut Program, hook: &Hook) -> AttachResult<()> {
    let program: &mut RawTracePoint = program.try_into()?;
    program.load()?;
    program.attach(hook.target)?;
    Ok(())
}

fn types(cell: &OnceCell<Btf>) -> AttachResult<&Btf> {
    match cell.get() {
        Some(btf) => Ok(btf),
        None => {
            let btf = Btf::from_sys_fs()?;
            Ok(cell.get_or_init(|| btf))
        }
    }
}

fn btf_tracepoint(program: &mut Program, hook: &Hook, btf: &OnceCell<Btf>) -> AttachResult<()> {
    let program: &mut BtfTracePoint = program.try_into()?;
    program.load(hook.target, types(btf)?)?;
    program.attach()?;
    Ok(())
}

fn fentry(program: &mut Program, hook: &Hook, btf: &OnceCell<Btf>) -> AttachResult<()> {
    let program: &mut FEntry = program.try_into()?;
    program.load(hook.target, types(btf)?)?;
    program.attach()?;
    Ok(())
}

fn fexit(program: &mut Program, hook: &Hook, btf: &OnceCell<Btf>) -> AttachResult<()> {
    let program: &mut FExit = program.try_into()?;
    program.load(hook.target, types(btf)?)?;
    program.attach()?;
    Ok(())
}

/// Attaches through the perf subsystem, in the image only: a skipped call costs a name, not a
/// reset.
fn kretprobe(program: &mut Program, hook: &Hook) -> AttachResult<()> {
    if !Path::new(KPROBE_PMU).exists() {
        return Err(NO_KPROBES.into());
    }
    load_kprobe(program)?.attach(hook.target, 0)?;
    Ok(())
}

fn load_kprobe(program: &mut Program) -> AttachResult<&mut KProbe> {
    let program: &mut KProbe = program.try_into()?;
    program.load()?;
    Ok(program)
}

/// Describes what was attached to a site, or why nothing was.
fn status(info: &SiteInfo, taken: &[Taken], refused: &[(&Hook, String)]) -> SiteStatus {
    let taken = taken.iter().find(|taken| taken.hook.sites.contains(&info.site));
    let reasons: Vec<String> = refused
        .iter()
        .filter(|(hook, _)| hook.sites.contains(&info.site))
        .map(|(hook, reason)| format!("{} {}: {reason}", hook.attach.name(), hook.target))
        .collect();
    let site = info.function.to_owned();
    let direction = info.direction.name().to_owned();
    match taken {
        Some(Taken { hook, waiting }) => SiteStatus {
            site,
            direction,
            hook: Some(hook.attach.name().to_owned()),
            detail: hook.target.to_owned(),
            why: if reasons.is_empty() {
                hook.why.to_owned()
            } else {
                format!("{}; not {}", hook.why, reasons.join("; not "))
            },
            waiting: waiting.map(str::to_owned),
        },
        None => SiteStatus { site, direction, detail: reasons.join("; "), ..SiteStatus::default() },
    }
}

/// The innermost error in one line: aya wraps the kernel's error in several layers. From the
/// verifier's log only the last line is kept, which gives the reason.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut root = error;
    loop {
        if let Some(ProgramError::LoadError { io_error, verifier_log }) = root.downcast_ref() {
            let log = verifier_log.to_string();
            let is_verdict = |line: &&str| {
                let is_count = ["processed ", "stack depth ", "verification time "]
                    .iter()
                    .any(|start| line.starts_with(start));
                !line.is_empty() && !is_count
            };
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
