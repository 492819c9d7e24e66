//! The samples that are queried: made once, kept in the user's cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::ours::Ours;
use super::process;
use crate::{sample_data, workspace};

/// The sample of that name.
pub(crate) fn make(name: &str, options: &[&str]) -> Result<PathBuf> {
    once(&folder()?.join(name), |partial| {
        sample_data::make(&sample_data::build()?, partial, options)
    })
}

/// A sample after `tcprst-analyze compact`, in a folder next to it.
pub(crate) fn compacted(ours: &Ours, sample: &Path) -> Result<PathBuf> {
    let mut name = sample.file_name().context("a sample has a name")?.to_owned();
    name.push("-compacted");
    once(&sample.with_file_name(name), |partial| {
        let copy = Command::new("cp").arg("-r").arg(sample).arg(partial).status();
        ensure!(copy.context("cannot run cp")?.success(), "cannot copy {}", sample.display());
        compact(ours, partial)
    })
}

/// A sample of that name that is compacted itself.
pub(crate) fn make_compacted(ours: &Ours, name: &str, options: &[&str]) -> Result<PathBuf> {
    once(&folder()?.join(name), |partial| {
        sample_data::make(&sample_data::build()?, partial, options)?;
        compact(ours, partial)
    })
}

fn compact(ours: &Ours, data: &Path) -> Result<()> {
    let run = process::run(ours.command(data, "compact"))?;
    eprintln!("compacted {} in {:.1} s", data.display(), run.time.as_secs_f64());
    Ok(())
}

fn folder() -> Result<PathBuf> {
    Ok(workspace::cache_dir()?.join("bench").join("samples"))
}

/// Makes a folder under another name and renames it: an unfinished one is made again.
fn once(out: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let mut partial = out.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    if !out.exists() {
        if partial.exists() {
            fs::remove_dir_all(&partial)
                .with_context(|| format!("remove {}", partial.display()))?;
        }
        eprintln!("making the sample {}", out.display());
        make(&partial)?;
        fs::rename(&partial, out).with_context(|| format!("rename to {}", out.display()))?;
    }
    Ok(out.to_owned())
}

/// Files and bytes of `resets`.
pub(crate) fn describe(data: &Path) -> Result<String> {
    let (files, bytes) = size(&data.join("resets"))?;
    Ok(format!("{files} files of `resets`, {:.2} GB", bytes as f64 / 1e9))
}

pub(crate) fn size(folder: &Path) -> Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        let (more, more_bytes) = match entry.file_type()?.is_dir() {
            true => size(&entry.path())?,
            false => (1, entry.metadata()?.len()),
        };
        (files, bytes) = (files + more, bytes + more_bytes);
    }
    Ok((files, bytes))
}
