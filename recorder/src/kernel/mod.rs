//! Everything that asks the running kernel.
//!
//! ```text
//! btf      offsets of members, arguments, names of enumerators
//! probe    loads the kernel half; its rings and counters
//! attach   attaches the best hook for each site (locate, tracefs, perf)
//! symbols  names of addresses
//! proc     paths in /proc and /sys
//! ```

mod attach;
pub(crate) mod btf;
mod locate;
mod perf;
pub(crate) mod probe;
pub(crate) mod proc;
pub(crate) mod rings;
pub(crate) mod symbols;
mod tracefs;
