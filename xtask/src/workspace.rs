//! Where things are.

use std::env;
use std::path::{Path, PathBuf};

/// Root of the checkout that xtask was built from.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Cargo's target folder.
pub fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Folder of the release binaries, where this one lies too: there is one profile for all.
pub fn bin_dir() -> PathBuf {
    let me = env::current_exe().unwrap_or_default();
    me.parent().unwrap_or(Path::new(".")).to_owned()
}
