//! Decides which sightings are the same packet, and which packets came in before they left.
//!
//! A packet may be seen at several devices (a bridge and its port, a VLAN and its device, a
//! router's two sides). The number of packets with one [`PacketKey`] is the highest count at any
//! single device.
//!
//! Address translation changes the flow of a packet that passes through, but neither its numbers
//! nor its flags. A nonzero sequence number is 32 random bits: if an incoming and an outgoing
//! packet share them within seconds, they are the same packet.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::packet::{Flow, PacketKey};

/// Maximum number of keys in memory: with 200 bytes each, 13 MB.
const MAX_KEYS: usize = 64 * 1024;
/// Longest time that a packet takes to pass through this host.
const UNDER_WAY: Duration = Duration::from_secs(5);
/// Maximum number of devices that are counted apart for one packet.
const DEVICES: usize = 4;

/// How often each device saw a packet.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    devices: [(u32, u32); DEVICES],
    most: u32,
}

impl Seen {
    /// Counts a sighting; returns true if no device had seen this packet before.
    fn add(&mut self, device: u32) -> bool {
        // Sightings at a fifth device are ignored: the first four have seen the packet.
        let slot = self.devices.iter_mut().find(|(index, n)| *n == 0 || *index == device);
        let Some((index, count)) = slot else {
            return false;
        };
        *index = device;
        *count += 1;
        let is_new = *count > self.most;
        self.most = self.most.max(*count);
        is_new
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Passage {
    came: Seen,
    left: Seen,
}

/// A packet that left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// The device through which it had come in.
    pub(super) in_device: Option<u32>,
}

/// Fields that no router changes.
type Numbers = (u32, u32, u8);

fn numbers(key: &PacketKey) -> Numbers {
    (key.seq, key.ack, key.flags)
}

/// The sightings of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    passages: HashMap<PacketKey, Passage>,
    /// Packets that came in and have not left yet, to recognize those that leave with another flow.
    under_way: HashMap<Numbers, (Flow, u32)>,
    /// Keys in the order of their first sighting.
    order: VecDeque<(Instant, PacketKey)>,
}

impl Sightings {
    /// Counts a packet that came in.
    pub(super) fn came(&mut self, key: PacketKey, device: u32, now: Instant) {
        let passage = self.passage(key, now);
        // A packet that left before and is still on its way through this namespace (at the other
        // end of a veth pair) did not come in from outside.
        if passage.left.most <= passage.came.most {
            let is_new = passage.came.add(device);
            if is_new && (key.seq, key.ack) != (0, 0) {
                self.under_way.insert(numbers(&key), (key.flow, device));
            }
        }
    }

    /// Counts a packet at a device through which it leaves; `None` if another device has already
    /// seen it leave.
    pub(super) fn left(&mut self, key: PacketKey, device: u32, now: Instant) -> Option<Left> {
        let passage = self.passage(key, now);
        if !passage.left.add(device) {
            return None;
        }
        if passage.came.most >= passage.left.most {
            let in_device = passage.came.devices[0].0;
            self.under_way.remove(&numbers(&key));
            return Some(Left { in_device: Some(in_device) });
        }
        Some(Left { in_device: self.translated(&key) })
    }

    /// The device through which a packet came in under another flow.
    fn translated(&mut self, key: &PacketKey) -> Option<u32> {
        let (flow, device) = *self.under_way.get(&numbers(key))?;
        (flow != key.flow).then(|| {
            self.under_way.remove(&numbers(key));
            device
        })
    }

    fn passage(&mut self, key: PacketKey, now: Instant) -> &mut Passage {
        self.forget(now);
        self.passages.entry(key).or_insert_with(|| {
            self.order.push_back((now, key));
            Passage::default()
        })
    }

