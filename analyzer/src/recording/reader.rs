//! Reads the bytes of a segment for DataFusion's Parquet scan.
//!
//! The footer was read when the segment was opened, and is read again only if there was no room to
//! keep it (see [`crate::recording::metadata`]). The files are local: reading at an offset is one system call;
//! an object store would pass each range to another thread and reopen the file.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::error::{DataFusionError, Result};
use datafusion::object_store;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use crate::recording::metadata::Kept;

/// The path and the footer of a file, attached to DataFusion's file as an extension.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) path: PathBuf,
    /// Device and inode: another file with the same name has another footer.
    pub(crate) identity: (u64, u64),
    pub(crate) metadata: Kept,
}

impl Known {
    pub(crate) fn identity_of(attributes: &Metadata) -> (u64, u64) {
        (attributes.dev(), attributes.ino())
    }

    /// Opens the file, unless it has been removed or replaced by a merged file.
    fn open(&self) -> io::Result<File> {
        let file = File::open(&self.path)?;
        if Self::identity_of(&file.metadata()?) == self.identity {
            Ok(file)
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }
}

/// Creates readers for files with a [`Known`] extension.
#[derive(Debug)]
pub(crate) struct LocalFiles;

impl ParquetFileReaderFactory for LocalFiles {
    fn create_reader(
        &self,
        _partition: usize,
        file: PartitionedFile,
        _metadata_size_hint: Option<usize>,
        _metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let Some(known) = file.extension::<Known>() else {
            return Err(DataFusionError::Internal("a file that was not opened".into()));
        };
        let open = known.open().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                DataFusionError::ObjectStore(Box::new(object_store::Error::NotFound {
                    path: known.path.display().to_string().trim_start_matches('/').to_owned(),
                    source: error.into(),
                }))
            }
            _ => DataFusionError::IoError(error),
        })?;
        Ok(Box::new(LocalFile { file: open, metadata: known.metadata.clone() }))
    }
}

struct LocalFile {
    file: File,
    metadata: Kept,
}

impl LocalFile {
    fn read(&self, range: &Range<u64>) -> Result<Bytes, ParquetError> {
        let length = usize::try_from(range.end.saturating_sub(range.start))?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, range.start)?;
        Ok(Bytes::from(bytes))
    }
}

impl AsyncFileReader for LocalFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        std::future::ready(self.read(&range)).boxed()
    }

    /// First announces all ranges to the kernel, so that the disk reads ahead while one range is
    /// awaited. A query over two columns outside the page cache took a tenth less time.
    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        for range in ranges.iter().skip(1) {
            let (Ok(offset), Ok(length)) =
                (i64::try_from(range.start), i64::try_from(range.end.saturating_sub(range.start)))
            else {
                continue;
            };
            let advice = PosixFadviseAdvice::POSIX_FADV_WILLNEED;
            // If the kernel refuses, reading is only slower.
            let _ = posix_fadvise(self.file.as_fd(), offset, length, advice);
        }
        std::future::ready(ranges.iter().map(|range| self.read(range)).collect()).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        std::future::ready(self.metadata.or_read(&self.file)).boxed()
    }
}
