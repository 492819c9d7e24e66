//! `cargo xtask sample-data`: a made-up recording, written by the recorder's own writer.
//!
//! The program `tcprst-sample` writes it, and is run as a program: this package must build where the
//! recorder does not, because it builds what the recorder loads into the kernel.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::workspace;

#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Options of tcprst-sample: `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    options: Vec<OsString>,
}

/// Folder that is written where none is given.
const OUT: &str = "sample-data";

pub(crate) fn run(args: Args) -> Result<()> {
    let program = build()?;
    let mut command = Command::new(&program);
    command.args(&args.options);
    let is_out = |option: &OsString| option.to_string_lossy().starts_with("--out");
    let is_help = |option: &OsString| ["-h", "--help"].iter().any(|help| option == help);
    if !args.options.iter().any(|option| is_out(option) || is_help(option)) {
        command.arg("--out").arg(OUT);
    }
    let status = command.status().with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(status.success(), "no sample was written");
    Ok(())
}

/// Builds the program, together with all others: features that are unified for one package alone
/// would build its dependencies again.
pub(crate) fn build() -> Result<PathBuf> {
    let mut cargo = workspace::cargo("build");
    let status = cargo.args(["--bin", "tcprst-sample"]).status().context("cannot run cargo")?;
    ensure!(status.success(), "tcprst-sample does not build");
    let program = workspace::bin_dir().join("tcprst-sample");
    ensure!(program.exists(), "{} is missing after the build", program.display());
    Ok(program)
}

/// Makes a sample with these options, if the folder is not there yet.
pub(crate) fn make(program: &Path, out: &Path, options: &[&str]) -> Result<()> {
    let status = Command::new(program)
        .args(options)
        .arg("--out")
        .arg(out)
        .status()
        .with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(status.success(), "no sample was written to {}", out.display());
    Ok(())
}
