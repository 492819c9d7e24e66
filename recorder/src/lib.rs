//! `tcprst-record`: from the kernel's ring buffers to Parquet.
//!
//! ```text
//! probe    loads the kernel half
//! attach   attaches the best hook for each site (functions, tracefs, perf)
//!   |      one ring buffer for each CPU
//! ring     the drain thread: rings -> decode -> a bounded channel
//!   |
//! recorder the write thread: enrich (stacks <- symbols, cause, task) -> rows
//!   |
//! store    account (seen = written + lost), day, seal policy
//!   |
//! segment  batch -> spool (Arrow IPC, synced) and parquet (tmp, fsync, rename)
//! ```
//!
//! `recover` turns what a killed recorder left into segments, `losses` writes what was lost,
//! `sample` writes a recording that nobody recorded, for benches and tests;
//! `doctor` tells what this kernel can record, `audit` compares with the packets that left.

pub mod account;
mod attach;
pub mod audit;
pub mod batch;
pub mod cli;
pub mod clock;
pub mod decode;
pub mod doctor;
pub mod enrich;
pub mod error;
mod functions;
pub mod host;
pub mod kernel;
pub mod losses;
pub mod owner;
mod perf;
pub mod print;
pub mod probe;
pub mod recorder;
pub mod recover;
pub mod ring;
pub mod sample;
pub mod say;
pub mod seal;
pub mod segment;
pub mod spool;
pub mod stacks;
pub mod store;
pub mod symbols;
mod tracefs;
