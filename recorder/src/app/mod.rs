//! The programs that a user starts: a recording, and `doctor`.

pub(crate) mod cli;
mod doctor;
mod pending;
mod print;
mod recorder;
pub(crate) mod run;
