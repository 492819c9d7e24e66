//! The way of one event to a row: out of the ring, decoded, named, its cause found.

pub mod decode;
pub mod enrich;
pub mod losses;
pub mod ring;
pub mod stacks;
