//! `cargo xtask`: every developer command of tcprst.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{exit, simulate};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Developer commands of tcprst", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Cause real TCP resets in a network namespace of its own
    Simulate(simulate::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Simulate(args) => simulate::run(args),
    };
    exit::code(done)
}
