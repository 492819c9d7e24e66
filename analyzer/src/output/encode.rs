//! What every format does with a result.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

/// Turns batches into bytes, in memory: an I/O error stays one (some of Arrow's writers would
/// make text of it, and a closed pipe could not be distinguished from a full disk).
pub(super) trait Encode {
    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError>;

    /// The bytes that follow the last batch.
    fn finish(&mut self) -> Result<Vec<u8>, ArrowError>;
}
