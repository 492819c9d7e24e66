//! Every scenario with its expected row, one entry each, in the file of its kind.

mod handshake;
mod mptcp;
mod netfilter;
mod past;
mod tcp;
mod wire;

use anyhow::{Result, anyhow};

use crate::scene::Scenario;

/// All scenarios.
pub fn scenarios() -> impl Iterator<Item = &'static Scenario> + Clone {
    [
        tcp::SCENARIOS,
        handshake::SCENARIOS,
        past::SCENARIOS,
        mptcp::SCENARIOS,
        netfilter::SCENARIOS,
        wire::SCENARIOS,
    ]
    .into_iter()
    .flatten()
}

impl Scenario {
    /// The scenario of this name.
    pub fn find(name: &str) -> Result<&'static Scenario> {
        scenarios()
            .find(|scenario| scenario.name == name)
            .ok_or_else(|| anyhow!("unknown scenario {name:?}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::stage::flood::FLOOD_PORT;

    #[test]
    fn names_and_ports_are_unique_and_no_client_can_get_a_port_by_chance() {
        const EPHEMERAL: u16 = 32768;
        let count = scenarios().count();
        let names: HashSet<_> = scenarios().map(|scenario| scenario.name).collect();
        let ports: HashSet<_> =
            scenarios().map(|scenario| scenario.port).chain([FLOOD_PORT]).collect();
        assert_eq!(names.len(), count);
        assert_eq!(ports.len(), count + 1);
        assert!(ports.iter().all(|&port| port < EPHEMERAL));
    }
}
