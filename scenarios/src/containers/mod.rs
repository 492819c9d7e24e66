//! Resets in real containers: each is caused once, and its row must name exactly that container,
//! pod and image, and how they were found.
//!
//! [`play`] serves the test on the host, the guest of `cargo xtask vm` and the command.

pub mod actor;
mod brief;
mod expect;
mod scenes;
mod session;

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::runtimes::{Kind, Runtime};
use crate::stage::netns::Namespace;
pub use brief::Briefs;
use session::Session;

/// Containers that live for an instant, in the test of each runtime.
pub const BRIEF: u32 = 20;

/// What is to be played.
#[derive(Clone, Debug)]
pub struct Plan {
    pub recorder: PathBuf,
    /// What runs in the containers: a static program with the subcommand `actor`.
    pub actor: PathBuf,
    /// A folder for recordings.
    pub work: PathBuf,
    pub runtimes: Vec<Kind>,
    /// All of them if none is named.
    pub scenes: Vec<String>,
    pub brief: u32,
}

impl Plan {
    /// Everything, with `recorder`.
    pub fn whole(recorder: &Path, actor: &Path, work: &Path) -> Self {
        Self {
            recorder: recorder.to_owned(),
            actor: actor.to_owned(),
            work: work.to_owned(),
            runtimes: Kind::ALL.to_vec(),
            scenes: Vec::new(),
            brief: BRIEF,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// What was right, one line each.
    pub right: Vec<String>,
    /// What cannot be recorded on this kernel, and why: by the recorder's own word.
    pub unhooked: Vec<String>,
    /// What was wrong.
    pub faults: Vec<String>,
    /// Containers that lived for an instant, by runtime.
    pub briefs: Vec<(Kind, Briefs)>,
}

impl Verdict {
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.right.iter().map(|line| format!("ok       {line}")).collect();
        lines.extend(self.briefs.iter().map(|(kind, briefs)| {
            let Briefs { count, owned, named } = briefs;
            format!("brief    {}: {count} containers, {owned} known, {named} named", kind.name())
        }));
        lines.extend(self.unhooked.iter().map(|line| format!("NOT SEEN {line}")));
        lines.extend(self.faults.iter().map(|line| format!("WRONG    {line}")));
        lines
    }
}

/// Plays the scenes in every runtime, one after the other.
pub fn play(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut told = 0;
    for kind in &plan.runtimes {
        let ns = Namespace::new()?;
        // In the namespace of the daemon, so that the host of this test is not the machine's.
        let runtime = Runtime::start(*kind, &ns, &plan.actor)?;
        let work = plan.work.join(kind.name());
        let mut session = Session::start(&plan.recorder, &work, &ns, &runtime)?;
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
        verdict.faults.iter().skip(told).for_each(|fault| eprintln!("WRONG {fault}"));
        told = verdict.faults.len();
    }
    Ok(verdict)
}
