//! Where the shell remembers what was typed: SQL may name hosts and containers, so that only its
//! user can read it.

use std::env;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// `$XDG_STATE_HOME/tcprst/history`; `None` where there is no home.
pub(super) fn path() -> Option<PathBuf> {
    let state = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = state("XDG_STATE_HOME").or_else(|| Some(state("HOME")?.join(".local/state")))?;
    Some(folder.join("tcprst/history"))
}

/// Makes the folder. The file itself is made by the editor, with mode 0600.
pub(super) fn prepare(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => DirBuilder::new().recursive(true).mode(0o700).create(folder),
        None => Ok(()),
    }
}
