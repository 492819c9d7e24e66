//! Hashes of what strangers choose: command names, addresses, stacks. Fast, because there is one for
//! each event, and with a seed that nobody knows.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// A map with such hashes.
pub(crate) type Map<K, V> = HashMap<K, V, ahash::RandomState>;

/// An empty map.
pub(crate) fn map<K, V>() -> Map<K, V> {
    let seed = |number: u64| RandomState::new().hash_one(number);
    HashMap::with_hasher(ahash::RandomState::with_seeds(seed(0), seed(1), seed(2), seed(3)))
}
