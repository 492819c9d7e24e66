//! Kernels on disk: fetched from Debian, unpacked once for each version, kept outside the tree.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{Flock, FlockArg};

use super::kernels::Line;
use crate::apt::{KernelPackages, Suite};
use crate::workspace;

/// An unpacked kernel.
#[derive(Clone, Debug)]
pub(crate) struct GuestKernel {
    /// Name of its line.
    pub(crate) line: &'static str,
    /// As `uname -r` prints it.
    pub(crate) release: String,
    /// Debian's version of its packages.
    pub(crate) version: String,
    pub(crate) image: PathBuf,
    /// The folder `lib/modules/RELEASE`.
    pub(crate) modules: PathBuf,
}

/// Where kernels are kept if the user does not say: outside the tree, for all checkouts.
pub(crate) fn default_cache() -> Result<PathBuf> {
    Ok(workspace::cache_dir()?.join("vm"))
}

/// The newest kernel of a line. Where the archive cannot be asked, the newest that was fetched
/// before, with a word on stderr.
pub(crate) fn newest(line: &Line, cache: &Path) -> Result<GuestKernel> {
    let kept = cache.join("kernels").join(line.name);
    fs::create_dir_all(&kept).with_context(|| format!("cannot make {}", kept.display()))?;
    // Others may run at the same time, and apt's lists must not change under this one.
    let lock = File::create(cache.join("lock")).context("lock the cache of kernels")?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive)
        .map_err(|(_, error)| error)
        .context("lock the cache of kernels")?;
    match from_archive(line, cache, &kept) {
        Ok(kernel) => Ok(kernel),
        Err(error) => {
            let kernel = newest_kept(line, &kept)?.with_context(|| {
                format!(
                    "kernel {} cannot be fetched from Debian ({error:#}), and none was fetched before",
                    line.name
                )
            })?;
            eprintln!("{}: cannot look for a newer kernel: {error:#}", line.name);
            eprintln!("{}: using {}, fetched before", line.name, kernel.release);
            Ok(kernel)
        }
    }
}

fn from_archive(line: &Line, cache: &Path, kept: &Path) -> Result<GuestKernel> {
    let mut why_not = vec![];
    for suite_name in line.suites {
        let found = Suite::update(&cache.join("lists").join(suite_name), suite_name)
            .and_then(|suite| Ok((suite.newest()?, suite)));
        match found {
            Ok((packages, suite)) if line.has(&packages.version) => {
                return unpacked(line, &suite, &packages, kept);
            }
            Ok((packages, _)) => why_not.push(format!("{suite_name} is at {}", packages.version)),
            Err(error) => why_not.push(format!("{suite_name}: {error:#}")),
        }
    }
    bail!("{}", why_not.join("; "))
}

fn unpacked(
    line: &Line,
    suite: &Suite,
    wanted: &KernelPackages,
    kept: &Path,
) -> Result<GuestKernel> {
    let dir = kept.join(&wanted.version);
    if !dir.is_dir() {
        eprintln!("{}: fetching {}", line.name, wanted.version);
        let work = tempfile::tempdir_in(kept).context("make a folder")?;
        let root = work.path().join("root");
        for archive in suite.download(&wanted.packages, work.path())? {
            let status = Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&root).status();
            let status = status.context("cannot run dpkg-deb")?;
            ensure!(status.success(), "cannot unpack {}", archive.display());
        }
        // Whole or not at all.
        fs::rename(&root, &dir).context("keep a kernel")?;
    }
    at(line.name, &wanted.version, &dir)
}

/// The kernel that was fetched last.
fn newest_kept(line: &Line, kept: &Path) -> Result<Option<GuestKernel>> {
    let mut found = vec![];
    for entry in fs::read_dir(kept)? {
        let entry = entry?;
        let version = entry.file_name().to_string_lossy().into_owned();
        if line.has(&version) {
            found.push((entry.metadata()?.mtime(), version, entry.path()));
        }
    }
    found.sort();
    found.pop().map(|(_, version, dir)| at(line.name, &version, &dir)).transpose()
}

/// Finds image and modules in an unpacked package: in `/boot` and `/lib` or, since 6.12, in
/// `/usr/lib`, and since 7.x both in one folder.
fn at(line: &'static str, version: &str, dir: &Path) -> Result<GuestKernel> {
    let modules = ["usr/lib/modules", "lib/modules"]
        .iter()
        .filter_map(|place| fs::read_dir(dir.join(place)).ok()?.next()?.ok())
        .map(|entry| entry.path())
        .next()
        .with_context(|| format!("no modules in {}: remove it", dir.display()))?;
    let release = modules
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .context("a folder of modules without a name")?;
    let image = [dir.join("boot").join(format!("vmlinuz-{release}")), modules.join("vmlinuz")]
        .into_iter()
        .find(|image| image.is_file())
        .with_context(|| format!("no kernel image in {}: remove it", dir.display()))?;
    Ok(GuestKernel { line, release, version: version.to_owned(), image, modules })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) -> Result<()> {
        fs::create_dir_all(path.parent().context("a parent")?)?;
        Ok(fs::write(path, "")?)
    }

    #[test]
    fn both_layouts_of_the_packages_are_known() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let old = dir.path().join("old");
        touch(&old.join("boot/vmlinuz-5.10.0-46-cloud-amd64"))?;
        touch(&old.join("lib/modules/5.10.0-46-cloud-amd64/modules.builtin"))?;
        assert_eq!(at("5.10", "5.10.262-1", &old)?.release, "5.10.0-46-cloud-amd64");
        let new = dir.path().join("new");
        touch(&new.join("usr/lib/modules/7.3.4+deb13-cloud-amd64/vmlinuz"))?;
        let kernel = at("7.x", "7.3.4-1", &new)?;
        assert_eq!(kernel.image, kernel.modules.join("vmlinuz"));
        assert!(at("7.x", "7.3.4-1", dir.path()).is_err());
        Ok(())
    }

    #[test]
    fn what_was_fetched_before_serves_offline() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let line = &super::super::kernels::LINES[0];
        assert!(newest_kept(line, dir.path())?.is_none());
        let root = dir.path().join("5.10.262-1");
        touch(&root.join("boot/vmlinuz-5.10.0-46-cloud-amd64"))?;
        touch(&root.join("lib/modules/5.10.0-46-cloud-amd64/modules.builtin"))?;
        touch(&dir.path().join(".tmpXYZ/half"))?;
        let kernel = newest_kept(line, dir.path())?.context("a kernel")?;
        assert_eq!(kernel.version, "5.10.262-1");
        Ok(())
    }
}
