//! `cargo xtask containers`: resets in real containers, and whether their rows name them.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use scenarios::{BRIEF, ContainersPlan, RuntimeKind, play_in_containers};

use crate::needs::{self, User};
use crate::{exit, print, workspace};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this runtime; can be given several times
    #[arg(long, value_parser = runtimes())]
    runtime: Vec<RuntimeKind>,
    /// Only this scene; can be given several times
    #[arg(long)]
    scene: Vec<String>,
    /// So many containers that live for an instant, for each runtime
    #[arg(long, value_name = "N", default_value_t = BRIEF)]
    brief: u32,
    /// Leave the recordings in this folder, one for each runtime
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

fn runtimes() -> impl TypedValueParser<Value = RuntimeKind> {
    PossibleValuesParser::new(RuntimeKind::ALL.map(RuntimeKind::name))
        .try_map(|name| RuntimeKind::find(&name))
}

pub(crate) fn run(args: Args) -> Result<()> {
    exit::require_root("container runtimes and BPF programs need root")?;
    needs::provide(User::Containers)?;
    let dir = tempfile::tempdir()?;
    // This program is also what runs in the containers.
    let me = env::current_exe().context("cannot find this program")?;
    let whole = ContainersPlan::whole(&workspace::bin_dir().join("tcprst-record"), &me, dir.path());
    let plan = ContainersPlan {
        runtimes: if args.runtime.is_empty() { whole.runtimes.clone() } else { args.runtime },
        scenes: args.scene,
        brief: args.brief,
        work: args.keep.unwrap_or(whole.work.clone()),
        ..whole
    };
    let verdict = play_in_containers(&plan)?;
    for line in verdict.lines() {
        print::line(&line)?;
    }
    ensure!(verdict.faults.is_empty(), "{} faults", verdict.faults.len());
    Ok(())
}
