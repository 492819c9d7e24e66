//! The peer: DuckDB from PyPI, in a virtual environment of the bench's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::session::{BenchSession, Replies};
use crate::workspace;

/// Runs the statements inside of one process.
const DRIVER: &str = include_str!("duck.py");

/// The packages that are compared with: the library for time inside the process, the command line
/// for whole processes.
const PACKAGES: [&str; 2] = ["duckdb>=2", "duckdb-cli"];

/// DuckDB, installed.
#[derive(Debug)]
pub(crate) struct Duck {
    folder: PathBuf,
    threads: usize,
}

impl Duck {
    /// Installs it, or uses what an earlier bench has installed.
    pub(crate) fn install(threads: usize) -> Result<Self> {
        let folder = workspace::cache_dir()?.join("bench").join("duckdb");
        let duck = Self { folder, threads };
        if !duck.cli().exists() {
            eprintln!("installing {} from PyPI to {}", PACKAGES.join(", "), duck.folder.display());
            run(Command::new("python3").args(["-m", "venv"]).arg(&duck.folder))?;
            let pip = duck.folder.join("bin").join("pip");
            run(Command::new(pip).args(["install", "--quiet"]).args(PACKAGES))?;
        }
        fs::write(duck.driver(), DRIVER).context("write the driver of DuckDB")?;
        Ok(duck)
    }

    fn cli(&self) -> PathBuf {
        self.folder.join("bin").join("duckdb")
    }

    fn driver(&self) -> PathBuf {
        self.folder.join("driver.py")
    }

    /// Versions of both packages.
    pub(crate) fn versions(&self) -> Result<String> {
        let python = self.folder.join("bin").join("python");
        let version = "import duckdb; print(duckdb.__version__)";
        let library = output(Command::new(python).args(["-c", version]))?;
        let cli = output(Command::new(self.cli()).arg("--version"))?;
        let cli = cli.split_whitespace().next().unwrap_or_default();
        Ok(format!("duckdb {} (in process), duckdb-cli {cli} (whole processes)", library.trim()))
    }

    /// One process that stays, with the views made.
    pub(crate) fn session(&self, data: &Path) -> Result<BenchSession> {
        let python = self.folder.join("bin").join("python");
        let mut command = Command::new(python);
        command.arg(self.driver()).arg(glob(data)).arg(self.threads.to_string());
        BenchSession::start("DuckDB", command, Replies::Stdout)
    }

    /// A process for one statement, its result as CSV on stdout.
    pub(crate) fn command(&self, data: &Path, sql: &str) -> Command {
        let view = format!(
            "SET TimeZone = 'UTC'; SET threads = {}; CREATE VIEW resets AS SELECT * FROM \
             read_parquet('{}', hive_partitioning = false);",
            self.threads,
            glob(data).replace('\'', "''")
        );
        let mut command = Command::new(self.cli());
        command.args(["-init", "/dev/null", "-csv", "-nullvalue", "", "-c", &view, "-c", sql]);
        command
    }
}

fn glob(data: &Path) -> String {
    data.join("resets").join("*").join("*.parquet").display().to_string()
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}

fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
