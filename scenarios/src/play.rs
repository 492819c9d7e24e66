//! The runner: plays scenarios one after another in a network namespace.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::deadline::Deadline;
use crate::scene::{Caused, Impossible, Outcome, Scenario, Scene};
use crate::stage::netns::Namespace;
use crate::stage::process::alone;
use crate::table::scenarios;

/// No scenario needs more than three seconds on an idle machine.
const TIME_LIMIT: Duration = Duration::from_secs(20);

impl Scenario {
    /// Plays the scenario in the calling thread's network namespace.
    fn play(&self) -> Result<Outcome> {
        let scene =
            Scene { name: self.name, port: self.port, deadline: Deadline::after(TIME_LIMIT) };
        match (self.run)(&scene) {
            Ok(caused) => Ok(Outcome::Caused(caused)),
            Err(error) => match error.downcast_ref() {
                Some(Impossible(why)) => Ok(Outcome::Impossible(why.clone())),
                None => Err(error.context(format!("scenario {}", self.name))),
            },
        }
    }
}

/// Plays the named scenarios one after another, all of them if none is named. The outcome of a
/// scenario that this kernel cannot produce says why.
pub fn play(ns: &Namespace, names: &[&str]) -> Result<Vec<(&'static Scenario, Outcome)>> {
    let chosen: Vec<&Scenario> = match names {
        [] => scenarios().collect(),
        _ => names.iter().map(|name| Scenario::find(name)).collect::<Result<_>>()?,
    };
    let _alone = alone();
    ns.run(|| chosen.iter().map(|scenario| Ok((*scenario, scenario.play()?))).collect())
}

/// The same where all of them must be possible.
pub fn run_all(ns: &Namespace, names: &[&str]) -> Result<Vec<Caused>> {
    let played = play(ns, names)?;
    played
        .into_iter()
        .map(|(scenario, outcome)| match outcome {
            Outcome::Caused(caused) => Ok(caused),
            Outcome::Impossible(why) => bail!("scenario {}: {why}", scenario.name),
        })
        .collect()
}
