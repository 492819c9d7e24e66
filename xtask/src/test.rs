//! `cargo xtask test`: installs what the tests need, and runs all of them.

use std::ffi::OsString;

use anyhow::{Context, Result, ensure};
use nix::unistd::Uid;

use crate::needs::{self, User};
use crate::workspace;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Arguments for `cargo test`, for example `--test causes` or `--test causes -- --nocapture`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    needs::provide(User::Test)?;
    if !Uid::effective().is_root() {
        eprintln!("xtask: not root: tests that record on this machine's kernel will fail");
    }
    let mut cargo = workspace::cargo("test");
    let status = cargo.args(args.arguments).status().context("cannot run cargo")?;
    ensure!(status.success(), "cargo test failed ({status})");
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn arguments(given: &[&str]) -> Vec<OsString> {
        let given = ["test"].iter().chain(given);
        Cli::try_parse_from(given).expect("valid arguments").args.arguments
    }

    #[test]
    fn arguments_are_passed_on_with_and_without_dashes_before_them() {
        assert_eq!(arguments(&["--test", "causes"]), ["--test", "causes"]);
        assert_eq!(arguments(&["--", "--test", "causes"]), ["--test", "causes"]);
        let to_the_test = ["--test", "causes", "--", "--nocapture"];
        assert_eq!(arguments(&to_the_test), to_the_test);
        assert!(arguments(&[]).is_empty());
    }
}
