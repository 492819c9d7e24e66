//! `resets` and `losses`: sealed files and live spools as one table.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat as _;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use tcprst_schema::arrow::table_schema;
use tcprst_schema::columns::Column;

use crate::sealed::Sealed;

/// Schema of a table as queries see it, the same whatever the files' versions.
///
/// It differs from [`table_schema`] in two ways. Every column is nullable, because a file of
/// an older recorder may lack it. Text is read as views, so that filters and groups compare
/// four bytes in place before they touch a stack of 500.
pub fn reader_schema<R>(columns: &[Column<R>]) -> SchemaRef {
    let fields = table_schema(columns)
        .fields()
        .iter()
        .map(|field| {
            let data_type = match field.data_type() {
                DataType::Utf8 => DataType::Utf8View,
                other => other.clone(),
            };
            Field::new(field.name(), data_type, true)
        })
        .collect::<Vec<_>>();
    Arc::new(Schema::new(fields))
}

/// A table of segments.
#[derive(Debug)]
pub struct SegmentTable {
    schema: SchemaRef,
    sealed: Vec<PartitionedFile>,
    /// One partition a spool.
    live: Vec<Vec<RecordBatch>>,
}

impl SegmentTable {
    /// `live` must have the same `schema`.
    pub fn new(schema: SchemaRef, sealed: &[Sealed], live: Vec<Vec<RecordBatch>>) -> Self {
        let sealed = sealed.iter().map(|segment| segment.scan.clone()).collect();
        Self { schema, sealed, live }
    }

    /// DataFusion's own scan: it reads the columns asked for, and prunes files, row groups
    /// and pages by their statistics.
    async fn scan_sealed(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let each = self.sealed.iter().filter_map(|file| file.statistics.as_deref());
        let total = Statistics::try_merge_iter(each, &self.schema)?;
        let groups =
            FileGroup::new(self.sealed.clone()).split_files(state.config().target_partitions());
        let source = Arc::new(ParquetSource::new(Arc::clone(&self.schema)));
        let scan = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), source)
            .with_file_groups(groups)
            .with_statistics(total)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        // The format adds the session's options and its cache of footers.
        ParquetFormat::new()
            .with_options(state.default_table_options().parquet)
            .create_physical_plan(state, scan)
            .await
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

    /// Inexact: the scan skips what statistics exclude and DataFusion filters the rest.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    /// The filters reach the Parquet scan later, as physical ones, through the union.
    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut halves = Vec::new();
        if !self.sealed.is_empty() {
            halves.push(self.scan_sealed(state, projection, limit).await?);
        }
        if !self.live.is_empty() || halves.is_empty() {
            // A plan of no partition at all fails where something groups by its columns.
            let nothing = [Vec::new()];
            let live = if self.live.is_empty() { &nothing[..] } else { &self.live };
            let live: Arc<dyn ExecutionPlan> = MemorySourceConfig::try_new_exec(
                live,
                Arc::clone(&self.schema),
                projection.cloned(),
            )?;
            halves.push(live);
        }
        UnionExec::try_new(halves)
    }
}
