//! The profiles of a segment: a number for each, and their columns.

use std::sync::Arc;

use arrow_array::{ArrayRef, StructArray};
use tcprst_schema::columns::columns_of;
use tcprst_schema::profile::profile_fields;
use tcprst_schema::row::{Named, Own, Row};

use crate::error::{Error, Result};
use crate::hash::{Map, map};
use crate::store::batch::Builder;

/// The profiles of a segment.
#[derive(Debug)]
pub(super) struct SegmentProfiles {
    /// Each as the row of its last reset.
    rows: Vec<Row>,
    /// Numbers by address, and what keeps the address from being used again.
    numbers: Map<usize, (u32, Arc<Row>)>,
    last: Option<(usize, u32)>,
    columns: Option<Columns>,
}

/// The columns of the profiles at a time.
#[derive(Debug)]
struct Columns {
    values: Arc<StructArray>,
    /// How many profiles there were, and what had been said of their containers.
    of: (usize, usize),
}

impl SegmentProfiles {
    pub(super) fn new() -> Self {
        Self { rows: Vec::new(), numbers: map(), last: None, columns: None }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The number of a profile, which is its place among the columns.
    pub(super) fn number(&mut self, profile: &Arc<Row>) -> u32 {
        let address = Arc::as_ptr(profile).addr();
        if let Some((last, number)) = self.last
            && last == address
        {
            return number;
        }
        let rows = &mut self.rows;
        let (number, _) = self.numbers.entry(address).or_insert_with(|| {
            rows.push(Row::clone(profile));
            // A segment has fewer rows than a u32 has numbers.
            ((rows.len() - 1) as u32, Arc::clone(profile))
        });
        self.last = Some((address, *number));
        *number
    }

    /// The row of a reset.
    pub(super) fn row(&mut self, number: u32, own: &Own) -> &Row {
        let row = &mut self.rows[number as usize];
        row.set_own(own);
        row
    }

    /// A column for each field of a profile, with the names of containers that are known by now.
    pub(super) fn columns(&mut self) -> Result<Arc<StructArray>> {
        let answers = |row: &Row| {
            let owner = row.owner.as_ref().map_or(0, |owner| owner.named.answers());
            owner + row.peer.as_ref().map_or(0, Named::answers)
        };
        let now = (self.rows.len(), self.rows.iter().map(answers).sum());
        if let Some(columns) = &self.columns
            && columns.of == now
        {
            return Ok(Arc::clone(&columns.values));
        }
        let values = Arc::new(columns(&self.rows)?);
        self.columns = Some(Columns { values: Arc::clone(&values), of: now });
        Ok(values)
    }
}

fn columns(rows: &[Row]) -> Result<StructArray> {
    let arrays: Vec<ArrayRef> = columns_of(false)
        .map(|column| {
            let mut builder = Builder::plain(column.kind);
            rows.iter().for_each(|row| builder.append(&(column.value)(row)));
            builder.finish()
        })
        .collect();
    StructArray::try_new(profile_fields(), arrays, None).map_err(Error::Batch)
}
