//! Protects the recording from writes; SQL may be allowed to write elsewhere.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use datafusion::object_store::local::LocalFileSystem;
use datafusion::object_store::path::Path as Location;
use datafusion::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use futures::StreamExt as _;
use futures::stream::BoxStream;

/// The folders of the recording.
#[derive(Clone, Debug)]
pub(crate) struct RecordedFolders {
    dirs: Vec<PathBuf>,
}

impl RecordedFolders {
    pub(crate) fn new(dirs: &[PathBuf]) -> Self {
        Self { dirs: dirs.iter().filter_map(|dir| real(dir)).collect() }
    }

    /// Whether a file, which may not exist yet, is or would be in one of the folders. Also true if
    /// this cannot be determined.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        real(path).is_none_or(|path| self.dirs.iter().any(|dir| path.starts_with(dir)))
    }
}

/// The path with links resolved as far as it exists; `None` for `..` after a missing component.
fn real(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut missing = Vec::new();
    let mut existing = path.as_path();
    loop {
        match existing.canonicalize() {
            Ok(real) => {
                return Some(missing.iter().rev().fold(real, |path, name| path.join(name)));
            }
            Err(_) => {
                missing.push(existing.file_name()?);
                existing = existing.parent()?;
            }
        }
    }
}

/// The file system with a read-only recording.
#[derive(Debug)]
pub(super) struct Guarded {
    files: LocalFileSystem,
    recorded: RecordedFolders,
}

impl Guarded {
    pub(super) fn new(recorded: RecordedFolders) -> Self {
        Self { files: LocalFileSystem::new(), recorded }
    }

    fn check(&self, location: &Location) -> Result<()> {
        let path = self.files.path_to_filesystem(location)?;
        if self.recorded.holds(&path) {
            let text = format!("cannot write to {}: it is in the recording", path.display());
            return Err(Error::NotSupported { source: io::Error::other(text).into() });
        }
        Ok(())
    }
}

impl fmt::Display for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Guarded {
    async fn put_opts(
        &self,
        location: &Location,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.check(location)?;
        self.files.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Location,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.check(location)?;
        self.files.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Location, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    /// Always fails: no SQL statement deletes a file.
    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Location>>,
    ) -> BoxStream<'static, Result<Location>> {
        let refused = |_| Err(Error::NotSupported { source: "deleting a file".into() });
        locations.map(refused).boxed()
    }

    fn list(&self, prefix: Option<&Location>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Location>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Location, to: &Location, options: CopyOptions) -> Result<()> {
        self.check(to)?;
        self.files.copy_opts(from, to, options).await
    }

    async fn rename_opts(
        &self,
        from: &Location,
        to: &Location,
        options: RenameOptions,
    ) -> Result<()> {
        self.check(from)?;
        self.check(to)?;
        self.files.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_way_leads_into_the_recording() {
        let top = tempfile::tempdir().unwrap();
        let (data, other) = (top.path().join("data"), top.path().join("other"));
        fs::create_dir_all(&data).unwrap();
        fs::create_dir_all(&other).unwrap();
        symlink(&data, other.join("link")).unwrap();
        let recorded = RecordedFolders::new(&[data.join(".")]);
        for inside in
            ["data", "data/x", "data/new/x.parquet", "other/link/x", "other/../data/x", "no/../x"]
        {
            assert!(recorded.holds(&top.path().join(inside)), "{inside}");
        }
        let guarded = Guarded::new(recorded.clone());
        let put = |path: PathBuf| {
            let location = Location::from_absolute_path(path).unwrap();
            let work = guarded.put_opts(&location, "x".into(), PutOptions::default());
            tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
        };
        assert!(put(data.join("x")).unwrap_err().to_string().contains("it is in the recording"));
        assert!(put(other.join("link/x")).is_err());
        assert!(put(other.join("x")).is_ok());
        assert!(fs::read_dir(&data).unwrap().next().is_none());
        for outside in ["", "other", "other/x", "data2/x", "data/../other/x"] {
            assert!(!recorded.holds(&top.path().join(outside)), "{outside}");
        }
    }
}
