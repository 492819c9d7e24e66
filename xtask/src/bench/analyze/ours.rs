//! Ours: the program as users have it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::queries::Group;
use super::session::{BenchSession, Replies};
use crate::workspace;

/// The analyzer.
#[derive(Debug)]
pub(crate) struct Ours {
    program: PathBuf,
}

impl Ours {
    pub(crate) fn find() -> Result<Self> {
        let program = workspace::bin_dir().join("tcprst-analyze");
        ensure!(
            program.exists(),
            "{} is missing: build it by `cargo build --release`",
            program.display()
        );
        Ok(Self { program })
    }

    /// One process that stays.
    pub(crate) fn session(&self, data: &Path, from: Group) -> Result<BenchSession> {
        let mut command = self.arguments(data);
        command.arg("--timing");
        if from == Group::Raw {
            command.arg("--no-rollup");
        }
        BenchSession::start("tcprst-analyze", command, Replies::Stderr)
    }

    /// A process for one statement, that reads all rows.
    pub(crate) fn raw_command(&self, data: &Path, sql: &str) -> Command {
        let mut command = self.command(data, sql);
        command.arg("--no-rollup");
        command
    }

    /// A process for one statement or subcommand, its result as CSV on stdout.
    pub(crate) fn command(&self, data: &Path, sql: &str) -> Command {
        let mut command = self.arguments(data);
        command.arg(sql);
        command
    }

    fn arguments(&self, data: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--format", "csv", "--data"]).arg(data);
        command
    }
}
