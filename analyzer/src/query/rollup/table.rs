//! The scan of a rewritten plan: rollups of segments that have one, rows of the others.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use tcprst_schema::paths::SegmentName;
use tcprst_schema::tables::Table;

use crate::recording::Recording;
use crate::recording::provider::Scan;
use crate::recording::prune::Times;
use crate::recording::rederive;
use crate::recording::scan::{Read, scan_batches, scan_files};
use crate::recording::sealed::Sealed;
use crate::recording::step::Step;
use crate::recording::types::reader_schema;

/// The column with the number of resets that a row represents.
pub(super) const COUNT: &str = "count";

/// The table `resets` with as few rows as the query allows.
#[derive(Debug)]
pub(super) struct RollupTable {
    /// The schema of `resets_per_minute`.
    schema: SchemaRef,
    recording: Arc<Recording>,
    /// The longest step that gives the same answer.
    step: Step,
}

impl RollupTable {
    pub(super) fn new(recording: Arc<Recording>, step: Step) -> Self {
        Self { schema: reader_schema(Table::ResetsPerMinute), recording, step }
    }

    /// The position of a column of `resets` in this schema.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.schema.fields().iter().position(|field| field.name() == name && name != COUNT)
    }

    pub(super) fn count_position(&self) -> usize {
        self.schema.fields().len() - 1
    }

    /// Complete rollups of the segments, in the longest steps available, and the segments without
    /// one. A complete rollup counts every row and has all `columns`.
    fn parted(&self, times: Times, columns: &[&str]) -> (Vec<Arc<Sealed>>, Vec<Arc<Sealed>>) {
        let name = |segment: &Sealed| SegmentName::of_file(&segment.path);
        let of_step = |step: Step| -> HashMap<SegmentName, Arc<Sealed>> {
            let rollups = self.recording.sealed_within(step.table(), times);
            rollups.into_iter().filter_map(|rollup| Some((name(&rollup)?, rollup))).collect()
        };
        let mut left = self.recording.sealed_within(Table::Resets, times);
        left.retain(|segment| segment.rows > 0);
        let mut rolled = Vec::new();
        for step in Step::ALL.into_iter().filter(|step| *step <= self.step) {
            if left.is_empty() {
                break;
            }
            let rollups = of_step(step);
            left.retain(|segment| {
                let rollup = name(segment).and_then(|name| rollups.get(&name)).filter(|rollup| {
                    i64::try_from(rollup.footer.written) == Ok(segment.rows)
                        && rollup.footer.taxonomy_version == segment.footer.taxonomy_version
                        // A rollup's causes cannot be derived again.
                        && !rederive::is_due(segment)
                        && columns.iter().all(|column| rollup.has_column(column))
                });
                rolled.extend(rollup.cloned());
                rollup.is_none()
            });
        }
        (rolled, left)
    }
}

impl Scan for RollupTable {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn scan(&self, state: &dyn Session, read: &Read<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let Read { projection, filters, limit } = *read;
        let projection = projection.unwrap_or(&all);
        let names: Vec<&str> =
            projection.iter().map(|at| self.schema.field(*at).name().as_str()).collect();
        let times = Times::from_filters(filters);
        let (rolled, raw) = self.parted(times, &names);
        let mut parts = Vec::new();
        if !rolled.is_empty() {
            let files = rolled.iter().map(|rollup| rollup.scan(&self.schema)).collect();
            let read = Read { projection: Some(projection), filters, limit };
            parts.push(scan_files(state, &self.schema, files, &read)?);
        }
        // The columns that rows and rollups have in common.
        let columns = Schema::new(self.schema.fields()[..self.count_position()].to_vec());
        let columns = Arc::new(columns);
        let own: Vec<usize> =
            projection.iter().copied().filter(|at| *at != self.count_position()).collect();
        let (older, raw): (Vec<_>, Vec<_>) =
            raw.into_iter().partition(|segment| rederive::is_due(segment));
        if !older.is_empty() {
            // Derived from columns that the rollup does not have.
            let resets = reader_schema(Table::Resets);
            let files = older.iter().map(|segment| segment.scan(&resets)).collect();
            let own = names
                .iter()
                .filter(|name| **name != COUNT)
                .map(|name| resets.index_of(name))
                .collect::<Result<Vec<usize>, _>>()?;
            let read = Read { projection: Some(&own), filters, limit };
            parts.push(one_each(rederive::scan(state, &resets, files, &read)?, &names)?);
        }
        if !raw.is_empty() {
            let files = raw.iter().map(|segment| segment.scan(&columns)).collect();
            let read = Read { projection: Some(&own), filters, limit };
            let rows = scan_files(state, &columns, files, &read)?;
            parts.push(one_each(rows, &names)?);
        }
        let live = self.live(&columns)?;
        if !live.is_empty() || parts.is_empty() {
            parts.push(one_each(scan_batches(&columns, &live, Some(&own))?, &names)?);
        }
        UnionExec::try_new(parts)
    }
}

impl RollupTable {
    /// Rows of live segments, projected to these columns.
    fn live(&self, columns: &SchemaRef) -> Result<Vec<Vec<arrow::array::RecordBatch>>> {
        let narrow = |batch: &arrow::array::RecordBatch| -> Result<_> {
            let positions = columns
                .fields()
                .iter()
                .map(|field| batch.schema_ref().index_of(field.name()))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(batch.project(&positions)?)
        };
        self.recording
            .live_batches()
            .iter()
            .map(|batches| batches.iter().map(narrow).collect())
            .collect()
    }
}

/// Plain rows, each counted once; `names` are the output columns.
fn one_each(rows: Arc<dyn ExecutionPlan>, names: &[&str]) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = rows.schema();
    let outputs = names
        .iter()
        .map(|name| {
            let expr: Arc<dyn PhysicalExpr> = if *name == COUNT {
                lit(1_i64)
            } else {
                Arc::new(Column::new_with_schema(name, &schema)?)
            };
            Ok((expr, (*name).to_owned()))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new(outputs, rows)?))
}
