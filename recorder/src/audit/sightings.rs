//! Which sightings are one packet, and which packets had come in before they left.
//!
//! A packet may be seen at several devices (a bridge and its port, a VLAN and its device, a
//! router's two sides). Packets with the same [`Key`] are as many as the device that saw most
//! of them has seen.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::packet::Key;

/// Keys in memory: with 200 bytes each, 13 MB.
const MOST: usize = 64 * 1024;
/// How long a packet may be under way inside this host.
const UNDER_WAY: Duration = Duration::from_secs(5);
/// Devices that one packet passes, counted apart.
const DEVICES: usize = 4;

/// How often each device saw a packet.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    devices: [(u32, u32); DEVICES],
    most: u32,
}

impl Seen {
    /// Counts a sighting; true where it is a packet that no device had seen before.
    fn add(&mut self, device: u32) -> bool {
        // A fifth device sees what the four before have seen.
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

/// The sightings of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    passages: HashMap<Key, Passage>,
    /// In the order of their first sighting.
    order: VecDeque<(Instant, Key)>,
}

impl Sightings {
    /// Takes a packet that came in.
    pub(super) fn came(&mut self, key: Key, device: u32, now: Instant) {
        let passage = self.passage(key, now);
        // One that left before and is still on its way through this namespace (the other end of
        // a veth pair) has not come from anywhere.
        if passage.left.most <= passage.came.most {
            passage.came.add(device);
        }
    }

    /// Takes a packet at a device through which it leaves; `None` where another device had
    /// seen it leave.
    pub(super) fn left(&mut self, key: Key, device: u32, now: Instant) -> Option<Left> {
        let passage = self.passage(key, now);
        passage.left.add(device).then(|| Left {
            in_device: (passage.came.most >= passage.left.most)
                .then_some(passage.came.devices[0].0),
        })
    }

    fn passage(&mut self, key: Key, now: Instant) -> &mut Passage {
        self.forget(now);
        self.passages.entry(key).or_insert_with(|| {
            self.order.push_back((now, key));
            Passage::default()
        })
    }

    /// Makes room; under a flood the oldest go before their time.
    fn forget(&mut self, now: Instant) {
        while let Some((at, key)) = self.order.front()
            && (now.saturating_duration_since(*at) > UNDER_WAY || self.order.len() >= MOST)
        {
            self.passages.remove(key);
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
    fn memory_is_bounded_in_number_and_time() {
        let (mut sightings, now) = (Sightings::default(), Instant::now());
        for seq in 0..2 * MOST as u32 {
            sightings.came(rst(80, seq).key, 1, now);
        }
        assert!(sightings.passages.len() <= MOST && sightings.order.len() <= MOST);
        let later = now + UNDER_WAY * 2;
        assert_eq!(sightings.left(rst(80, 2 * MOST as u32 - 1).key, 2, later), OWN);
        assert_eq!(sightings.passages.len(), 1);
    }
}
