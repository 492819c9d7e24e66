//! Exit codes: 0 done, 1 failed, 2 usage (clap's own), 3 not permitted.

use std::fmt;
use std::process::ExitCode;

use anyhow::{Result, bail};
use nix::unistd::Uid;

const FAILED: u8 = 1;
const NOT_PERMITTED: u8 = 3;

/// The command needs rights that this process does not have.
#[derive(Debug)]
pub(crate) struct NotPermitted(&'static str);

impl fmt::Display for NotPermitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not permitted: {}", self.0)
    }
}

impl std::error::Error for NotPermitted {}

/// Fails with [`NotPermitted`], whose text is `why`, unless the process is root.
pub(crate) fn require_root(why: &'static str) -> Result<()> {
    if !Uid::effective().is_root() {
        bail!(NotPermitted(why));
    }
    Ok(())
}

/// Prints the error on stderr, if there is one, and chooses the exit code.
pub(crate) fn code(done: Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(match error.is::<NotPermitted>() {
                true => NOT_PERMITTED,
                false => FAILED,
            })
        }
    }
}
