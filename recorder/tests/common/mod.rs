//! Runs the real recorder on the real kernel.
#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

pub(crate) mod container;
mod files;

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

pub(crate) use files::{
    Row, Segment, count_in, count_where, rows_in, segments, spool_files, spools,
};

/// Time limit for the start and the end of a recorder, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// The recorder under test.
pub(crate) const RECORDER: &str = env!("CARGO_BIN_EXE_tcprst-record");

/// Options of a recorder that loses nothing, even when other processes on this machine flood: its
/// probes see the whole machine, and tests filter by their own network namespace.
pub(crate) const LOSSLESS: [&str; 2] = ["--ring-size", "16MiB"];

/// These tests need root to load the kernel's programs. Without root they fail; they do not skip.
pub(crate) fn require_root() {
    assert!(geteuid().is_root(), "this test loads BPF programs: run it as root");
}

/// Lock for tests that load the whole machine, or that start processes while scenarios play.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn recorder(dir: &Path, args: &[&str]) -> Command {
    require_root();
    let mut command = Command::new(RECORDER);
    command.arg("--out").arg(dir).args(args).stdin(Stdio::null());
    // Floods of tests are no storms: each reset wants its row, unless the test is about storms.
    if !args.contains(&"--storm-rate") {
        command.args(["--storm-rate", "off"]);
    }
    command
}

/// A running recorder; it is killed on drop.
pub(crate) struct Recording {
    child: Child,
    stderr: Receiver<String>,
    /// Lines that it wrote to stderr before it recorded.
    said: Vec<String>,
}

/// The outcome of a recorder that ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    /// Lines of stderr.
    pub(crate) said: Vec<String>,
}

impl Ended {
    /// Checks that the exit code is 0. Returns the totals that the recorder reports at the end.
    pub(crate) fn totals(&self) -> Totals {
        assert_eq!(self.code, Some(0), "{self:?}");
        let last = self.said.last().expect("a last word");
        let numbers: Vec<u64> =
            last.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
        let [seen, written, ref storms @ .., lost, segments] = numbers[..] else {
            panic!("not the totals: {last}");
        };
        Totals { seen, written, counted: storms.iter().sum(), lost, segments }
    }

    pub(crate) fn has_said(&self, what: &str) -> bool {
        self.said.iter().any(|line| line.contains(what))
    }
}

/// Totals in the last line of a recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) seen: u64,
    pub(crate) written: u64,
    /// Resets of storms; not in the line where there are none.
    pub(crate) counted: u64,
    pub(crate) lost: u64,
    pub(crate) segments: u64,
}

impl Recording {
    /// Starts it and returns once it records.
    pub(crate) fn start(dir: &Path, args: &[&str]) -> Self {
        let mut command = recorder(dir, args);
        command.stdout(Stdio::null());
        Self::spawn(command)
    }

    /// Starts it as `start` does, and also returns its stdout.
    pub(crate) fn start_with_stdout(dir: &Path, args: &[&str]) -> (Self, ChildStdout) {
        let mut command = recorder(dir, args);
        command.stdout(Stdio::piped());
        let mut recording = Self::spawn(command);
        let stdout = recording.child.stdout.take().expect("a pipe");
        (recording, stdout)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the recorder starts");
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let (sender, stderr) = channel();
        thread::spawn(move || {
            for line in lines {
                // Sends fail once the recording is dropped; the pipe is read to its end all the
                // same.
                let _ = sender.send(line.expect("UTF-8 on stderr"));
            }
        });
        let mut recording = Self { child, stderr, said: vec![] };
        while !recording.said.iter().any(|line| line.contains("recording to")) {
            match recording.stderr.recv_timeout(LIMIT) {
                Ok(line) => recording.said.push(line),
                Err(_) => panic!("the recorder does not record: {:?}", recording.said),
            }
        }
        recording
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal and waits for its end.
    pub(crate) fn stop(self, signal: Signal) -> Ended {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, signal).expect("the recorder still runs");
        self.wait()
    }

    /// Waits for it to end by itself.
    pub(crate) fn wait(mut self) -> Ended {
        let deadline = Instant::now() + LIMIT;
        let mut said = std::mem::take(&mut self.said);
        loop {
            match self.stderr.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the recorder does not end: {said:?}"),
            }
        }
        let status = self.child.wait().expect("the recorder's status");
        Ended { code: status.code(), signal: status.signal(), said }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // An error means that the process is already gone, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Checks that the program failed with this exit code and exactly one line of its own on stderr,
/// and returns that line.
pub(crate) fn one_line(output: &Output, code: i32) -> String {
    let text = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("tcprst-record: ") && text.ends_with('\n'), "{text}");
    assert!(output.stdout.is_empty(), "{text}");
    text
}
