//! Where things are.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

/// Cargo's variable for the target folder.
const TARGET_DIR: &str = "CARGO_TARGET_DIR";

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
    if env::var_os(TARGET_DIR).is_some() {
        // It is relative to the folder of the caller, and this Cargo runs in another.
        cargo.env(TARGET_DIR, target_dir());
    }
    cargo
}

/// Cargo's target folder, absolute.
pub(crate) fn target_dir() -> PathBuf {
    target_dir_from(env::var_os(TARGET_DIR), &env::current_dir().unwrap_or_default())
}

/// `set` is relative to the folder where Cargo was called, `here`.
fn target_dir_from(set: Option<OsString>, here: &Path) -> PathBuf {
    set.map_or_else(|| root().join("target"), |dir| here.join(dir))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_target_folder_is_where_cargo_was_called() {
        let in_subfolder = |set: &str| target_dir_from(Some(set.into()), Path::new("/src/docs"));
        assert_eq!(in_subfolder("out"), Path::new("/src/docs/out"));
        assert_eq!(in_subfolder("/var/out"), Path::new("/var/out"));
        assert_eq!(target_dir_from(None, Path::new("/src/docs")), root().join("target"));
    }
}
