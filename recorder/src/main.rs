//! From arguments to the exit code.

use std::process::ExitCode;

use clap::Parser;
use tcprst_recorder::{Cli, run};

fn main() -> ExitCode {
    run(&Cli::parse())
}