    /// Drops old keys; in a flood the oldest ones are dropped early.
    fn forget(&mut self, now: Instant) {
        while let Some((at, key)) = self.order.front()
            && (now.saturating_duration_since(*at) > UNDER_WAY || self.order.len() >= MAX_KEYS)
        {
            self.passages.remove(key);
            if self.under_way.get(&numbers(key)).is_some_and(|(flow, _)| *flow == key.flow) {
                self.under_way.remove(&numbers(key));
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::tests::rst;
    use super::*;

    const OWN: Option<Left> = Some(Left { in_device: None });

    #[test]
    fn a_packet_that_leaves_through_two_devices_is_one() {
        let (mut sightings, now) = (Sightings::default(), Instant::now());
        let key = rst(80, 1).key;
        for _ in 0..3 {
            assert_eq!(sightings.left(key, 1, now), OWN, "at the bridge");
            assert_eq!(sightings.left(key, 2, now), None, "at its port");
        }
        assert_eq!(sightings.left(rst(80, 2).key, 2, now), OWN, "another packet");
    }

    #[test]
    fn what_came_in_before_it_left_is_forwarded() {
        let (mut sightings, now) = (Sightings::default(), Instant::now());
        let key = rst(80, 1).key;
        sightings.came(key, 1, now);
        // The port first, then its bridge.
        sightings.came(key, 2, now);
        assert_eq!(sightings.left(key, 3, now), Some(Left { in_device: Some(1) }));
        assert_eq!(sightings.left(key, 4, now), None);
        assert_eq!(sightings.left(key, 3, now), OWN, "a second one came from nowhere");
    }

    #[test]
    fn what_left_before_it_came_in_is_our_own() {
        let (mut sightings, now) = (Sightings::default(), Instant::now());
        let key = rst(80, 1).key;
        // Out of one end of a veth pair, in at the other, and out to the world.
        assert_eq!(sightings.left(key, 1, now), OWN);
        sightings.came(key, 2, now);
        assert_eq!(sightings.left(key, 3, now), None);
        assert_eq!(sightings.left(key, 1, now), OWN, "and once more");
    }

    #[test]
    fn a_translated_packet_is_known_by_its_numbers() {
        let (mut sightings, now) = (Sightings::default(), Instant::now());
        let inside = PacketKey { ack: 0, ..rst(80, 1).key };
        let outside = PacketKey { ack: 0, ..rst(81, 1).key };
        sightings.came(inside, 1, now);
        assert_eq!(sightings.left(outside, 2, now), Some(Left { in_device: Some(1) }));
        assert_eq!(
            sightings.left(PacketKey { ack: 0, ..rst(82, 1).key }, 2, now),
            OWN,
            "only once"
        );

        let turned = |key: PacketKey| PacketKey {
            flow: Flow { src: key.flow.dst, dst: key.flow.src },
            ..key
        };
        sightings.came(PacketKey { ack: 0, ..rst(80, 2).key }, 1, now);
        let left = sightings.left(turned(PacketKey { ack: 0, ..rst(80, 2).key }), 2, now);
        assert_eq!(left, Some(Left { in_device: Some(1) }), "both ends");
        // Without numbers nothing is proven.
        sightings.came(PacketKey { ack: 0, ..rst(80, 0).key }, 1, now);
        assert_eq!(sightings.left(PacketKey { ack: 0, ..rst(81, 0).key }, 2, now), OWN);
    }

    #[test]
    fn memory_is_bounded_in_number_and_time() {
        let (mut sightings, now) = (Sightings::default(), Instant::now());
        for seq in 0..2 * MAX_KEYS as u32 {
            sightings.came(rst(80, seq).key, 1, now);
        }
        assert!(sightings.passages.len() <= MAX_KEYS && sightings.order.len() <= MAX_KEYS);
        assert!(sightings.under_way.len() <= MAX_KEYS);
        let later = now + UNDER_WAY * 2;
        assert_eq!(sightings.left(rst(80, 2 * MAX_KEYS as u32 - 1).key, 2, later), OWN);
        assert_eq!(sightings.passages.len(), 1);
    }
}
