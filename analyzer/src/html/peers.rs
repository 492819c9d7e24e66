//! The most frequent addresses at the other end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use serde::Serialize;

use super::batches;
use super::cube::{CubeCells, CubeKey, FoldedKeys, Keys, key_rows};
use super::source::{Source, all_of, count_by};
use crate::error::Error;

/// Peers listed for all resets.
const MAX_OVERALL: usize = 100;

/// Peers listed for each cause and each container, so that a filter by one finds its peers.
const MAX_OF_EACH: usize = 10;

/// Maximum number of peers that all causes, or all containers, add.
const MAX_OF_ALL_EACH: usize = 300;

const MAX_CELLS: usize = 150_000;

#[derive(Debug, Default, Serialize)]
pub(super) struct Peers {
    /// The most frequent overall come first.
    names: Vec<String>,
    /// The number of peers in the window.
    distinct: u64,
    cells: PeerCells,
}

#[derive(Debug, Default, Serialize)]
struct PeerCells {
    peer: Vec<u32>,
    #[serde(flatten)]
    cells: CubeCells,
}

/// The addresses to list, and the number of all addresses.
async fn most_frequent(source: &Source<'_>, within: &str) -> Result<(Vec<String>, u64), Error> {
    let peer = source.peer();
    let overall = format!(
        "select peer, count(*) over () as peers from \
         (select {peer} as peer, count(*) as n from resets{within} group by {peer}) \
         order by n desc, peer limit {MAX_OVERALL}"
    );
    let of_each = |part: &str| {
        format!(
            "select peer from (select peer, n, row_number() over \
             (partition by part order by n desc, peer) as place from \
             (select {peer} as peer, {part} as part, count(*) as n from resets{within} \
             group by {peer}, {part})) where place <= {MAX_OF_EACH} \
             order by n desc, peer limit {MAX_OF_ALL_EACH}"
        )
    };
    let mut names = Vec::new();
    let mut known = HashSet::new();
    let mut distinct = 0;
    for sql in [overall, of_each("cause"), of_each("coalesce(container_name, k8s_pod)")] {
        for batch in source.collect(&sql).await? {
            if batch.column_by_name("peers").is_some() {
                distinct = batches::counts(&batch, "peers")?.first().copied().unwrap_or(distinct);
            }
            for name in batches::texts(&batch, "peer")?.into_iter().flatten() {
                // Recorded text goes into SQL below, but only as a canonical address.
                let is_address = name.parse().is_ok_and(|ip: IpAddr| ip.to_string() == name);
                if is_address && known.insert(name.clone()) {
                    names.push(name);
                }
            }
        }
    }
    Ok((names, distinct))
}

pub(super) async fn load(
    source: &Source<'_>,
    keys: &Keys,
    folded: &FoldedKeys,
) -> Result<Peers, Error> {
    let peer = source.peer();
    let mut conditions = source.conditions();
    conditions.push(source.of_peer(" is not null"));
    let (names, distinct) = most_frequent(source, &all_of(&conditions)).await?;
    let places: HashMap<String, usize> =
        names.iter().enumerate().map(|(place, name)| (name.clone(), place)).collect();
    if names.is_empty() {
        return Ok(Peers::default());
    }
    let listed = names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>();
    conditions.push(source.of_peer(&format!(" in ({})", listed.join(", "))));
    let mut counted: Vec<BTreeMap<CubeKey, u64>> = vec![BTreeMap::new(); names.len()];
    for batch in source.collect(&count_by(&peer, "peer", &all_of(&conditions))).await? {
        let peers = batches::texts(&batch, "peer")?;
        for (row, peer) in key_rows(&batch)?.into_iter().zip(peers) {
            let place = peer.and_then(|peer| places.get(&peer));
            if let (Some(place), Some(key)) = (place, keys.find(folded, &row)) {
                *counted[*place].entry(key).or_default() += row.n;
            }
        }
    }

    let mut peers = Peers { distinct, ..Peers::default() };
    for (name, cells) in names.into_iter().zip(counted) {
        // Complete peers only: a peer is listed with exact numbers or not at all.
        if peers.cells.peer.len() + cells.len() > MAX_CELLS {
            break;
        }
        let peer = u32::try_from(peers.names.len()).unwrap_or(u32::MAX);
        peers.names.push(name);
        for (key, n) in cells {
            peers.cells.peer.push(peer);
            peers.cells.cells.push(key, n);
        }
    }
    Ok(peers)
}
