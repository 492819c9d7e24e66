//! Names of differences, and the losses that may explain them.

use std::collections::HashMap;
use std::net::IpAddr;

use super::packet::Flow;

/// The names of entries.
pub(super) mod entry {
    pub(crate) const SEEN: &str = "seen";
    pub(crate) const RECORDED: &str = "recorded";
    pub(crate) const CRAFTED: &str = "crafted";
    pub(crate) const FORWARDED: &str = "forwarded";
    pub(crate) const UNKNOWN: &str = "unknown";
    pub(crate) const UNSENT: &str = "unsent";
    pub(crate) const MISSED: &str = "missed";
    pub(crate) const LOST: &str = "lost";
    pub(crate) const DROPPED: &str = "dropped";
    pub(crate) const OVERFLOW: &str = "overflow";
}

/// A kind of unmatched packet or event of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Difference {
    Forwarded,
    Unexplained,
    Unsent,
}

/// Losses that make the comparison incomplete.
#[derive(Clone, Debug, Default)]
pub(super) struct Excuse {
    /// Lost events by source port of the RST, where the port is known.
    pub(super) lost_by_port: HashMap<u16, u64>,
    pub(super) lost: u64,
    /// Packets that were not read.
    pub(super) missed: u64,
    /// A function that builds RSTs has no hook on this kernel and may have built any packet.
    pub(super) is_partial: bool,
}

/// Everything that may explain the differences of one report.
#[derive(Debug, Default)]
pub(super) struct Excuses {
    sum: Excuse,
    lost_by_ports: u64,
    /// Differences by the ends of their flows.
    ends: HashMap<(Difference, End), u64>,
}

/// One end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum End {
    Source((IpAddr, u16)),
    Destination((IpAddr, u16)),
}

impl Excuses {
    pub(super) fn sum<'a>(excuses: impl Iterator<Item = &'a Excuse>) -> Self {
        let mut all = Self::default();
        for excuse in excuses {
            all.sum.lost += excuse.lost;
            all.sum.missed += excuse.missed;
            all.sum.is_partial |= excuse.is_partial;
            for (port, count) in &excuse.lost_by_port {
                *all.sum.lost_by_port.entry(*port).or_default() += count;
                all.lost_by_ports += count;
            }
        }
        all
    }

    pub(super) fn add_ends(&mut self, difference: Difference, flow: &Flow, count: u64) {
        for end in [End::Source(flow.src), End::Destination(flow.dst)] {
            *self.ends.entry((difference, end)).or_default() += count;
        }
    }

    /// Differences of the other side that may be the same packets, with one end translated.
    fn translated(&self, other: Difference, flow: Option<Flow>) -> u64 {
        let ends = flow.map(|flow| [End::Source(flow.src), End::Destination(flow.dst)]);
        let of_end = |end| self.ends.get(&(other, end)).copied().unwrap_or(0);
        ends.into_iter().flatten().map(of_end).sum()
    }

    /// Splits the count of a flow's differences into a certain and a doubtful name.
    pub(super) fn name(
        &self,
        difference: Difference,
        flow: Option<Flow>,
        count: u64,
    ) -> [(&'static str, u64); 2] {
        let (certain, doubtful, excused) = match difference {
            Difference::Forwarded => (entry::FORWARDED, entry::UNKNOWN, 0),
            Difference::Unexplained if self.sum.is_partial => {
                (entry::CRAFTED, entry::UNKNOWN, count)
            }
            Difference::Unexplained => {
                let of_port = match flow {
                    Some(flow) => self.sum.lost_by_port.get(&flow.src.1).copied().unwrap_or(0),
                    None => self.lost_by_ports,
                };
                let translated = self.translated(Difference::Unsent, flow);
                (entry::CRAFTED, entry::UNKNOWN, self.sum.lost + of_port + translated)
            }
            Difference::Unsent => {
                let translated = self.translated(Difference::Unexplained, flow);
                (entry::UNSENT, entry::MISSED, self.sum.missed + translated)
            }
        };
        let excused = count.min(excused);
        [(certain, count - excused), (doubtful, excused)]
    }
}
