//! JSON as one array, or as one object per line.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::json::WriterBuilder;
use arrow::json::writer::{JsonArray, LineDelimited, Writer};

use super::encode::Encode;

/// With explicit nulls, because otherwise the keys of an object would depend on its values.
fn builder() -> WriterBuilder {
    WriterBuilder::new().with_explicit_nulls(true)
}

/// One array of objects.
pub(super) struct Json(Writer<Vec<u8>, JsonArray>);

impl Json {
    pub(super) fn new() -> Self {
        Self(builder().build(Vec::new()))
    }
}

impl Encode for Json {
    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        self.0.write(batch)?;
        Ok(std::mem::take(self.0.get_mut()))
    }

    fn finish(&mut self) -> Result<Vec<u8>, ArrowError> {
        self.0.finish()?;
        let mut bytes = std::mem::take(self.0.get_mut());
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// One object per line.
pub(super) struct Ndjson(Writer<Vec<u8>, LineDelimited>);

impl Ndjson {
    pub(super) fn new() -> Self {
        Self(builder().build(Vec::new()))
    }
}

impl Encode for Ndjson {
    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        self.0.write(batch)?;
        Ok(std::mem::take(self.0.get_mut()))
    }

    fn finish(&mut self) -> Result<Vec<u8>, ArrowError> {
        self.0.finish()?;
        Ok(std::mem::take(self.0.get_mut()))
    }
}
