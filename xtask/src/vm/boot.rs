//! One boot of one kernel in qemu.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The port of qemu's `isa-debug-exit`, and what a guest writes there when it has done its work.
/// A guest that panics ends qemu with 0, so success must be a number of its own.
pub(crate) const EXIT_PORT: u16 = 0xf4;
pub(crate) const DONE: u8 = 16;
/// qemu makes `(N << 1) | 1` of what is written.
const QEMU_DONE: i32 = (DONE as i32) << 1 | 1;

/// How many lines of a console are shown where a guest failed.
const TAIL: usize = 40;

const QEMU: &str = "qemu-system-x86_64";

/// A kernel, its file systems and its tests.
#[derive(Debug)]
pub(crate) struct Guest<'a> {
    /// For messages and names of files.
    pub(crate) name: &'a str,
    pub(crate) image: &'a Path,
    pub(crate) initrd: &'a Path,
    /// A system of its own; what it writes there is forgotten.
    pub(crate) disk: Option<&'a Path>,
    pub(crate) cpus: u32,
    /// MiB.
    pub(crate) memory: u32,
    /// The part of the kernel's command line that `xtask guest` reads.
    pub(crate) arguments: &'a str,
    pub(crate) limit: Duration,
    /// Console and results are kept here.
    pub(crate) logs: &'a Path,
}

/// The results of a guest that ended as it should.
#[derive(Debug)]
pub(crate) struct Booted {
    /// Lines of the second serial port.
    pub(crate) results: String,
    /// How the first boot failed, if it took two.
    pub(crate) retried: Option<String>,
    pub(crate) took: Duration,
}

impl Guest<'_> {
    /// Boots, and once more if the guest crashes or hangs: software emulation is not beyond
    /// doubt. A second failure is one, with the end of the console.
    pub(crate) fn boot(&self) -> Result<Booted> {
        let start = Instant::now();
        let first = match self.boot_once()? {
            Ok(results) => return Ok(Booted { results, retried: None, took: start.elapsed() }),
            Err(why) => why,
        };
        eprintln!("{}: {first}: booting once more", self.name);
        eprintln!("{}", self.tail());
        match self.boot_once()? {
            Ok(results) => Ok(Booted { results, retried: Some(first), took: start.elapsed() }),
            Err(second) => bail!(
                "{}: {first}, and again: {second}. The end of its console:\n{}",
                self.name,
                self.tail()
            ),
        }
    }

    /// The results, or why the guest did not end as it should.
    fn boot_once(&self) -> Result<Result<String, String>> {
        for log in [self.console(), self.results()] {
            match fs::remove_file(&log) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("remove {}", log.display()));
                }
                _ => {}
            }
        }
        let mut qemu =
            Machine(self.command().spawn().with_context(|| format!("cannot run {QEMU}"))?);
        let end = Instant::now() + self.limit;
        let status = loop {
            match qemu.0.try_wait()? {
                Some(status) => break status,
                None if Instant::now() >= end => {
                    return Ok(Err(format!("no end after {} s", self.limit.as_secs())));
                }
                None => thread::sleep(Duration::from_millis(50)),
            }
        };
        Ok(match status.code() {
            Some(QEMU_DONE) => Ok(String::from_utf8_lossy(
                &fs::read(self.results()).context("read a guest's results")?,
            )
            .into_owned()),
            Some(0) => Err("the guest crashed".to_owned()),
            _ => Err(format!("qemu ended with {status}")),
        })
    }

    fn command(&self) -> Command {
        let mut qemu = Command::new(QEMU);
        // Software emulation: hardware acceleration is not to be had everywhere, and hangs on
        // some machines. Without cx16=off, 6.12 crashed in 7 of 43 boots; with it, in 0 of 35.
        // With a thread for each of 64 CPUs the guest ran instructions that the kernel had just
        // replaced (7.3 crashed in enqueue_task_fair), and the next boot took some 300 s. With one
        // thread for all a boot and its test take 50 s.
        let accel = if self.cpus > 2 { "tcg,thread=single" } else { "tcg" };
        qemu.args(["-accel", accel, "-machine", "q35", "-cpu", "max,cx16=off"])
            .args(["-m", &self.memory.to_string(), "-smp", &self.cpus.to_string()])
            .args(["-nographic", "-no-reboot", "-nodefaults"])
            .args(["-display", "none", "-monitor", "none"])
            .arg("-kernel")
            .arg(self.image)
            .arg("-initrd")
            .arg(self.initrd)
            .arg("-append")
            .arg(format!("console=ttyS0 panic=-1 quiet mitigations=off {}", self.arguments))
            .args(["-device", &format!("isa-debug-exit,iobase={EXIT_PORT:#x},iosize=0x04")]);
        if let Some(disk) = self.disk {
            let file = disk.display();
            qemu.args(["-drive", &format!("file={file},format=raw,if=virtio,snapshot=on")]);
        }
        for (id, log) in [("console", self.console()), ("results", self.results())] {
            qemu.args(["-chardev", &format!("file,id={id},path={}", log.display())])
                .args(["-serial", &format!("chardev:{id}")]);
        }
        qemu.stdin(Stdio::null()).stdout(Stdio::null());
        qemu
    }

    fn console(&self) -> PathBuf {
        self.logs.join(format!("{}.console", self.name))
    }

    fn results(&self) -> PathBuf {
        self.logs.join(format!("{}.results", self.name))
    }

    /// The end of the console.
    pub(crate) fn tail(&self) -> String {
        let console = fs::read(self.console()).unwrap_or_default();
        let console = String::from_utf8_lossy(&console);
        let lines: Vec<&str> = console.lines().collect();
        let tail = &lines[lines.len().saturating_sub(TAIL)..];
        tail.iter().map(|line| format!("    | {}\n", line.trim_end())).collect()
    }
}

/// A running qemu; it is killed when this is dropped.
#[derive(Debug)]
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // An error means that it is gone already, which is what we want.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
