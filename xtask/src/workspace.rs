//! Where things are.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

/// Root of the checkout that xtask was built from.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// `cargo COMMAND --release --locked` for the whole workspace, with the Cargo that runs this
/// program.
pub(crate) fn cargo(command: &str) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).args([command, "--release", "--locked"]);
    cargo
}

/// Cargo's target folder.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Folder of the release binaries, this one among them: all have one profile.
pub(crate) fn bin_dir() -> PathBuf {
    let me = env::current_exe().unwrap_or_default();
    me.parent().unwrap_or(Path::new(".")).to_owned()
}

/// Where kernels, samples and peers are kept: outside the tree, for all checkouts.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let cache = match (env::var_os("XDG_CACHE_HOME"), env::var_os("HOME")) {
        (Some(cache), _) if !cache.is_empty() => PathBuf::from(cache),
        (_, Some(home)) => PathBuf::from(home).join(".cache"),
        _ => bail!(
            "neither XDG_CACHE_HOME nor HOME is set: set one of them to the folder of the cache"
        ),
    };
    Ok(cache.join("tcprst"))
}
