//! Addresses at the other end of connections.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fastrand::Rng;

/// Number of clients in the world.
const WORLD: usize = 94_000;
const WORLD_V6: usize = 6_000;
/// Number of pods on other hosts of the cluster.
const CLUSTER: usize = 240;

/// Addresses, the most frequent first.
#[derive(Debug)]
pub(crate) struct Peers {
    pub(crate) world_v4: Vec<IpAddr>,
    pub(crate) world_v6: Vec<IpAddr>,
    pub(crate) cluster: Vec<IpAddr>,
}

impl Peers {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self {
            world_v4: (0..WORLD).map(|_| public_v4(rng)).collect(),
            world_v6: (0..WORLD_V6).map(|_| public_v6(rng)).collect(),
            cluster: (0..CLUSTER)
                .map(|at| {
                    let (node, pod) = (10 + at / 40, 2 + at % 40);
                    Ipv4Addr::new(10, 244, node as u8, pod as u8).into()
                })
                .collect(),
        }
    }
}

/// Draws an index by Zipf's law with exponent 1, through the inverse of its (continuous)
/// distribution.
pub(crate) fn zipf(rng: &mut Rng, ln_length: f64) -> usize {
    ((rng.f64() * ln_length).exp() - 1.0) as usize
}

/// The parameter of [`zipf`] for a list of this length.
pub(crate) fn ln_length(length: usize) -> f64 {
    ((length + 1) as f64).ln()
}

/// An address that is neither private nor reserved.
fn public_v4(rng: &mut Rng) -> IpAddr {
    const FIRST: [u8; 24] = [
        2, 5, 24, 31, 37, 46, 62, 73, 77, 80, 84, 88, 91, 93, 95, 98, 109, 151, 176, 178, 185, 188,
        212, 217,
    ];
    let first = FIRST[rng.usize(..FIRST.len())];
    Ipv4Addr::new(first, rng.u8(..), rng.u8(..), rng.u8(1..255)).into()
}

fn public_v6(rng: &mut Rng) -> IpAddr {
    const SECOND: [u16; 6] = [0x0410, 0x0a01, 0x0e0a, 0x1028, 0x4dd0, 0x8108];
    let prefix = if rng.bool() { 0x2a02 } else { 0x2001 };
    Ipv6Addr::new(
        prefix,
        SECOND[rng.usize(..SECOND.len())],
        rng.u16(..),
        rng.u16(..),
        rng.u16(..),
        rng.u16(..),
        rng.u16(..),
        rng.u16(..),
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_come_most_often_and_all_are_in_the_list() {
        let mut rng = Rng::with_seed(1);
        let ln = ln_length(1000);
        let mut counts = vec![0; 1000];
        (0..100_000).for_each(|_| counts[zipf(&mut rng, ln)] += 1);
        assert!(counts[0] > counts[9] && counts[9] > counts[99]);
        assert!(counts[0] > 8_000, "{}", counts[0]);
    }
}
