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
//! `doctor` tells what this kernel can record, `audit` compares with the packets that left.

mod app;
pub mod audit;
mod clock;
mod error;
pub mod event;
mod host;
pub mod kernel;
pub mod owner;
mod stderr;
pub mod store;

pub use app::cli::Cli;
pub use app::run::run;
pub use clock::Clock;
pub use error::{Error, Result};
pub use event::losses::unkeyed as unkeyed_loss;
pub use host::Host;
pub(crate) use stderr::say;
