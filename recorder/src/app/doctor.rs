//! `doctor`: shows what this kernel and host can record. It loads and attaches every hook, as a
//! recording does, and detaches them again.

use std::io::{self, Write};

use serde::Serialize;
use tcprst_schema::footer::SiteStatus;
use tcprst_schema::hook::{Direction, SITES};

use crate::error::{Error, Result};
use crate::host::Host;
use crate::kernel::btf::{Kernel, Settings};
use crate::kernel::probe::{self, OwnerHooks};
use crate::kernel::proc::{BTF, KALLSYMS};
use crate::kernel::rings::RingMemory;
use crate::kernel::symbols::{SHOW_SYMBOLS, Symbols};
use crate::owner::netns;
use crate::owner::scan::Hierarchy;

/// The findings.
#[derive(Debug, Serialize)]
pub(crate) struct DoctorReport {
    host: String,
    kernel: String,
    /// Number of reset reasons in the kernel's BTF; 0 before 6.10.
    reasons: usize,
    /// Whether /proc/kallsyms shows addresses; without them every cause is `unknown`.
    symbols: bool,
    sites: Vec<SiteReport>,
    owners: OwnersReport,
}

/// What can be known about owners.
#[derive(Debug, Serialize)]
pub(crate) struct OwnersReport {
    /// `v2`, `hybrid` or `v1`.
    cgroups: &'static str,
    /// What that cgroup version means for containers.
    cgroups_note: &'static str,
    /// The hook that sees accepted connections; null if there is none.
    accept: Option<String>,
    /// Why there is no hook.
    accept_note: Option<String>,
    /// Hooks that failed: without them some owners are unknown.
    missing: Vec<String>,
}

impl OwnersReport {
    fn new(hierarchy: &Hierarchy, hooks: OwnerHooks) -> Self {
        let (cgroups, cgroups_note) = match hierarchy {
            Hierarchy::Unified(_) => ("v2", "the cgroup of a socket identifies its container"),
            Hierarchy::Hybrid(_) => (
                "hybrid",
                "the cgroup v2 of a socket identifies its container, if the runtime creates one \
                 (runc does; crun does not run on such hosts)",
            ),
            Hierarchy::Legacy => (
                "v1",
                "every socket has the same cgroup v2: containers are identified by their network \
                 namespaces alone; several in one namespace by their pod at most, those in the \
                 host's network not at all, and those that end within milliseconds perhaps not",
            ),
        };
        let (accept, accept_note) = match hooks.accept {
            Some(Ok(hook)) => (Some(hook), None),
            Some(Err(reason)) => (None, Some(reason)),
            None => (None, None),
        };
        Self { cgroups, cgroups_note, accept, accept_note, missing: hooks.missing }
    }

    fn text(&self) -> String {
        let mut text = format!("cgroups  {}: {}\n", self.cgroups, self.cgroups_note);
        text += &match (&self.accept, &self.accept_note) {
            (Some(hook), _) => {
                format!("accept   {hook}: shows which process accepts a connection\n")
            }
            (None, Some(why)) => format!(
                "accept   NOT seen: accepted connections are attributed to the listening process; \
                 {why}\n"
            ),
            (None, None) => String::new(),
        };
        for missing in &self.missing {
            text += &format!("NOT seen {missing}: some owners will be unknown\n");
        }
        text
    }
}

/// A site and the hook that sees it.
#[derive(Debug, Serialize)]
pub(crate) struct SiteReport {
    #[serde(flatten)]
    status: SiteStatus,
    /// The option that it needs to be recorded.
    option: Option<&'static str>,
}

fn option(status: &SiteStatus) -> Option<&'static str> {
    let info = SITES.iter().find(|info| info.function == status.site)?;
    info.direction.option()
}

/// Examines this host.
pub(crate) fn examine() -> Result<DoctorReport> {
    let host = Host::read()?;
    let kernel = Kernel::read(BTF.as_ref())?;
    let names = kernel.names();
    let settings = Settings { socket_owner: true, host_netns: netns::host(), ..Settings::plain(8) };
    let layout = kernel.layout(&settings)?;
    let all = [Direction::Sent, Direction::Received, Direction::Icmp];
    let loaded = probe::load(&layout, RingMemory::PerCpu(64 * 1024), &all, &host.kernel)?;
    let site = |status: &SiteStatus| SiteReport { option: option(status), status: status.clone() };
    Ok(DoctorReport {
        host: host.name,
        kernel: host.kernel,
        reasons: names.reasons.len(),
        symbols: !Symbols::read(loaded.programs).is_empty(),
        sites: loaded.probe.sites().iter().map(site).collect(),
        owners: OwnersReport::new(&Hierarchy::find(), loaded.owner_hooks),
    })
}

impl DoctorReport {
    /// Prints the findings on stdout.
    pub(crate) fn print(&self, json: bool) -> Result<()> {
        let text = if json {
            let text = serde_json::to_string_pretty(self);
            text.map_err(|source| Error::System("write JSON", source.into()))? + "\n"
        } else {
            self.text()
        };
        match io::stdout().lock().write_all(text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Error::System("write to stdout", error))
            }
            _ => Ok(()),
        }
    }

    fn text(&self) -> String {
        let mut text = format!("host     {}\nkernel   {}\n", self.host, self.kernel);
        text.push_str(&match self.reasons {
            0 => "reasons  none: the kernel names them from 6.10 on\n".to_owned(),
            count => format!("reasons  {count} named by the kernel's BTF\n"),
        });
        text.push_str(&if self.symbols {
            format!("symbols  shown by {KALLSYMS}\n")
        } else {
            format!("symbols  hidden: every cause will be `unknown`: {SHOW_SYMBOLS}\n")
        });
        for site in &self.sites {
            text.push_str(&site.text());
        }
        text + &self.owners.text()
    }
}

impl SiteReport {
    fn text(&self) -> String {
        let SiteStatus { site, hook, detail, why, waiting, .. } = &self.status;
        let option = self.option.map(|option| format!(" (with {option})")).unwrap_or_default();
        match (hook, waiting) {
            (None, _) => format!("NOT seen {site:<28}{option} {detail}\n"),
            (Some(hook), None) => {
                format!("seen     {site:<28}{option} {hook} {detail}: {why}\n")
            }
            (Some(hook), Some(module)) => format!(
                "waiting  {site:<28}{option} {hook} {detail}: module {module} is not loaded, \
                 attached as soon as it is; {why}\n"
            ),
        }
    }
}
