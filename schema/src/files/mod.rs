//! The files of a recording: schemas, footers, names, and the code that reads and writes them.

pub mod arrow;
pub mod footer;
pub mod paths;
pub mod rollup;
pub mod spool;
pub mod writer;
