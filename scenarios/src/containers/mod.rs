//! Resets in real containers: each is caused once, and its row must name exactly that container,
//! pod and image, and how they were found.
//!
//! [`play_in_containers`] serves the test on the host, the guest of `cargo xtask vm` and the
//! command.

mod actor;
mod brief;
mod expect;
mod scenes;
mod session;
mod verdict;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::runtimes::{Runtime, RuntimeKind};
use crate::stage::netns::Namespace;
pub use actor::run_actor;
use session::RuntimeSession;
pub use verdict::ContainersVerdict;

/// Containers that live for an instant, in the test of each runtime.
pub const BRIEF: u32 = 20;

/// The programs, runtimes and scenes of a run.
#[derive(Clone, Debug)]
pub struct ContainersPlan {
    pub recorder: PathBuf,
    /// The program in the containers: a static one with the subcommand `actor`.
    pub actor: PathBuf,
    /// A folder for recordings.
    pub work: PathBuf,
    pub runtimes: Vec<RuntimeKind>,
    /// All of them if none is named.
    pub scenes: Vec<String>,
    pub brief: u32,
}

impl ContainersPlan {
    /// Everything, with `recorder`.
    pub fn whole(recorder: &Path, actor: &Path, work: &Path) -> Self {
        Self {
            recorder: recorder.to_owned(),
            actor: actor.to_owned(),
            work: work.to_owned(),
            runtimes: RuntimeKind::ALL.to_vec(),
            scenes: Vec::new(),
            brief: BRIEF,
        }
    }
}

/// Plays the scenes in every runtime, one after the other.
pub fn play_in_containers(plan: &ContainersPlan) -> Result<ContainersVerdict> {
    let mut verdict = ContainersVerdict::default();
    let mut reported = 0;
    for kind in &plan.runtimes {
        let ns = Namespace::new()?;
        // In the namespace of the daemon, so that the host of this test is not the machine's.
        let runtime = Runtime::start(*kind, &ns, &plan.actor)?;
        let work = plan.work.join(kind.name());
        let mut session = RuntimeSession::start(&plan.recorder, &work, &ns, &runtime)?;
        let chosen = scenes::SCENES
            .iter()
            .filter(|scene| plan.scenes.is_empty() || plan.scenes.iter().any(|s| s == scene.name));
        for scene in chosen {
            session.play(scene);
        }
        if plan.brief > 0 && plan.scenes.is_empty() {
            session.play_briefs(plan.brief);
        }
        session.judge(&mut verdict)?;
        // At once: in an emulated machine the others take minutes.
        verdict.faults.iter().skip(reported).for_each(|fault| eprintln!("WRONG {fault}"));
        reported = verdict.faults.len();
    }
    Ok(verdict)
}
