//! A live segment: the Arrow IPC stream that a running recorder appends to.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use tcprst_schema::arrow::by_name;
use tcprst_schema::footer::{Footer, FooterError};

/// The marker at the start of each message of the stream, before its length.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// The current content of a spool.
#[derive(Debug)]
pub struct Live {
    pub path: PathBuf,
    pub footer: Footer,
    pub bytes: u64,
    /// Complete batches, in the schema of the table.
    pub batches: Vec<RecordBatch>,
    /// The error that stopped reading before the end; an unfinished message is not an error.
    pub damage: Option<ArrowError>,
}

impl Live {
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// The reason why a spool is left out of the answer.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error(transparent)]
    Open(#[from] io::Error),
    #[error("damaged: {0}")]
    Arrow(#[from] ArrowError),
    #[error(transparent)]
    Footer(#[from] FooterError),
}

/// Reads a spool up to its last complete batch; `None` if its schema is not written yet.
///
/// It reads the whole spool at once: the recorder removes the spool as soon as it is sealed, and
/// the rows must then come from one of the two files and not from neither.
pub fn read(path: &Path, schema: &SchemaRef) -> Result<Option<Live>, Unusable> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    // The reader takes any first four bytes for a length, and would see a foreign file as cut.
    let mut start = Vec::new();
    (&file).take(8).read_to_end(&mut start)?;
    match start.first_chunk() {
        Some(&CONTINUATION) if start.len() == 8 => file.rewind()?,
        Some(start) if start != &CONTINUATION => return Err(FooterError::Foreign.into()),
        _ => return Ok(None),
    }
    let mut stream = match StreamReader::try_new(BufReader::new(file), None) {
        Ok(stream) => stream,
        Err(error) if is_cut(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let metadata = stream.schema();
    let footer =
        Footer::from_pairs(metadata.metadata().iter().map(|(k, v)| (k.as_str(), v.as_str())))?;
    let mut live = Live { path: path.to_owned(), footer, bytes, batches: Vec::new(), damage: None };
    loop {
        match stream.next() {
            None => break,
            Some(Ok(batch)) => live.batches.push(by_name(&batch, schema)?),
            Some(Err(error)) if is_cut(&error) => break,
            Some(Err(error)) => {
                live.damage = Some(error);
                break;
            }
        }
    }
    Ok(Some(live))
}

/// Whether the file ends within a message: it is being written, or its writer died.
fn is_cut(error: &ArrowError) -> bool {
    matches!(error, ArrowError::IoError(_, source) if source.kind() == io::ErrorKind::UnexpectedEof)
}
