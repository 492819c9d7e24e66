//! Resets that the kernel keeps from every program.
//!
//! There are hosts whose kernel runs no BPF program while a thread of process 1 is on the CPU, and
//! does not count it as a miss either. A timer goes off over whatever runs: of 8,880 resets that
//! keepalive timers sent on such a 6.18, six fell on threads of process 1, and those six and no
//! other had no row. A stock kernel has no such rule. Tests cannot help it, but they can see it in
//! the kernel's own trace events: those are written over such a thread too, without the stack
//! that was asked for. The idle task's may lack it as well, so both must hold.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};

use crate::stage::netns::on_own_thread;

/// Up to one timer in fifty goes off over process 1 where that is a busy agent, and tests have ten.
const ATTEMPTS: usize = 6;
/// The events that our programs are attached to on such a kernel.
const EVENTS: [&str; 2] = ["tcp_send_reset", "tcp_receive_reset"];

/// Runs `attempt`, and runs it again as long as one of the machine's resets during it was hidden
/// from programs. The kernel hid no reset of the attempt that is returned.
pub fn unhidden<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 0..ATTEMPTS {
        let watch = Watch::start()?;
        let outcome = attempt()?;
        let hidden = watch.map_or_else(|| Ok(Vec::new()), |watch| watch.hidden())?;
        if hidden.is_empty() {
            return Ok(outcome);
        }
        eprintln!(
            "PLAYED AGAIN: this kernel ran no program for a reset that fell on process 1: {}",
            hidden.join("; ")
        );
    }
    bail!(
        "this kernel hid a reset from BPF programs {ATTEMPTS} times in a row, because \
         process 1 was on the CPU: run the test on a less busy machine"
    )
}

/// Trace events of resets, in a buffer of their own.
#[derive(Debug)]
struct Watch {
    instance: String,
}

impl Watch {
    /// `None` where the kernel has no such events, so that nothing is known.
    fn start() -> Result<Option<Self>> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("instances/tcprst-{}-{number}", process::id());
        let watch = in_tracefs(|root| {
            if !EVENTS.iter().all(|event| root.join("events/tcp").join(event).is_dir()) {
                return Ok(None);
            }
            let instance = root.join(&name);
            fs::create_dir(&instance).context("make a trace buffer")?;
            // From here on it is removed again, whatever fails.
            let watch = Self { instance: name };
            for event in EVENTS {
                let event = instance.join("events/tcp").join(event);
                fs::write(event.join("trigger"), "stacktrace").context("ask for stacks")?;
                fs::write(event.join("enable"), "1").context("enable a trace event")?;
            }
            Ok(Some(watch))
        })?;
        Ok(watch.flatten())
    }

    /// The resets over process 1 that came without a stack.
    fn hidden(&self) -> Result<Vec<String>> {
        let text = in_tracefs(|root| {
            let path = root.join(&self.instance).join("trace");
            fs::read_to_string(path).context("read the trace")
        })?;
        let trace = text.unwrap_or_default();
        let hidden = stackless(&trace).into_iter().filter(|event| is_of_process_1(event.task));
        Ok(hidden.map(|event| event.text).collect())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let removed = in_tracefs(|root| {
            fs::remove_dir(root.join(&self.instance)).context("remove the trace buffer")
        });
        if let Err(error) = removed {
            eprintln!("{}: {error:#}", self.instance);
        }
    }
}

/// Runs `work` on a mount of tracefs that no other process sees; `None` where the kernel has none.
fn in_tracefs<T: Send>(work: impl FnOnce(&Path) -> Result<T> + Send) -> Result<Option<T>> {
    on_own_thread(|| {
        let nothing = None::<&str>;
        unshare(CloneFlags::CLONE_NEWNS).context("make a mount namespace")?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(nothing, "/", nothing, private, nothing).context("make mounts private")?;
        let folder = tempfile::tempdir().context("make a mount point")?;
        if mount(Some("tracefs"), folder.path(), Some("tracefs"), MsFlags::empty(), nothing)
            .is_err()
        {
            return Ok(None);
        }
        let done = work(folder.path());
        umount(folder.path()).context("unmount tracefs")?;
        done.map(Some)
    })
}

/// An event of the trace.
#[derive(Debug, PartialEq, Eq)]
struct TraceEvent {
    task: u32,
    text: String,
}

/// Events that their stack does not follow on the same CPU.
fn stackless(trace: &str) -> Vec<TraceEvent> {
    let mut waiting: BTreeMap<&str, TraceEvent> = BTreeMap::new();
    let mut stackless = Vec::new();
    for line in trace.lines() {
        // `COMM-TASK [CPU] FLAGS TIME: EVENT: ...`; the lines of a stack begin with `=>`.
        let Some((who, rest)) = line.split_once(" [") else { continue };
        let Some((cpu, what)) = rest.split_once(']') else { continue };
        let task = who.trim_end().rsplit_once('-').and_then(|(_, task)| task.parse().ok());
        let Some(task) = task else { continue };
        if what.ends_with("<stack trace>") {
            waiting.remove(cpu);
        } else {
            let event = TraceEvent { task, text: line.trim().to_owned() };
            stackless.extend(waiting.insert(cpu, event));
        }
    }
    stackless.extend(waiting.into_values());
    stackless
}

/// Not where it plays the scenarios itself, as in an emulated machine.
fn is_of_process_1(task: u32) -> bool {
    if process::id() == 1 {
        return false;
    }
    let status = fs::read_to_string(format!("/proc/{task}/status")).unwrap_or_default();
    status.lines().any(|line| line.split_ascii_whitespace().eq(["Tgid:", "1"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_without_its_stack_is_found() {
        const TRACE: &str = "\
# tracer: nop
          <idle>-0       [000] ..s2. 31.2: tcp_send_reset: skbaddr=0 src=127.0.0.1:1
 odd name-x-70      [001] ..s2. 31.2: tcp_send_reset: skbaddr=0 src=127.0.0.1:2
          <idle>-0       [000] ..s2. 31.3: <stack trace>
 => tcp_send_active_reset
 => tcp_keepalive_timer
            ss-84        [001] b..1. 31.4: tcp_send_reset: skbaddr=0 src=127.0.0.1:3
            ss-84        [001] bN.1. 31.4: <stack trace>
 => tcp_abort
";
        let found: Vec<u32> = stackless(TRACE).iter().map(|event| event.task).collect();
        assert_eq!(found, [70]);
    }

    #[test]
    fn only_threads_of_process_1_are_its() {
        assert!(is_of_process_1(1));
        assert!(!is_of_process_1(process::id()));
        assert!(!is_of_process_1(0), "the idle task has no entry in /proc");
    }
}
