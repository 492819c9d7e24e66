//! Compares packets that left with recorded events, flow by flow.
//!
//! A packet and an event of one flow explain each other, in whatever order they come; one that is
//! still unmatched after [`SETTLE`] is a difference. A difference is only named where nothing else
//! can explain it: as many unmatched packets as events were lost are `unknown` rather than
//! `crafted`, and as many unmatched events as packets were dropped are `missed` rather than
//! `unsent`. The same holds for a packet and an event that share one end: address translation on
//! the way out may have changed the other.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::devices::Devices;
use super::excuse::{Difference, Excuse, Excuses, entry};
use super::packet::Flow;
use super::sightings::{Left, Sightings};
use super::socket::Sighting;

/// Rings are drained every 100 ms, but the writer may be late: it rereads the kernel's symbols for
/// new modules and programs. In an emulated guest on a busy machine two seconds were too few, and
/// once even ten. Only unmatched packets and events wait.
const SETTLE: Duration = Duration::from_secs(30);
/// Maximum number of packets and events that wait for a match: 10 MB.
const MAX_WAITING: usize = 64 * 1024;
/// Maximum number of flows with a difference in one report; the rest is summed up.
const MAX_DIFFERENT: usize = 4096;
/// A loss excuses differences that are reported up to this much later, because they settle late.
const EXCUSED: Duration = Duration::from_secs(45);

/// Where a packet was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeenAt {
    pub(super) device: u32,
    pub(super) in_device: Option<u32>,
    pub(super) ttl: u8,
}

/// One side of the comparison. An edge is from before or after the compared time: it can explain
/// the other side, and needs no explanation itself.
#[derive(Clone, Copy, Debug)]
struct Packet {
    at: Instant,
    is_edge: bool,
    seen_at: SeenAt,
}

#[derive(Clone, Copy, Debug)]
struct Recorded {
    at: Instant,
    is_edge: bool,
}

/// Unmatched packets or unmatched events of a flow; never both.
#[derive(Debug, Default)]
struct Waiting {
    packets: VecDeque<Packet>,
    events: VecDeque<Recorded>,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    count: u64,
    seen_at: Option<SeenAt>,
}

/// One line of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) count: u64,
    pub(super) flow: Option<Flow>,
    pub(super) seen_at: Option<SeenAt>,
}

/// Sums since the last report.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    seen: u64,
    recorded: u64,
    lost: u64,
    dropped: u64,
    overflow: u64,
}

/// The comparison of packets with events.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sightings: Sightings,
    devices: Devices,
    waiting: HashMap<Flow, Waiting>,
    alone: usize,
    found: HashMap<(Flow, Difference), Found>,
    /// Differences of flows beyond the maximum.
    rest: HashMap<Difference, u64>,
    sums: Sums,
    excuse: Excuse,
    excuses: VecDeque<(Instant, Excuse)>,
    is_blind: bool,
    /// Some function that builds RSTs has no hook on this kernel.
    is_partial: bool,
}

impl Ledger {
    /// Takes a sighting of a RST.
    pub(super) fn packet(&mut self, sighting: &Sighting, is_edge: bool, now: Instant) {
        let Sighting { rst, device, outgoing } = *sighting;
        self.devices.meet(device);
        if !outgoing {
            self.sightings.came(rst.key, device, now);
            return;
        }
        let Some(Left { in_device }) = self.sightings.left(rst.key, device, now) else {
            return;
        };
        let packet =
            Packet { at: now, is_edge, seen_at: SeenAt { device, in_device, ttl: rst.ttl } };
        let flow = rst.key.flow;
        if in_device.is_some() {
            // The packet came in first: an event of this flow belongs to another packet.
            self.settle_packet(flow, &packet, Difference::Forwarded);
        } else if let Some(event) = self.partner(&flow, |waiting| waiting.events.pop_front()) {
            self.explained(is_edge && event.is_edge);
        } else if self.has_room(is_edge) {
            self.waiting.entry(flow).or_default().packets.push_back(packet);
        } else {
            self.excuse.missed += 1;
        }
    }

    /// Takes a recorded event.
    pub(super) fn event(&mut self, flow: Flow, is_edge: bool, now: Instant) {
        let is_edge = is_edge || self.is_blind;
        if let Some(packet) = self.partner(&flow, |waiting| waiting.packets.pop_front()) {
            self.explained(is_edge && packet.is_edge);
        } else if self.has_room(is_edge) {
            let event = Recorded { at: now, is_edge };
            self.waiting.entry(flow).or_default().events.push_back(event);
        } else {
            self.excuse.lost += 1;
        }
    }

    fn partner<T>(
        &mut self,
        flow: &Flow,
        take: impl FnOnce(&mut Waiting) -> Option<T>,
    ) -> Option<T> {
        let waiting = self.waiting.get_mut(flow)?;
        let partner = take(waiting)?;
        if waiting.packets.is_empty() && waiting.events.is_empty() {
            self.waiting.remove(flow);
        }
        self.alone -= 1;
        Some(partner)
    }

