//! A run from arguments to exit code: the command line, the job, Ctrl-C.

pub mod cli;
pub mod run;
mod timing;
