//! What the user asked for: a recording, or what this host can record.

pub mod cli;
pub mod doctor;
pub mod print;
pub mod recorder;
