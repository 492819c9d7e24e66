//! Everything that asks the running kernel.

mod attach;
pub mod btf;
mod locate;
mod perf;
pub mod probe;
pub mod symbols;
mod tracefs;
