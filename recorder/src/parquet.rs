//! Sealed files: written under a temporary name, synced, renamed. A reader never sees half a file.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::ParquetError;
use tcprst_schema::arrow::{spool_schema, writer_properties};
use tcprst_schema::columns::Column;
use tcprst_schema::footer::Footer;

use crate::error::{Error, Result};

/// A file that is being written.
#[derive(Debug)]
pub struct PartialFile {
    path: PathBuf,
    writer: ArrowWriter<File>,
}

impl PartialFile {
    /// Creates it. A leftover of that name is a crash's, and worth nothing.
    pub fn create<R>(path: PathBuf, columns: &[Column<R>]) -> Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(Error::io("create", &path))?;
        // Without Arrow's own schema in the file: it would say that text is dictionary encoded,
        // which is how we write and none of the readers' business.
        let options = ArrowWriterOptions::new()
            .with_properties(writer_properties(columns).build())
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(file, spool_schema(columns), options)
            .map_err(|source| parquet_error(&path, source))?;
        Ok(Self { path, writer })
    }

    /// Encodes rows.
    pub fn append(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).map_err(|source| parquet_error(&self.path, source))
    }

    /// Writes the footer, syncs, and moves the file to its final name, durably.
    pub fn seal(mut self, footer: &Footer, target: &Path) -> Result<()> {
        for pair in footer.to_key_values()? {
            self.writer.append_key_value_metadata(pair);
        }
        let file = self.writer.into_inner().map_err(|source| parquet_error(&self.path, source))?;
        file.sync_all().map_err(Error::io("sync", &self.path))?;
        let folder = target.parent().unwrap_or(Path::new("."));
        create_dir(folder)?;
        fs::rename(&self.path, target).map_err(Error::io("rename to", target))?;
        sync_dir(folder)
    }
}

fn parquet_error(path: &Path, source: ParquetError) -> Error {
    match source {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(source) => Error::Io { action: "write", path: path.into(), source: *source },
            Err(source) => {
                Error::Parquet { path: path.to_owned(), source: ParquetError::External(source) }
            }
        },
        source => Error::Parquet { path: path.to_owned(), source },
    }
}

/// Creates a folder and makes its name survive.
pub fn create_dir(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(Error::io("create", path))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes the names in a folder survive a power cut.
pub fn sync_dir(path: &Path) -> Result<()> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(Error::io("sync", path))
}
