//! The image: one static program, the actor.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Its name in every runtime.
pub(crate) const NAME: &str = "localhost/actor:1";
/// The image of a pod's sandbox: the same program, which then only waits.
pub(crate) const PAUSE: &str = "localhost/pause:1";
/// The program in it, and the words before an actor's own.
pub(crate) const PROGRAM: [&str; 2] = ["/actor", "actor"];

/// The root file system with the program `actor` as an archive, in `dir`.
pub(crate) fn archive(actor: &Path, dir: &Path) -> Result<PathBuf> {
    let root = dir.join("image");
    fs::create_dir_all(&root)?;
    let program = root.join("actor");
    fs::copy(actor, &program)
        .with_context(|| format!("copy {}: run `cargo build --release`", actor.display()))?;
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755))?;
    let archive = dir.join("image.tar");
    let mut tar = Command::new("tar");
    let status = tar.arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".").status();
    ensure!(status.context("cannot run tar")?.success(), "tar failed");
    fs::remove_dir_all(&root)?;
    Ok(archive)
}
