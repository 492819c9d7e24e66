//! A cache of the Parquet metadata of open files, limited in size.
//!
//! The metadata of a file with 57 columns takes about 90 KB, and two recorders that seal a segment
//! every five minutes produce 17,280 files a month. A listing copies the values that it needs. A
//! scan reads metadata again if it was not kept, which takes about 0.1 ms.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use tcprst_schema::tables::Table;

/// The room that keeps the metadata of a table's files.
///
/// Rows and rollups have separate rooms: a query of the rollup only needs the number of rows from
/// the row files, and their metadata would otherwise fill the room.
pub(crate) fn room_of(table: Table) -> &'static Room {
    static ROWS: Room = Room::new(128 << 20);
    static OTHERS: Room = Room::new(128 << 20);
    match table {
        Table::Resets => &ROWS,
        _ => &OTHERS,
    }
}

/// A limited number of bytes for metadata.
#[derive(Debug)]
pub(crate) struct Room {
    bytes: usize,
    taken: AtomicUsize,
}

impl Room {
    const fn new(bytes: usize) -> Self {
        Self { bytes, taken: AtomicUsize::new(0) }
    }

    /// Keeps the metadata if there is room left.
    pub(crate) fn keep(&'static self, metadata: ParquetMetaData) -> Kept {
        let bytes = metadata.memory_size();
        let with_them = |taken: usize| taken.checked_add(bytes).filter(|all| *all <= self.bytes);
        let is_room =
            self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with_them).is_ok();
        let counted = || Arc::new(KeptMetadata { metadata: Arc::new(metadata), bytes, room: self });
        Kept(is_room.then(counted))
    }
}

/// The metadata of one file, or nothing if it was not kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Option<Arc<KeptMetadata>>);

/// Metadata that occupies its room until it is dropped.
#[derive(Debug)]
struct KeptMetadata {
    metadata: Arc<ParquetMetaData>,
    bytes: usize,
    room: &'static Room,
}

impl Drop for KeptMetadata {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Kept {
    /// The kept metadata, or else read again from the file.
    pub(crate) fn or_read(&self, file: &File) -> Result<Arc<ParquetMetaData>, ParquetError> {
        match &self.0 {
            Some(kept) => Ok(Arc::clone(&kept.metadata)),
            None => ParquetMetaDataReader::new().parse_and_finish(file).map(Arc::new),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::RecordBatch;
    use arrow::datatypes::{DataType, Field, Schema};
    use parquet::arrow::ArrowWriter;

    #[test]
    fn what_is_not_kept_is_read_again_and_room_comes_back() {
        static TIGHT: Room = Room::new(64 << 10);
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
        let mut file = tempfile::tempfile().expect("a file");
        let mut writer = ArrowWriter::try_new(&mut file, Arc::clone(&schema), None).expect("opens");
        writer.write(&RecordBatch::new_empty(schema)).expect("writes");
        writer.close().expect("closes");
        let read = || ParquetMetaDataReader::new().parse_and_finish(&file).expect("metadata");
        let fit = TIGHT.bytes / read().memory_size();
        let kept: Vec<Kept> = (0..fit).map(|_| TIGHT.keep(read())).collect();
        assert!(kept.iter().all(|kept| kept.0.is_some()));
        let one_more = TIGHT.keep(read());
        assert!(one_more.0.is_none(), "more than there is room for");
        assert_eq!(one_more.or_read(&file).expect("it is there").file_metadata().num_rows(), 0);
        drop(kept);
        assert!(TIGHT.keep(read()).0.is_some());
    }
}
