//! From arguments to exit code; everything else is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use tcprst_analyzer::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match tcprst_analyzer::run(&Cli::parse()) {
        Ok(outcome) => outcome.exit_code(),
        Err(error) => {
            tcprst_analyzer::tell(&error);
            error.exit_code()
        }
    }
}
