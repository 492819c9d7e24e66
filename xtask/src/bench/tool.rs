//! The tools that are compared, each run as its users run it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace;

/// One of the tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Tcprst,
    /// With `--socket-owner=off`; not compared with the others.
    TcprstWithoutOwner,
    Tcpdump,
    Bpftrace,
}

impl Tool {
    pub(crate) const ALL: [Self; 3] = [Self::Tcprst, Self::Tcpdump, Self::Bpftrace];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcprst | Self::TcprstWithoutOwner => "tcprst-record",
            Self::Tcpdump => "tcpdump",
            Self::Bpftrace => "bpftrace",
        }
    }

    fn program(self) -> PathBuf {
        match self {
            Self::Tcprst | Self::TcprstWithoutOwner => workspace::bin_dir().join(self.name()),
            Self::Tcpdump | Self::Bpftrace => self.name().into(),
        }
    }

    /// The command that records resets in `dir`, with default buffers.
    pub(crate) fn command(self, dir: &Path) -> Command {
        let mut command = Command::new(self.program());
        match self {
            Self::Tcprst => command.arg("--out").arg(dir.join("recording")),
            Self::TcprstWithoutOwner => {
                command.arg("--socket-owner=off").arg("--out").arg(dir.join("recording"))
            }
            Self::Tcpdump => command
                .args(["-i", "lo", "-w"])
                .arg(dir.join(PCAP))
                .arg("tcp[tcpflags] & tcp-rst != 0"),
            Self::Bpftrace => {
                command.args(["-e", "tracepoint:tcp:tcp_send_reset { @[kstack] = count(); }"])
            }
        };
        command
    }

    /// How long to wait between the last reset and the end. libpcap looks into a block that is
    /// not full only once a second, and what it has not looked at when it is stopped it forgets.
    /// The others drain their buffers when they are stopped.
    pub(crate) fn settling_time(self) -> Duration {
        match self {
            Self::Tcpdump => Duration::from_millis(1500),
            Self::Tcprst | Self::TcprstWithoutOwner | Self::Bpftrace => Duration::ZERO,
        }
    }

    /// The first line of `--version`. A missing tool is an error, because nothing can be
    /// compared without it.
    pub(crate) fn version(self) -> Result<String> {
        let program = self.program();
        let output = match Command::new(&program).arg("--version").output() {
            Err(error) if error.kind() == ErrorKind::NotFound => match self {
                Self::Tcprst | Self::TcprstWithoutOwner => {
                    bail!("{} is missing: run `cargo build --release`", program.display())
                }
                _ => bail!(
                    "{} IS MISSING and nothing is compared without it: \
                            install the package {0}",
                    self.name()
                ),
            },
            output => output.with_context(|| format!("start {}", program.display()))?,
        };
        ensure!(output.status.success(), "{} --version: {}", self.name(), output.status);
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().next().unwrap_or_default().trim().to_owned())
    }
}

/// The file that tcpdump writes in its folder.
pub(crate) const PCAP: &str = "resets.pcap";
