//! A table of a recording: sealed files and live spools as one.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use tcprst_schema::tables::Table;

use crate::recording::Recording;
use crate::recording::prune::Times;
use crate::recording::rederive;
use crate::recording::scan::{Read, scan_batches, scan_files};
use crate::recording::sealed::Sealed;

/// A table of segments.
#[derive(Debug)]
pub struct SegmentTable {
    table: Table,
    schema: SchemaRef,
    recording: Arc<Recording>,
}

impl SegmentTable {
    pub fn new(table: Table, schema: SchemaRef, recording: Arc<Recording>) -> Self {
        Self { table, schema, recording }
    }

    pub(crate) fn is_of(&self, table: Table) -> bool {
        self.table == table
    }

    pub(crate) fn recording(&self) -> &Arc<Recording> {
        &self.recording
    }
}

#[async_trait]
impl TableProvider for SegmentTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Inexact: the scan skips what names and statistics exclude and DataFusion filters the rest.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    /// Here the filters choose the files. They reach the Parquet scan later, as physical ones,
    /// through the union.
    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let times = Times::from_filters(filters);
        let mut halves = Vec::new();
        // Without a filter any rows will do. A filter is not exact here: then no limit comes.
        let enough = limit.filter(|_| filters.is_empty());
        let rows = enough.and_then(|rows| i64::try_from(rows).ok());
        let sealed = self.recording.sealed_for(self.table, times, rows);
        let is_older =
            |segment: &&Arc<Sealed>| self.table == Table::Resets && rederive::is_due(segment);
        let (older, sealed): (Vec<_>, Vec<_>) = sealed.iter().partition(is_older);
        let read = Read { projection, filters, limit };
        if !sealed.is_empty() {
            let files = sealed.iter().map(|segment| segment.scan(&self.schema)).collect();
            halves.push(scan_files(state, &self.schema, files, &read)?);
        }
        if !older.is_empty() {
            let files = older.iter().map(|segment| segment.scan(&self.schema)).collect();
            halves.push(rederive::scan(state, &self.schema, files, &read)?);
        }
        let live = match self.table {
            Table::Resets => self.recording.live_batches(),
            _ => Vec::new(),
        };
        if !live.is_empty() || halves.is_empty() {
            halves.push(scan_batches(&self.schema, &live, projection)?);
        }
        UnionExec::try_new(halves)
    }
}
