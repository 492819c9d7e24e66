//! Edge cases, with the behaviour that people know from psql and duckdb: mistakes, Ctrl-C, too
//! little memory, output without a reader, hostile values.
//!
//! Needs `python3` for a terminal, and root for the test with a full disk.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod terminal;

mod files;
mod hostile;
mod interrupt;
mod limits;
mod mistakes;
mod shell;
mod verify;

/// A query that never ends by itself, on any machine.
const ENDLESS: &str = "select value from generate_series(1, 1000000000000000)";
