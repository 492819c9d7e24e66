//! The columns that differ from reset to reset.

use std::net::IpAddr;
use std::sync::Arc;

use arrow_array::builder::{ArrayBuilder, Int32Builder, StringBuilder};
use arrow_array::{ArrayRef, DictionaryArray, RecordBatch};
use arrow_schema::SchemaRef;
use tcprst_schema::columns::{Column, columns_of};
use tcprst_schema::profile::own_schema;
use tcprst_schema::row::Row;

use crate::error::{Error, Result};
use crate::hash::{Map, map};
use crate::store::batch::Builder;

/// Rows that are not in a file yet.
pub(super) struct OwnBatch {
    schema: SchemaRef,
    columns: Vec<(&'static Column<Row>, OwnBuilder)>,
}

enum OwnBuilder {
    /// A value for each row.
    Value(Builder),
    /// An address is put into text once for each batch.
    Address(AddressBuilder),
}

struct AddressBuilder {
    end: fn(&Row) -> Option<IpAddr>,
    keys: Int32Builder,
    texts: StringBuilder,
    numbers: Map<IpAddr, i32>,
    last: Option<(IpAddr, i32)>,
}

impl std::fmt::Debug for OwnBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnBatch").finish_non_exhaustive()
    }
}

impl OwnBatch {
    pub(super) fn new() -> Self {
        let builder = |column: &'static Column<Row>| {
            let builder = match end_of(column) {
                Some(end) => OwnBuilder::Address(AddressBuilder::new(end)),
                None => OwnBuilder::Value(Builder::new(column.kind)),
            };
            (column, builder)
        };
        Self { schema: own_schema(), columns: columns_of(true).map(builder).collect() }
    }

    pub(super) fn append(&mut self, row: &Row) {
        for (column, builder) in &mut self.columns {
            match builder {
                OwnBuilder::Value(builder) => builder.append(&(column.value)(row)),
                OwnBuilder::Address(builder) => builder.append(column, row),
            }
        }
    }

    /// Returns the rows so far and starts an empty batch.
    pub(super) fn finish(&mut self) -> Result<RecordBatch> {
        let arrays = self.columns.iter_mut().map(|(_, builder)| match builder {
            OwnBuilder::Value(builder) => Ok(builder.finish()),
            OwnBuilder::Address(builder) => builder.finish(),
        });
        let arrays = arrays.collect::<Result<_>>()?;
        RecordBatch::try_new(Arc::clone(&self.schema), arrays).map_err(Error::Batch)
    }
}

/// The end of the flow that a column of addresses is about.
fn end_of(column: &Column<Row>) -> Option<fn(&Row) -> Option<IpAddr>> {
    match column.name {
        "src_addr" => Some(|row| row.src.map(|(address, _)| address)),
        "dst_addr" => Some(|row| row.dst.map(|(address, _)| address)),
        _ => None,
    }
}

impl AddressBuilder {
    fn new(end: fn(&Row) -> Option<IpAddr>) -> Self {
        Self {
            end,
            keys: Int32Builder::new(),
            texts: StringBuilder::new(),
            numbers: map(),
            last: None,
        }
    }

    fn append(&mut self, column: &Column<Row>, row: &Row) {
        let Some(address) = (self.end)(row) else {
            return self.keys.append_null();
        };
        let key = match self.last {
            Some((last, key)) if last == address => key,
            _ => {
                let texts = &mut self.texts;
                *self.numbers.entry(address).or_insert_with(|| {
                    texts.append_value((column.value)(row).as_text().unwrap_or_default());
                    // A batch has fewer rows than an i32 has numbers.
                    (texts.len() - 1) as i32
                })
            }
        };
        self.last = Some((address, key));
        self.keys.append_value(key);
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        self.numbers.clear();
        self.last = None;
        let texts = Arc::new(self.texts.finish());
        let column = DictionaryArray::try_new(self.keys.finish(), texts).map_err(Error::Batch)?;
        Ok(Arc::new(column))
    }
}
