//! The history file of the shell. SQL may name hosts and containers, so only the user can read the
//! file.

use std::env;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// `$XDG_STATE_HOME/tcprst/history`; `None` without a home directory.
pub(super) fn path() -> Option<PathBuf> {
    let state = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = state("XDG_STATE_HOME").or_else(|| Some(state("HOME")?.join(".local/state")))?;
    Some(folder.join("tcprst/history"))
}

/// Creates the folder of the history file. The editor creates the file, with mode 0600.
pub(super) fn prepare(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => DirBuilder::new().recursive(true).mode(0o700).create(folder),
        None => Ok(()),
    }
}
