//! Reads a spool: the Arrow IPC stream that a recorder appends to, or that a killed one left.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _};
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_schema::ArrowError;

use crate::footer::{Footer, FooterError};
use crate::profile;

/// The bytes that each message of the stream starts with, before its length.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// Longest first message that is taken for a schema and its footer; ours has some 20 KiB. A damaged
/// length must not make a full spool look like one whose schema is still being written.
const MAX_SCHEMA_BYTES: u32 = 1 << 20;

/// The whole batches of a spool.
#[derive(Debug)]
pub struct Spool {
    /// The footer as far as it was known when the segment began.
    pub footer: Footer,
    /// Size of the file when it was opened.
    pub bytes: u64,
    /// As they are in the file, with profiles: [`Self::batches`].
    packed: Vec<RecordBatch>,
    /// The error that ended the reading, other than a last message that is not whole.
    pub damage: Option<ArrowError>,
}

impl Spool {
    /// The batches, each with a column for everything. They have the columns of the recorder that
    /// wrote them, which may be an older one: [`crate::arrow::by_name`] brings them into today's.
    ///
    /// Spelled out they take several times the memory, so keep one at a time if you can.
    pub fn batches(&self) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> {
        self.packed.iter().map(profile::unpack)
    }
}

/// Why a spool cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("damaged: {0}")]
    Damaged(ArrowError),
    #[error(transparent)]
    Footer(#[from] FooterError),
}

impl From<ArrowError> for SpoolError {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::IoError(_, source) => Self::Io(source),
            error => Self::Damaged(error),
        }
    }
}

/// Reads a spool up to its last whole batch; `None` where not even its schema is whole yet.
///
/// All of it is read at once: the recorder removes the spool as soon as it is sealed, and the
/// rows must then come from exactly one of the two files.
pub fn read(path: &Path) -> Result<Option<Spool>, SpoolError> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    // Arrow would take any first four bytes for a length, and so a foreign file for a cut one.
    let mut start = Vec::new();
    (&file).take(8).read_to_end(&mut start)?;
    match (start.first_chunk(), start.last_chunk()) {
        (Some(&CONTINUATION), Some(length)) if start.len() == 8 => {
            let length = u32::from_le_bytes(*length);
            if length > MAX_SCHEMA_BYTES {
                let what = format!("its first message claims to have {length} bytes");
                return Err(SpoolError::Damaged(ArrowError::IpcError(what)));
            }
            file.rewind()?;
        }
        (Some(start), _) if start != &CONTINUATION => return Err(FooterError::Foreign.into()),
        _ => return Ok(None),
    }
    let mut stream = match StreamReader::try_new(BufReader::new(file), None) {
        Ok(stream) => stream,
        Err(error) if is_cut(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let schema = stream.schema();
    let pairs = schema.metadata().iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let footer = Footer::from_pairs(pairs)?;
    let mut spool = Spool { footer, bytes, packed: Vec::new(), damage: None };
    loop {
        match stream.next() {
            None => break,
            Some(Ok(batch)) => spool.packed.push(batch),
            Some(Err(error)) if is_cut(&error) => break,
            Some(Err(error)) => {
                spool.damage = Some(error);
                break;
            }
        }
    }
    Ok(Some(spool))
}

/// The file ends within a message: it is being written right now, or its writer died.
fn is_cut(error: &ArrowError) -> bool {
    matches!(error, ArrowError::IoError(_, source) if source.kind() == io::ErrorKind::UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::env;
    use std::fs;
    use std::path::PathBuf;
    use std::process;

    use arrow_ipc::writer::StreamWriter;
    use arrow_schema::Schema;

    use super::*;
    use crate::footer::Origin;
    use crate::tables::Table;

    /// A file that is removed with it.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str, content: &[u8]) -> Self {
            let path = env::temp_dir().join(format!("tcprst-spool-{}-{name}", process::id()));
            fs::write(&path, content).expect("written");
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn spool_of(batches: usize) -> Vec<u8> {
        let origin = Origin { recorder: "0.1.0", host: "web", boot_id: "b", kernel: "6.18" };
        let metadata: HashMap<_, _> =
            Footer::new(origin).to_pairs().expect("pairs").into_iter().collect();
        let schema = Schema::clone(&Table::Resets.spool_schema()).with_metadata(metadata);
        let mut writer = StreamWriter::try_new(Vec::new(), &schema).expect("a stream");
        let batch = RecordBatch::new_empty(schema.into());
        (0..batches).for_each(|_| writer.write(&batch).expect("appended"));
        writer.into_inner().expect("the bytes")
    }

    #[test]
    fn whole_batches_are_read_and_a_cut_one_is_left_out() {
        let bytes = spool_of(2);
        let whole = Scratch::new("whole", &bytes);
        let spool = read(&whole.0).expect("read").expect("a schema");
        assert_eq!((spool.packed.len(), spool.footer.host.as_str()), (2, "web"));
        assert!(spool.damage.is_none());
        // The end of the stream is eight bytes; what comes before belongs to the last batch.
        let cut = Scratch::new("cut", &bytes[..bytes.len() - 12]);
        let spool = read(&cut.0).expect("read").expect("a schema");
        assert_eq!((spool.packed.len(), spool.damage.is_none()), (1, true));
    }

    #[test]
    fn a_spool_without_a_whole_schema_has_nothing() {
        for length in [0, 4, 8, 100] {
            let file = Scratch::new(&format!("short-{length}"), &spool_of(1)[..length]);
            assert!(read(&file.0).expect("no error").is_none(), "{length} bytes");
        }
    }

    #[test]
    fn a_damaged_length_is_not_an_empty_spool() {
        let mut bytes = spool_of(2);
        bytes[7] = 0x7f;
        let file = Scratch::new("length", &bytes);
        let error = read(&file.0).expect_err("damaged");
        assert!(matches!(error, SpoolError::Damaged(_)), "{error}");
        assert!(bytes.len() > 8 && spool_of(0).len() < MAX_SCHEMA_BYTES as usize / 8);
    }

    #[test]
    fn a_foreign_file_is_refused() {
        let file = Scratch::new("foreign", b"PAR1 and then something else");
        let error = read(&file.0).expect_err("refused");
        assert!(matches!(error, SpoolError::Footer(FooterError::Foreign)), "{error}");
    }
}
