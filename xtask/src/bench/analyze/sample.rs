//! The samples that are queried: made once, kept in the user's cache.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{sample_data, workspace};

/// The sample of that name. One that was not finished is made anew.
pub(crate) fn make(name: &str, options: &[&str]) -> Result<PathBuf> {
    let folder = workspace::cache_dir()?.join("bench").join("samples");
    let (out, partial) = (folder.join(name), folder.join(format!("{name}.partial")));
    if !out.exists() {
        if partial.exists() {
            fs::remove_dir_all(&partial)
                .with_context(|| format!("remove {}", partial.display()))?;
        }
        eprintln!("making the sample {}", out.display());
        sample_data::make(&sample_data::build()?, &partial, options)?;
        fs::rename(&partial, &out).with_context(|| format!("rename to {}", out.display()))?;
    }
    Ok(out)
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
