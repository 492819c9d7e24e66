//! A table of a recording: sealed files and live spools as one.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use tcprst_schema::arrow::table_schema;
use tcprst_schema::columns::Column;
use tcprst_schema::paths::Table;

use crate::recording::Recording;
use crate::recording::prune::Times;
use crate::recording::reader::LocalFiles;
use crate::recording::rederive;
use crate::recording::sealed::Sealed;

/// The type of text in a table: numbers into a dictionary, as the files have it. A filter then
/// looks at each stack once and not once a row, and groups are found by number (see
/// [`crate::query::dictionary`]).
pub fn text_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// Schema of a table as queries see it, the same whatever the files' versions.
///
/// It differs from [`table_schema`] in two ways. Every column is nullable, because a file of
/// an older recorder may lack it. Text keeps its dictionary ([`text_type`]).
pub fn reader_schema<R>(columns: &[Column<R>]) -> SchemaRef {
    let fields = table_schema(columns)
        .fields()
        .iter()
        .map(|field| {
            let data_type = match field.data_type() {
                DataType::Utf8 => text_type(),
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
    table: Table,
    schema: SchemaRef,
    recording: Arc<Recording>,
}

impl SegmentTable {
    pub fn new(table: Table, schema: SchemaRef, recording: Arc<Recording>) -> Self {
        Self { table, schema, recording }
    }

    pub(crate) fn is(&self, table: Table) -> bool {
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
        let times = Times::of_filters(filters);
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

/// DataFusion's own scan of batches in memory, one partition each, and one where there are none.
pub(crate) fn scan_batches(
    schema: &SchemaRef,
    live: &[Vec<RecordBatch>],
    projection: Option<&Vec<usize>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let none = [Vec::new()];
    let partitions = if live.is_empty() { &none } else { live };
    Ok(MemorySourceConfig::try_new_exec(partitions, Arc::clone(schema), projection.cloned())?)
}

/// What a scan is asked for.
pub(crate) struct Read<'a> {
    pub(crate) projection: Option<&'a Vec<usize>>,
    pub(crate) filters: &'a [Expr],
    pub(crate) limit: Option<usize>,
}

impl Read<'_> {
    /// Whether filtering while reading spares anything: the columns that no filter looks at are
    /// then only decoded for the rows that are left. With a few of them it is only dearer: to
    /// decode a number into a dictionary takes less time than to skip it.
    fn is_worth_filtering(&self, schema: &Schema) -> bool {
        const MANY: usize = 4;
        let Some(projection) = self.projection else { return true };
        let filtered: HashSet<&str> = self
            .filters
            .iter()
            .flat_map(|filter| filter.column_refs())
            .map(|column| column.name.as_str())
            .collect();
        let is_other = |at: &&usize| !filtered.contains(schema.field(**at).name().as_str());
        projection.iter().filter(is_other).count() >= MANY
    }
}

/// DataFusion's own scan of Parquet files: it reads the columns asked for, and prunes files,
/// row groups and pages by their statistics and Bloom filters.
pub(crate) fn scan_files(
    state: &dyn Session,
    schema: &SchemaRef,
    files: Vec<PartitionedFile>,
    read: &Read<'_>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let each = files.iter().filter_map(|file| file.statistics.as_deref());
    let total = Statistics::try_merge_iter(each, schema)?;
    let groups = FileGroup::new(files).split_files(state.config().target_partitions());
    let mut options = state.default_table_options().parquet;
    options.global.pushdown_filters = read.is_worth_filtering(schema);
    let source = ParquetSource::new(Arc::clone(schema))
        .with_table_parquet_options(options)
        .with_parquet_file_reader_factory(Arc::new(LocalFiles));
    let scan = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
        .with_file_groups(groups)
        .with_statistics(total)
        .with_projection_indices(read.projection.cloned())?
        .with_limit(read.limit)
        .build();
    Ok(DataSourceExec::from_data_source(scan))
}
