//! Resets that firewall rules send: `nf_send_reset` and its like.

use super::super::scene::Scenario;

pub(super) const SCENARIOS: &[Scenario] = &[];
