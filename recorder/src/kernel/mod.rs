//! Everything that asks the running kernel.
//!
//! ```text
//! btf      offsets of members, arguments, names of enumerators
//! probe    loads the kernel half; its rings and counters
//! attach   attaches the best hook for each site (locate, tracefs, perf)
//! sizes    of the kernel half's tables
//! symbols  names of addresses: kallsyms -> table, modules, programs (BPF)
//! proc     paths in /proc and /sys
//! ```

mod attach;
pub(crate) mod btf;
mod kallsyms;
mod locate;
mod modules;
mod perf;
pub(crate) mod probe;
pub(crate) mod proc;
pub(crate) mod programs;
pub(crate) mod rings;
pub(crate) mod sizes;
pub(crate) mod symbols;
mod table;
mod tracefs;
