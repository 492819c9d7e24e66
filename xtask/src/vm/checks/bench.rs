//! What the tests have in common.

use std::path::PathBuf;

/// The programs and folders of a test.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) recorder: PathBuf,
    /// The program in the containers: this one.
    pub(crate) actor: PathBuf,
    /// A folder for recordings.
    pub(crate) work: PathBuf,
    /// The scenarios of `causes`; all of them if none is named.
    pub(crate) scenarios: Vec<String>,
}

/// The faults that a test found, one line each.
pub(super) type Faults = Vec<String>;
