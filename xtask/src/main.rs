//! `cargo xtask`: every developer command of tcprst. A command is a module with a clap `Args` and a
//! `run`.
//!
//! - `demo`, `test`: what a newcomer runs first, and what must pass
//! - `simulate`, `containers`: cause resets, and judge what is recorded of them
//! - `vm`: the same on other kernels; `bench`: what the programs cost, compared with other tools
//! - `ebpf`: builds the kernel half; `docs`: writes generated documents; `sample_data`: writes a
//!   made-up recording
//! - `needs`: the one table of tools, and their installation; `apt`: questions to Debian's archive
//! - `exit`, `print`, `steps`, `workspace`: exit codes, standard output, progress, and where things
//!   are

mod apt;
mod bench;
mod containers;
mod demo;
mod docs;
mod ebpf;
mod exit;
mod needs;
mod print;
mod sample_data;
mod simulate;
mod steps;
mod test;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use scenarios::run_actor;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Developer commands of tcprst", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure the cost of the recorder and the speed of the analyzer, compared with other tools
    Bench(bench::Args),
    /// Cause resets in real containers of podman, docker and containerd, and check their rows
    Containers(containers::Args),
    /// Build the programs, record real resets and print who caused them: start with this
    Demo(demo::Args),
    /// Write the documents that are generated from tables
    Docs(docs::Args),
    /// Build the kernel half, or prove that the committed object is built from its sources
    #[command(subcommand)]
    Ebpf(ebpf::Command),
    /// Write a realistic, reproducible recording of any size with the recorder's own writer
    SampleData(sample_data::Args),
    /// Cause real TCP resets in a new network namespace
    Simulate(simulate::Args),
    /// Run all tests, after installing what they need (as root, on Debian and Ubuntu)
    Test(test::Args),
    /// Test on the newest kernel of each line, in guests of qemu, and on the host
    Vm(vm::Args),
    /// Run the tests inside a guest of `vm`
    #[command(hide = true)]
    Guest,
    /// Run steps with one connection inside a container of `containers`
    #[command(hide = true)]
    Actor {
        /// Steps with one connection, one after another
        #[arg(required = true)]
        steps: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Bench(args) => bench::run(args),
        Command::Containers(args) => containers::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Docs(args) => docs::run(args),
        Command::Ebpf(command) => ebpf::run(&command),
        Command::SampleData(args) => sample_data::run(args),
        Command::Simulate(args) => simulate::run(args),
        Command::Test(args) => test::run(args),
        Command::Vm(args) => vm::run(args),
        Command::Guest => vm::run_guest(),
        Command::Actor { steps } => run_actor(steps),
    };
    exit::code(done)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
