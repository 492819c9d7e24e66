//! `cargo xtask test`: installs what the tests need, and runs all of them.

use std::ffi::OsString;

use anyhow::{Context, Result, ensure};
use nix::unistd::Uid;

use crate::needs::{self, User};
use crate::workspace;

/// As root, with the Rust of the user who calls it.
const AS_ROOT: &str = r#"sudo -E env "PATH=$PATH" cargo xtask test"#;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Arguments for `cargo test`, for example `--test causes`
    #[arg(allow_hyphen_values = true, value_name = "ARGUMENTS")]
    for_cargo: Vec<OsString>,
    /// Arguments for the tests themselves, for example `-- --nocapture`
    #[arg(last = true, value_name = "TEST_ARGUMENTS")]
    for_tests: Vec<OsString>,
}

impl Args {
    /// The arguments for `cargo test`, as they were given. clap takes off a `--` at their
    /// beginning; after an argument for Cargo it leaves it where it is.
    fn into_arguments(self) -> Vec<OsString> {
        let mut arguments = self.for_cargo;
        if !self.for_tests.is_empty() {
            arguments.push("--".into());
            arguments.extend(self.for_tests);
        }
        arguments
    }
}

pub(crate) fn run(args: Args) -> Result<()> {
    needs::provide(User::Test)?;
    if !Uid::effective().is_root() {
        eprintln!(
            "xtask: not root: tests that record on this machine's kernel will fail: run `{AS_ROOT}`"
        );
    }
    let mut cargo = workspace::cargo("test");
    let status = cargo.args(args.into_arguments()).status().context("cannot run cargo")?;
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
        Cli::try_parse_from(given).expect("valid arguments").args.into_arguments()
    }

    #[test]
    fn arguments_mean_the_same_as_for_cargo_test() {
        for given in [
            &["--test", "causes"][..],
            &["--test=causes", "-v"],
            &["--test", "causes", "--", "--nocapture"],
            &["--", "--nocapture"],
            &["--", "--test-threads", "1", "--", "name"],
            &[],
        ] {
            assert_eq!(arguments(given), given);
        }
    }
}
