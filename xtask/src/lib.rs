//! Developer commands of tcprst, as a library so that tests and benches share them.
//!
//! Each command is a module with a clap `Args` and a `run(Args) -> anyhow::Result<()>`;
//! `main.rs` only chooses among them.

pub mod bench;
pub mod containers;
pub mod demo;
pub mod docs;
pub mod ebpf;
pub mod exit;
mod print;
pub mod sample_data;
pub mod simulate;
pub mod vm;
pub mod workspace;
