//! `tcprst-record`: from the kernel's ring buffers to Parquet.
//!
//! ```text
//! app     arguments -> a recording: the write thread, `--print`, `doctor`
//! audit   --audit: compares the packets that left with the events
//! store   rows -> account (seen = written + counted + lost) -> spool -> sealed segments
//! owner   who owns a reset: processes, containers, the container runtimes
//! event   ring (the drain thread) -> decode -> enrich (stacks, cause) -> rows; losses, storm
//! kernel  loads and attaches the kernel half; asks BTF, kallsyms and tracefs
//! error, host, clock, stderr
//! hash, wake, memory   quick hash tables; the sleep of threads; the allocator
//! ```
//!
//! Each line uses its own and lower lines only; `audit` and `store` do not use each other, and
//! neither do `owner` and `event`.

mod app;
mod audit;
mod clock;
mod error;
mod event;
mod hash;
mod host;
mod kernel;
mod memory;
mod owner;
mod stderr;
pub mod store;
mod wake;

pub use app::cli::Cli;
pub use app::run::run;
pub use clock::Clock;
pub use error::{Error, Result};
pub use event::losses::unkeyed as unkeyed_loss;
pub use host::Host;
