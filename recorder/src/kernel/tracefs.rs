//! kprobes that outlive the module they are in.
//!
//! A kprobe on a function of a module dies with the module, and cannot be made before the module is
//! loaded. A kprobe *event* of tracefs can: the kernel keeps it while the module is absent, and
//! arms it when the module is loaded, before its first function runs (kernel/trace/trace_kprobe.c,
//! `trace_kprobe_module_callback`). So no call is missed, and nothing has to poll for modules.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::kernel::perf;
use crate::kernel::proc::TRACEFS;

/// Our events are in this folder of tracefs. All recorders share them, and the next recorder reuses
/// the events of one that was killed.
const GROUP: &str = "tcprst";
/// How often to retry: another recorder may remove an event between our definition and its use.
const TRIES: usize = 5;

/// A mounted tracefs of a kernel that has kprobe events.
#[derive(Clone, Debug)]
pub(crate) struct Tracefs {
    root: PathBuf,
}

/// A program attached to a kprobe event. It is detached on drop.
#[derive(Debug)]
pub(crate) struct Probe {
    tracefs: Tracefs,
    name: &'static str,
    /// Closed before the event is removed, because the kernel refuses to remove an event in use.
    event: Option<OwnedFd>,
}

impl Tracefs {
    /// Finds a mounted tracefs with kprobe events, or says what is missing.
    pub(crate) fn find() -> Result<Self, String> {
        let is_mounted = |root: &&&str| Path::new(root).join("events").is_dir();
        let Some(root) = TRACEFS.iter().find(is_mounted) else {
            return Err(format!(
                "tracefs is not mounted: run `mount -t tracefs tracefs {}`",
                TRACEFS[0]
            ));
        };
        let root = PathBuf::from(root);
        if !root.join("kprobe_events").exists() {
            return Err("this kernel has no kprobe events (CONFIG_KPROBE_EVENTS)".to_owned());
        }
        Ok(Self { root })
    }

    /// Runs `program` whenever `symbol` is called, or `MODULE:SYMBOL` once that module is there.
    pub(crate) fn attach(
        &self,
        name: &'static str,
        symbol: &str,
        program: BorrowedFd<'_>,
    ) -> io::Result<Probe> {
        let mut tries = 0;
        loop {
            tries += 1;
            self.define(&format!("p:{GROUP}/{name} {symbol}"))?;
            match self.id(name).and_then(|id| perf::attach(id, program)) {
                Ok(event) => {
                    return Ok(Probe { tracefs: self.clone(), name, event: Some(event) });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound && tries < TRIES => {}
                Err(error) => {
                    self.remove(name);
                    return Err(error);
                }
            }
        }
    }

    /// Defines an event; an existing one is reused.
    fn define(&self, definition: &str) -> io::Result<()> {
        match self.write(definition) {
            Err(error) if error.raw_os_error() == Some(Errno::EEXIST as i32) => Ok(()),
            outcome => outcome,
        }
    }

    fn write(&self, line: &str) -> io::Result<()> {
        // Open to append: opening the file with truncation removes everyone's events.
        let mut events = OpenOptions::new().append(true).open(self.root.join("kprobe_events"))?;
        events.write_all(line.as_bytes())
    }

    fn id(&self, name: &str) -> io::Result<u64> {
        let text = fs::read_to_string(self.root.join("events").join(GROUP).join(name).join("id"))?;
        text.trim().parse().map_err(|_| io::Error::other("the event's id is not a number"))
    }

    fn remove(&self, name: &str) {
        // The kernel refuses with EBUSY while another recorder uses the event, which is right.
        let _ = self.write(&format!("-:{GROUP}/{name}"));
    }

    /// How often the kernel skipped these events because a kprobe was already being handled on that
    /// CPU.
    pub(crate) fn missed(&self, names: &[&str]) -> u64 {
        let profile = fs::read_to_string(self.root.join("kprobe_profile")).unwrap_or_default();
        profile.lines().filter_map(|line| missed_in(line, names)).sum()
    }
}

/// A line of `kprobe_profile`: name, hits, misses.
fn missed_in(line: &str, names: &[&str]) -> Option<u64> {
    let mut words = line.split_ascii_whitespace();
    let name = words.next()?;
    if !names.contains(&name) {
        return None;
    }
    words.nth(1)?.parse().ok()
}

impl Probe {
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        drop(self.event.take());
        self.tracefs.remove(self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_events_are_counted() {
        let names = ["kprobe_nf_v4"];
        assert_eq!(missed_in("  kprobe_nf_v4      12       3", &names), Some(3));
        assert_eq!(missed_in("  others      12       3", &names), None);
        assert_eq!(missed_in("", &names), None);
    }
}
