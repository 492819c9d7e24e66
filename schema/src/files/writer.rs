//! Sealed files: written under a temporary name, synced, renamed. A reader never sees half a file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::ParquetError;

use crate::footer::{Footer, FooterError};
use crate::tables::Table;

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot write {path}: {source}", path = path.display())]
    Parquet { path: PathBuf, source: ParquetError },
    #[error(transparent)]
    Footer(#[from] FooterError),
}

impl WriteError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn parquet(path: &Path, source: ParquetError) -> Self {
        let path = path.to_owned();
        match source {
            ParquetError::External(source) => match source.downcast::<io::Error>() {
                Ok(source) => Self::Io { action: "write", path, source: *source },
                Err(source) => Self::Parquet { path, source: ParquetError::External(source) },
            },
            source => Self::Parquet { path, source },
        }
    }
}

/// A file that is being written.
#[derive(Debug)]
pub struct PartialFile {
    path: PathBuf,
    writer: ArrowWriter<File>,
}

impl PartialFile {
    /// Creates a file of that table. A file of that name is left over from a crash and has no footer.
    pub fn create(path: PathBuf, table: Table) -> Result<Self, WriteError> {
        let writer = create(&path, table)?;
        Ok(Self { path, writer })
    }

    /// Encodes rows.
    pub fn append(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        self.writer.write(batch).map_err(|source| WriteError::parquet(&self.path, source))
    }

    /// Ends the row group.
    #[cfg(test)]
    pub(crate) fn end_group(&mut self) -> Result<(), WriteError> {
        self.writer.flush().map_err(|source| WriteError::parquet(&self.path, source))
    }

    /// Writes the footer, syncs, and moves the file to its final name, durably.
    pub fn seal(self, footer: &Footer, target: &Path) -> Result<(), WriteError> {
        publish(&self.close(footer)?, target)
    }

    /// Writes the footer and syncs; the file keeps its temporary name, which is returned.
    pub fn close(mut self, footer: &Footer) -> Result<PathBuf, WriteError> {
        for pair in footer.to_key_values()? {
            self.writer.append_key_value_metadata(pair);
        }
        let file =
            self.writer.into_inner().map_err(|source| WriteError::parquet(&self.path, source))?;
        file.sync_all().map_err(WriteError::io("sync", &self.path))?;
        Ok(self.path)
    }
}

/// A writer into a new file of that table.
pub(crate) fn create(path: &Path, table: Table) -> Result<ArrowWriter<File>, WriteError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .map_err(WriteError::io("create", path))?;
    // Without Arrow's own schema in the file: it would say that text is dictionary encoded, which
    // is how we write it and not what readers should make of it.
    let options = ArrowWriterOptions::new()
        .with_properties(table.writer_properties().build())
        .with_skip_arrow_metadata(true);
    ArrowWriter::try_new_with_options(file, table.spool_schema(), options)
        .map_err(|source| WriteError::parquet(path, source))
}

/// Moves a synced file to its final name, durably.
pub(crate) fn publish(path: &Path, target: &Path) -> Result<(), WriteError> {
    let folder = target.parent().unwrap_or(Path::new("."));
    create_dir(folder)?;
    fs::rename(path, target).map_err(WriteError::io("rename to", target))?;
    sync_dir(folder)
}

/// Creates a folder and makes its name survive.
pub fn create_dir(path: &Path) -> Result<(), WriteError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(WriteError::io("create", path))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes the names in a folder survive a power cut.
pub fn sync_dir(path: &Path) -> Result<(), WriteError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(WriteError::io("sync", path))
}
