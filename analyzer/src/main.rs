//! From arguments to exit code; everything else is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use tcprst_analyzer::cli::Cli;

fn main() -> ExitCode {
    match tcprst_analyzer::run(&Cli::parse()) {
        Ok(outcome) => outcome.exit_code(),
        Err(error) => {
            tcprst_analyzer::tell(&error);
            error.exit_code()
        }
    }
}
