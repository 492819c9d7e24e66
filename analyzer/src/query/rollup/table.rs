//! The scan of a rewritten plan: rollups of segments that have one, rows of the others, and with those
//! rows the resets that were counted in place of a row each.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
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
/// The column of a rollup with the number of them that have no row.
const COUNTED: &str = "counted";

/// The table `resets` with as few rows as the query allows.
#[derive(Debug)]
pub(super) struct RollupTable {
    /// The schema of `resets_per_minute`.
    schema: SchemaRef,
    recording: Arc<Recording>,
    /// The longest step that gives the same answer; `None` where only rows do.
    step: Option<Step>,
}

impl RollupTable {
    pub(super) fn new(recording: Arc<Recording>, step: Option<Step>) -> Self {
        Self { schema: reader_schema(Table::ResetsPerMinute), recording, step }
    }

    /// The position of a column of `resets` in this schema.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        let own = &self.schema.fields()[..self.count_position()];
        own.iter().position(|field| field.name() == name)
    }

    /// Behind the columns of `resets`, and before that of the resets without rows.
    pub(super) fn count_position(&self) -> usize {
        self.schema.fields().len() - 2
    }

    /// Complete rollups of the segments, in the longest steps available, and the segments without
    /// one. A complete rollup counts every reset and has all `columns`.
    fn parted(&self, times: Times, columns: &[&str]) -> (Vec<Arc<Sealed>>, Vec<Arc<Sealed>>) {
        let name = |segment: &Sealed| SegmentName::of_file(&segment.path);
        let of_step = |step: Step| -> HashMap<SegmentName, Arc<Sealed>> {
            let rollups = self.recording.sealed_within(step.table(), times);
            rollups.into_iter().filter_map(|rollup| Some((name(&rollup)?, rollup))).collect()
        };
        let mut left = self.recording.sealed_within(Table::Resets, times);
        left.retain(|segment| segment.rows > 0 || segment.footer.counted > 0);
        let mut rolled = Vec::new();
        for step in Step::ALL.into_iter().filter(|step| Some(*step) <= self.step) {
            if left.is_empty() {
                break;
            }
            let rollups = of_step(step);
            left.retain(|segment| {
                let rollup = name(segment).and_then(|name| rollups.get(&name)).filter(|rollup| {
                    counts_all(rollup, segment)
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

/// Whether a rollup counts every reset of its segment, with and without a row.
fn counts_all(rollup: &Sealed, segment: &Sealed) -> bool {
    let counted = i64::try_from(segment.footer.counted).unwrap_or(i64::MAX);
    i64::try_from(rollup.footer.written) == Ok(segment.rows.saturating_add(counted))
}

impl RollupTable {
    /// The rollups that have the counted resets of these segments, whose rows are read. Counted resets
    /// that no rollup has are left out of the answer.
    fn with_counted(&self, segments: &[Arc<Sealed>], columns: &[&str]) -> Vec<Arc<Sealed>> {
        let counted = || segments.iter().filter(|segment| segment.footer.counted > 0);
        let spans = || counted().filter_map(|segment| segment.span());
        let (Some(from_us), Some(to_us)) =
            (spans().map(|span| span.0).min(), spans().map(|span| span.1).max())
        else {
            return Vec::new();
        };
        let times = Times { from_us, to_us: to_us.saturating_add(1) };
        let name = |segment: &Sealed| SegmentName::of_file(&segment.path);
        let rollups = self.recording.sealed_within(Step::Minute.table(), times);
        let rollups: HashMap<SegmentName, Arc<Sealed>> =
            rollups.into_iter().filter_map(|rollup| Some((name(&rollup)?, rollup))).collect();
        let of_segment = |segment: &Arc<Sealed>| {
            let rollup = name(segment).and_then(|name| rollups.get(&name)).filter(|rollup| {
                let is_asked = |column: &&&str| **column != COUNT;
                counts_all(rollup, segment)
                    && rollup.has_column(COUNTED)
                    && columns.iter().filter(is_asked).all(|column| rollup.has_column(column))
            });
            if rollup.is_none() {
                self.recording.leave_out_counted(segment);
            }
            rollup.cloned()
        };
        counted().filter_map(of_segment).collect()
    }
}

impl Scan for RollupTable {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn scan(&self, state: &dyn Session, read: &Read<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..=self.count_position()).collect();
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
        let count = self.count_position();
        let without_rows: Vec<usize> =
            projection.iter().copied().filter(|at| *at != count).chain([count + 1]).collect();
        let counted = self.with_counted(&raw, &names);
        if !counted.is_empty() {
            let files = counted.iter().map(|rollup| rollup.scan(&self.schema)).collect();
            let read = Read { projection: Some(&without_rows), filters, limit: None };
            parts.push(counted_each(scan_files(state, &self.schema, files, &read)?, &names)?);
        }
        let live: Vec<Vec<RecordBatch>> =
            self.recording.live().iter().map(|spool| spool.counts.clone()).collect();
        if live.iter().any(|counts| !counts.is_empty()) {
            let groups = scan_batches(&self.schema, &live, Some(&without_rows))?;
            parts.push(counted_each(groups, &names)?);
        }
        // The columns that rows and rollups have in common.
        let columns = Schema::new(self.schema.fields()[..self.count_position()].to_vec());
        let columns = Arc::new(columns);
        let own: Vec<usize> =
            projection.iter().copied().filter(|at| *at != self.count_position()).collect();
        let (older, raw): (Vec<_>, Vec<_>) =
            raw.into_iter().filter(|segment| segment.rows > 0).partition(|s| rederive::is_due(s));
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
    fn live(&self, columns: &SchemaRef) -> Result<Vec<Vec<RecordBatch>>> {
        let narrow = |batch: &RecordBatch| -> Result<_> {
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

/// Groups of a rollup with the number of their resets without rows as their count.
fn counted_each(groups: Arc<dyn ExecutionPlan>, names: &[&str]) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = groups.schema();
    let column = |name: &str| -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Column::new_with_schema(name, &schema)?))
    };
    let has_some = BinaryExpr::new(column(COUNTED)?, Operator::Gt, lit(0_i64));
    let groups = Arc::new(FilterExec::try_new(Arc::new(has_some), groups)?);
    let outputs = names
        .iter()
        .map(|name| {
            let source = if *name == COUNT { COUNTED } else { name };
            Ok((column(source)?, (*name).to_owned()))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new(outputs, groups)?))
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
