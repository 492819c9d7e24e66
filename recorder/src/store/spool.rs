//! The spool: what the open segment holds, as an Arrow IPC stream that survives `kill -9` and
//! a power cut up to its last sync.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Schema};
use tcprst_schema::arrow::spool_schema;
use tcprst_schema::columns::COLUMNS;
use tcprst_schema::footer::Footer;

use crate::error::{Error, Result};

/// The spool of the open segment.
pub struct Spool {
    path: PathBuf,
    writer: StreamWriter<BufWriter<File>>,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Spool {
    /// Creates it; the footer as far as it is known goes into the stream's schema, so that
    /// recovery knows where the segment began.
    pub fn create(path: PathBuf, footer: &Footer) -> Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(Error::io("create", &path))?;
        let metadata: HashMap<String, String> = footer.to_pairs()?.into_iter().collect();
        let schema = Schema::clone(&spool_schema(COLUMNS)).with_metadata(metadata);
        let writer = StreamWriter::try_new(BufWriter::new(file), &schema)
            .map_err(|source| spool_error(&path, source))?;
        Ok(Self { path, writer })
    }

    /// Appends rows; they are safe after [`Self::sync`].
    pub fn append(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).map_err(|source| spool_error(&self.path, source))
    }

    /// Makes what was appended survive.
    pub fn sync(&mut self) -> Result<()> {
        self.writer.flush().map_err(|source| spool_error(&self.path, source))?;
        let file = self.writer.get_ref().get_ref();
        file.sync_data().map_err(Error::io("sync", &self.path))
    }

    /// Size of the file so far.
    pub fn bytes(&self) -> Result<u64> {
        let file = self.writer.get_ref().get_ref();
        Ok(file.metadata().map_err(Error::io("read", &self.path))?.len())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn spool_error(path: &Path, source: ArrowError) -> Error {
    match source {
        ArrowError::IoError(_, source) => Error::Io { action: "write", path: path.into(), source },
        source => Error::Spool { path: path.to_owned(), source },
    }
}

/// A spool that a recorder left behind.
#[derive(Debug)]
pub struct Leftover {
    pub footer: Footer,
    pub batches: Vec<RecordBatch>,
}

/// Reads the whole batches of a spool. The last one may be cut off: that is what a crash leaves.
pub fn read(path: &Path) -> Result<Leftover> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let reader = StreamReader::try_new(BufReader::new(file), None)
        .map_err(|source| spool_error(path, source))?;
    let schema = reader.schema();
    let pairs = schema.metadata().iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let footer = Footer::from_pairs(pairs)?;
    let batches = reader.map_while(|batch: Result<RecordBatch, ArrowError>| batch.ok()).collect();
    Ok(Leftover { footer, batches })
}