    fn explained(&mut self, are_edges: bool) {
        if !are_edges {
            self.sums.seen += 1;
            self.sums.recorded += 1;
        }
    }

    fn has_room(&mut self, is_edge: bool) -> bool {
        let has_room = self.alone < MAX_WAITING;
        if has_room {
            self.alone += 1;
        } else if !is_edge {
            self.sums.overflow += 1;
        }
        has_room
    }

    /// Counts packets that did not fit into the socket, or could not be read.
    pub(super) fn dropped(&mut self, count: u64) {
        self.sums.dropped += count;
        self.excuse.missed += count;
    }

    /// Counts lost events that belong, or may belong, to this namespace.
    pub(super) fn lost(&mut self, src_port: Option<u16>, count: u64) {
        if count == 0 {
            return;
        }
        self.sums.lost += count;
        match src_port {
            Some(port) => *self.excuse.lost_by_port.entry(port).or_default() += count,
            None => self.excuse.lost += count,
        }
    }

    /// Some function that builds RSTs has no hook on this kernel: no packet is called `crafted`.
    pub(super) fn expect_unhooked(&mut self) {
        self.is_partial = true;
    }

    /// No more packets will come: from now on an event without a packet proves nothing.
    pub(super) fn go_blind(&mut self) {
        self.is_blind = true;
    }

    /// Names of the devices that packets passed.
    pub(super) fn devices(&self) -> &Devices {
        &self.devices
    }

    /// Settles packets and events that have waited long enough.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.settle(|at| now.saturating_duration_since(at) >= SETTLE);
    }

    /// Settles everything: no packets or events will follow.
    pub(super) fn settle_all(&mut self) {
        self.settle(|_| true);
    }

    fn settle(&mut self, is_due: impl Fn(Instant) -> bool) {
        let mut packets = Vec::new();
        let mut events = Vec::new();
        self.waiting.retain(|flow, waiting| {
            while let Some(packet) = waiting.packets.pop_front_if(|packet| is_due(packet.at)) {
                packets.push((*flow, packet));
            }
            while let Some(event) = waiting.events.pop_front_if(|event| is_due(event.at)) {
                events.push((*flow, event));
            }
            !waiting.packets.is_empty() || !waiting.events.is_empty()
        });
        self.alone -= packets.len() + events.len();
        for (flow, packet) in packets {
            self.settle_packet(flow, &packet, Difference::Unexplained);
        }
        for (flow, _) in events.iter().filter(|(_, event)| !event.is_edge) {
            self.sums.recorded += 1;
            self.differ(*flow, Difference::Unsent, None);
        }
    }

    fn settle_packet(&mut self, flow: Flow, packet: &Packet, difference: Difference) {
        if !packet.is_edge {
            self.sums.seen += 1;
            self.differ(flow, difference, Some(packet.seen_at));
        }
    }

    fn differ(&mut self, flow: Flow, difference: Difference, seen_at: Option<SeenAt>) {
        let has_room = self.found.len() < MAX_DIFFERENT;
        match self.found.get_mut(&(flow, difference)) {
            Some(found) => found.count += 1,
            None if has_room => {
                self.found.insert((flow, difference), Found { count: 1, seen_at });
            }
            None => *self.rest.entry(difference).or_default() += 1,
        }
    }

    /// The account since the last report; empty where nothing happened.
    pub(super) fn report(&mut self, now: Instant) -> Vec<Entry> {
        let sums = std::mem::take(&mut self.sums);
        let excuse = Excuse { is_partial: self.is_partial, ..std::mem::take(&mut self.excuse) };
        self.excuses.push_back((now, excuse));
        let mut excuses = Excuses::sum(self.excuses.iter().map(|(_, excuse)| excuse));
        for ((flow, difference), found) in &self.found {
            excuses.add_ends(*difference, flow, found.count);
        }
        self.excuses.retain(|(at, _)| now.saturating_duration_since(*at) < EXCUSED);

        let mut entries = Vec::new();
        let sum = |name, count| Entry { name, count, flow: None, seen_at: None };
        let is_active = sums.seen + sums.recorded + sums.dropped + sums.overflow > 0;
        if is_active {
            entries.push(sum(entry::SEEN, sums.seen));
            entries.push(sum(entry::RECORDED, sums.recorded));
        }
        // Losses matter here only if there is something to compare.
        let lost = if is_active { sums.lost } else { 0 };
        let others =
            [(entry::LOST, lost), (entry::DROPPED, sums.dropped), (entry::OVERFLOW, sums.overflow)];
        entries.extend(others.map(|(name, count)| sum(name, count)));
        for ((flow, difference), found) in self.found.drain() {
            let named = excuses.name(difference, Some(flow), found.count);
            entries.extend(named.map(|(name, count)| Entry {
                name,
                count,
                flow: Some(flow),
                seen_at: found.seen_at,
            }));
        }
        for (difference, count) in self.rest.drain() {
            let named = excuses.name(difference, None, count);
            entries.extend(named.map(|(name, count)| sum(name, count)));
        }
        entries.retain(|entry| {
            entry.count > 0 || [entry::SEEN, entry::RECORDED].contains(&entry.name)
        });
        entries
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
