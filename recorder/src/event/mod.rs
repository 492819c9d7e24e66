//! From a ring buffer to a row.
//!
//! ```text
//! ring    the drain thread: rings -> decode -> a bounded channel
//! enrich  an event's names, task and cause (stacks <- kernel::symbols) -> a row
//! profile rows that are equal but for what is their own share one: that is done once for each
//! aftermath  the cause of a reset that follows from another one
//! losses  counters of the kernel half -> rows of the table `losses`
//! storm   counts of the kernel half in place of events (storm_table) -> groups of the rollup
//! ```

pub(crate) mod aftermath;
pub(crate) mod decode;
pub(crate) mod enrich;
pub(crate) mod losses;
pub(crate) mod profile;
pub(crate) mod ring;
pub(crate) mod stacks;
pub(crate) mod storm;
mod storm_table;
