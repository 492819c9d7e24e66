//! The table of scenarios and the table of causes know each other.

use std::collections::BTreeSet;

use scenarios::{Seen, scenarios};
use tcprst_schema::cause::{Blame, CAUSES, UNKNOWN};

#[test]
fn every_cause_has_a_scenario_and_every_scenario_a_cause() {
    let causes: BTreeSet<&str> = CAUSES.iter().map(|cause| cause.name).collect();
    let played: BTreeSet<&str> = scenarios()
        .filter(|scenario| scenario.expect.seen != Seen::Nothing)
        .map(|scenario| scenario.expect.cause)
        .filter(|cause| *cause != UNKNOWN)
        .collect();
    assert_eq!(causes, played);
}

#[test]
fn the_blame_of_a_scenario_is_that_of_its_cause() {
    for scenario in scenarios() {
        let Some(cause) = CAUSES.iter().find(|cause| cause.name == scenario.expect.cause) else {
            continue;
        };
        assert_eq!(scenario.expect.blame, cause.blame.map(Blame::name), "{}", scenario.name);
    }
}
