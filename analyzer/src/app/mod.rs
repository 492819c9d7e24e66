//! A run from arguments to exit code: the command line, the job, Ctrl-C.

pub(crate) mod cli;
pub(crate) mod run;
mod timing;
