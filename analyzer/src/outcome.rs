//! How far an answer goes, and the exit code that says so.

use std::process::ExitCode;

use crate::error::INTERRUPTED;

/// How far an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It covers everything that was recorded.
    Complete,
    /// Files were skipped. Scripts must be able to see that, so it is exit code 1.
    Partial,
    /// The user pressed Ctrl-C.
    Interrupted,
}

impl Outcome {
    /// Complete only where both are.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        if self == Outcome::Complete || other == Outcome::Interrupted { other } else { self }
    }

    pub fn exit_code(self) -> ExitCode {
        match self {
            Outcome::Complete => ExitCode::SUCCESS,
            Outcome::Partial => ExitCode::from(1),
            Outcome::Interrupted => ExitCode::from(INTERRUPTED),
        }
    }
}
