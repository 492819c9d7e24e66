//! What the user asked for: arguments, one run, Ctrl-C.

pub mod cli;
pub(crate) mod interrupt;
pub(crate) mod timing;
