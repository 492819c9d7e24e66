//! The image: one static program, this one.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::workspace;

/// What it is called in every runtime.
pub(crate) const NAME: &str = "localhost/actor:1";
/// The image of a pod's sandbox: the same program, which then only waits.
pub(crate) const PAUSE: &str = "localhost/pause:1";
/// The program in it, and the words before an actor's own.
pub(crate) const PROGRAM: [&str; 2] = ["/actor", "actor"];

/// The root file system as an archive, in `dir`.
pub(crate) fn archive(dir: &Path) -> Result<PathBuf> {
    let root = dir.join("image");
    fs::create_dir_all(&root)?;
    let program = root.join("actor");
    fs::copy(own_program()?, &program).context("copy the actor")?;
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755))?;
    let archive = dir.join("image.tar");
    let mut tar = Command::new("tar");
    let status = tar.arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".").status();
    ensure!(status.context("cannot run tar")?.success(), "tar failed");
    fs::remove_dir_all(&root)?;
    Ok(archive)
}

/// This program where it is xtask; a test is another, beside which xtask lies.
fn own_program() -> Result<PathBuf> {
    let own = env::current_exe()?;
    if own.file_name().is_some_and(|name| name == "xtask") {
        return Ok(own);
    }
    // Tests lie in a folder below it.
    let folder = workspace::bin_dir();
    let places = [folder.join("xtask"), folder.join("../xtask")];
    let found = places.into_iter().find(|program| program.is_file());
    found.with_context(|| format!("no xtask in {}: run `cargo build --release`", folder.display()))
}
