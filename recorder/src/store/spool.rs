//! The spool: the rows of the open segment, as an Arrow IPC stream that survives `kill -9` and a
//! power cut up to its last sync. [`tcprst_schema::spool`] reads it, [`tcprst_schema::profile`] says
//! how rows share what they have in common. Counts have a spool of their own beside it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_ipc::MetadataVersion;
use arrow_ipc::writer::{DictionaryHandling, IpcWriteOptions, StreamWriter};
use arrow_schema::{ArrowError, Schema};
use tcprst_schema::footer::Footer;
use tcprst_schema::profile::packed_schema;

use crate::error::{Error, Result};

/// The spool of the open segment.
pub(crate) struct Spool {
    path: PathBuf,
    writer: StreamWriter<BufWriter<File>>,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Spool {
    /// Creates it. The stream's schema holds the footer as far as it is known, so that recovery
    /// knows where the segment began.
    pub(crate) fn create(path: PathBuf, footer: &Footer) -> Result<Self> {
        Self::create_for(&packed_schema(), path, footer)
    }

    /// The same for batches of that schema.
    pub(crate) fn create_for(schema: &Schema, path: PathBuf, footer: &Footer) -> Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(Error::io("create", &path))?;
        let metadata: HashMap<String, String> = footer.to_pairs()?.into_iter().collect();
        let schema = Schema::clone(schema).with_metadata(metadata);
        let writer = options()
            .and_then(|options| {
                StreamWriter::try_new_with_options(BufWriter::new(file), &schema, options)
            })
            .map_err(|source| spool_error(&path, source))?;
        Ok(Self { path, writer })
    }

    /// Appends rows and the profiles that are new; they survive a crash after [`Self::sync`].
    pub(crate) fn append(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).map_err(|source| spool_error(&self.path, source))
    }

    /// Makes the appended rows survive a power cut.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.writer.flush().map_err(|source| spool_error(&self.path, source))?;
        let file = self.writer.get_ref().get_ref();
        file.sync_data().map_err(Error::io("sync", &self.path))
    }

    /// Size of the file so far.
    pub(crate) fn bytes(&self) -> Result<u64> {
        let file = self.writer.get_ref().get_ref();
        Ok(file.metadata().map_err(Error::io("read", &self.path))?.len())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// New profiles are added to those that are in the file already. A quiet host's batch of one row has
/// sixty buffers, which need not fill a cache line each.
pub(crate) fn options() -> Result<IpcWriteOptions, ArrowError> {
    const ALIGNMENT: usize = 8;
    let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)?;
    Ok(options.with_dictionary_handling(DictionaryHandling::Delta))
}

fn spool_error(path: &Path, source: ArrowError) -> Error {
    match source {
        ArrowError::IoError(_, source) => Error::Io { action: "write", path: path.into(), source },
        source => Error::Spool { path: path.to_owned(), source },
    }
}
