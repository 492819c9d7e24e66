//! `xtask guest`: the host's part of the work inside a guest, started by its `/init`.

#[cfg(target_arch = "x86_64")]
use std::arch::asm;
use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
#[cfg(target_arch = "x86_64")]
use std::{thread, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
#[cfg(target_arch = "x86_64")]
use nix::{errno::Errno, libc};

use super::boot::{DONE, EXIT_PORT};
use super::checks::bench::Bench;
use super::checks::which::{Boot, Test};
use super::checks::{self, reload};
use super::initrd::{BASE_ORDER, NETFILTER_ORDER};
use super::message::Message;

/// Where the results go: the console, with the kernel's words, is the first.
const RESULTS: &str = "/dev/ttyS1";

/// The kernel's command line that makes a guest run these tests.
pub(crate) fn arguments(tests: &[Test], scenarios: &[String]) -> String {
    let tests: Vec<String> = tests.iter().map(|test| test.name()).collect();
    format!("tcprst.tests={} tcprst.scenarios={}", tests.join(","), scenarios.join(","))
}

pub(crate) fn run() -> Result<()> {
    let command_line = fs::read_to_string("/proc/cmdline").context("read /proc/cmdline")?;
    ensure!(
        command_line.contains("tcprst.tests="),
        "this command is for the guests of `cargo xtask vm`, and this machine is not one"
    );
    let tests: Vec<Test> = list(&command_line, "tcprst.tests")
        .filter_map(|name| Test::from_str(name, false).ok())
        .collect();
    // Under systemd the programs lie elsewhere, and modules come when they are asked for.
    let has_system = Path::new("/run/systemd/system").is_dir();
    let (programs, work) = if has_system { ("/opt/tcprst", "/var/tmp") } else { ("/bin", "/tmp") };
    let bench = Bench {
        recorder: Path::new(programs).join("tcprst-record"),
        actor: env::current_exe().context("cannot find this program")?,
        work: PathBuf::from(work),
        scenarios: list(&command_line, "tcprst.scenarios").map(str::to_owned).collect(),
    };
    let mut port = File::options().write(true).open(RESULTS).context("the second serial port")?;
    let mut tell = |message: Message| -> Result<()> {
        let line = serde_json::to_string(&message)? + "\n";
        port.write_all(line.as_bytes()).context("write to the host")
    };
    let mut refused = vec![];
    if has_system {
        fs::write("/proc/sys/kernel/kptr_restrict", "0").context("show the kernel's symbols")?;
    } else {
        refused.extend(reload::load(BASE_ORDER)?);
        if !tests.iter().any(|test| test.boot() == Boot::NoModules) {
            refused.extend(reload::load(NETFILTER_ORDER)?);
        }
    }
    for module in refused {
        tell(Message::Note(format!("not loaded: {module}")))?;
    }
    for test in tests {
        eprintln!("test {}", test.name());
        checks::run(test, &bench, &mut tell)?;
    }
    // Bytes that the port still holds must reach the host before qemu ends.
    nix::sys::termios::tcdrain(&port).context("drain the serial port")?;
    leave()
}

/// Ends qemu at once, and with it this process. Not by /dev/port: 6.12's cloud kernel has none.
#[cfg(target_arch = "x86_64")]
fn leave() -> Result<()> {
    // SAFETY: it only allows this thread to use four ports, which are those of a device of qemu.
    let allowed = unsafe { libc::ioperm(EXIT_PORT.into(), 4, 1) };
    Errno::result(allowed).context("ask for qemu's port")?;
    // SAFETY: writes one byte to a port that this thread may use; no memory is involved.
    unsafe {
        asm!("out dx, al", in("dx") EXIT_PORT, in("al") DONE,
             options(nomem, nostack, preserves_flags));
    }
    thread::sleep(Duration::from_secs(10));
    bail!("qemu did not end")
}

#[cfg(not(target_arch = "x86_64"))]
fn leave() -> Result<()> {
    bail!(
        "the guests of `cargo xtask vm` are x86-64, and end themselves by port {EXIT_PORT:#x}: {DONE}"
    )
}

/// The values of `name=a,b,c` on the command line.
fn list<'a>(command_line: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let values = command_line
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        .unwrap_or_default();
    values.split(',').filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_reads_what_the_host_writes() {
        let scenarios = ["closed_port".to_owned(), "timewait".to_owned()];
        let line = format!("quiet {}", arguments(&[Test::Causes, Test::NoBtf], &scenarios));
        let tests: Vec<_> = list(&line, "tcprst.tests").collect();
        assert_eq!(tests, ["causes", "no_btf"]);
        assert!(tests.iter().all(|name| Test::from_str(name, false).is_ok()));
        assert_eq!(list(&line, "tcprst.scenarios").collect::<Vec<_>>(), scenarios);
        assert_eq!(list(&arguments(&[], &[]), "tcprst.scenarios").count(), 0);
    }
}
