//! The files of a recording: schemas, footers, names, and the code that reads and writes them.

pub mod arrow;
pub(crate) mod chunk;
pub mod footer;
mod hybrid;
pub mod paths;
pub mod profile;
pub mod resets;
pub mod rollup;
pub mod spool;
pub mod writer;
