//! What is no RST of this kernel: ICMP refusals, crafted and forwarded packets, the receiver's end.

use super::super::scene::Scenario;

pub(super) const SCENARIOS: &[Scenario] = &[];
