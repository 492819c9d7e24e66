//! DataFusion's own scans of sealed files and of batches in memory.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::Statistics;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;

use super::reader::LocalFiles;

/// DataFusion's scan of batches in memory: one partition for each list, or one empty partition.
pub(crate) fn scan_batches(
    schema: &SchemaRef,
    live: &[Vec<RecordBatch>],
    projection: Option<&Vec<usize>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let none = [Vec::new()];
    let partitions = if live.is_empty() { &none } else { live };
    Ok(MemorySourceConfig::try_new_exec(partitions, Arc::clone(schema), projection.cloned())?)
}

/// The columns, filters and limit of a scan.
pub(crate) struct Read<'a> {
    pub(crate) projection: Option<&'a Vec<usize>>,
    pub(crate) filters: &'a [Expr],
    pub(crate) limit: Option<usize>,
}

impl Read<'_> {
    /// Whether filtering while reading saves time. Columns without a filter are then decoded only for
    /// the remaining rows. With few such columns it costs more than it saves: decoding a number into
    /// a dictionary takes less time than skipping it.
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

/// DataFusion's scan of Parquet files. It reads the requested columns, and skips files, row groups
/// and pages by their statistics and Bloom filters.
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
