//! A table of a recording: its sealed files and live spools together.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use tcprst_schema::tables::Table;

use crate::recording::Recording;
use crate::recording::provider::Scan;
use crate::recording::prune::Times;
use crate::recording::rederive;
use crate::recording::scan::{Read, scan_batches, scan_files};
use crate::recording::sealed::Sealed;

/// A table of segments.
#[derive(Debug)]
pub(crate) struct SegmentTable {
    table: Table,
    schema: SchemaRef,
    recording: Arc<Recording>,
}

impl SegmentTable {
    pub(crate) fn new(table: Table, schema: SchemaRef, recording: Arc<Recording>) -> Self {
        Self { table, schema, recording }
    }

    pub(crate) fn is_of(&self, table: Table) -> bool {
        self.table == table
    }

    pub(crate) fn recording(&self) -> &Arc<Recording> {
        &self.recording
    }
}

impl Scan for SegmentTable {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Here the filters choose the files. They reach the Parquet scan later, as physical filters
    /// through the union.
    fn scan(&self, state: &dyn Session, read: &Read<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let times = Times::from_filters(read.filters);
        let mut halves = Vec::new();
        // Without filters any rows satisfy the limit. With filters DataFusion passes none, because
        // our filters are inexact.
        let enough = read.limit.filter(|_| read.filters.is_empty());
        let rows = enough.and_then(|rows| i64::try_from(rows).ok());
        let sealed = self.recording.sealed_for(self.table, times, rows);
        if self.table == Table::Resets {
            sealed.iter().for_each(|segment| self.recording.leave_out_counted(segment));
            self.recording.leave_out_live_counted();
        }
        let is_older =
            |segment: &&Arc<Sealed>| self.table == Table::Resets && rederive::is_due(segment);
        let (older, sealed): (Vec<_>, Vec<_>) = sealed.iter().partition(is_older);
        if !sealed.is_empty() {
            let files = sealed.iter().map(|segment| segment.scan(&self.schema)).collect();
            halves.push(scan_files(state, &self.schema, files, read)?);
        }
        if !older.is_empty() {
            let files = older.iter().map(|segment| segment.scan(&self.schema)).collect();
            halves.push(rederive::scan(state, &self.schema, files, read)?);
        }
        let live = match self.table {
            Table::Resets => self.recording.live_batches(),
            _ => Vec::new(),
        };
        if !live.is_empty() || halves.is_empty() {
            halves.push(scan_batches(&self.schema, &live, read.projection)?);
        }
        UnionExec::try_new(halves)
    }
}
