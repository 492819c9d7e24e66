//! Answers queries that only count `resets` from `resets_per_minute`.
//!
//! ```text
//! Aggregate: group by A, count(*)            Projection: A, coalesce(S, 0) as count(*)
//!   Filter: P                          ->      Aggregate: group by A, sum(n) as S
//!     TableScan: resets                          Filter: P
//!                                                  TableScan: resets (rolled up), count as n
//! ```
//!
//! The answer is always the same: [`exact`] accepts a plan only if the plan cannot distinguish rows
//! of one minute (hour, day, if a segment has such a rollup too) with the same dimensions.
//! [`table`] is the scan; it reads the rows themselves if a segment has no rollup.
//!
//! Resets of a storm are in the rollup alone. Where a plan sees times too exactly for any rollup, it
//! gets the rows, and with them the counted resets, which have the time of their minute.

mod exact;
mod table;

use std::any::Any;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, TableReference};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::error::Result;
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::{
    Aggregate, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias, TableScan,
    lit, when,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use tcprst_schema::tables::Table;

use crate::recording::Recording;
use crate::recording::provider::Provider;
use crate::recording::prune::Times;
use crate::recording::step::Step;
use crate::recording::table::SegmentTable;
use exact::{Count, is_exact};
use table::RollupTable;

/// Internal column with the number of resets of a row; the prefix avoids a clash with user columns.
const ROWS: &str = "__tcprst_rows";

/// The optimizer rule; it runs after DataFusion's rules.
#[derive(Debug)]
pub(crate) struct AnswerFromRollup;

impl OptimizerRule for AnswerFromRollup {
    fn name(&self) -> &'static str {
        "answer_from_rollup"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else {
            return Ok(Transformed::no(plan));
        };
        // The longest steps have the fewest rows.
        for step in Step::ALL.into_iter().map(Some).chain([None]) {
            if let Some(plan) = rewritten(aggregate, step)? {
                return Ok(Transformed::yes(plan));
            }
        }
        Ok(Transformed::no(plan))
    }
}

/// The aggregate over the rollup, or `None` if the result could differ. Without a step it is over rows
/// and counted resets.
fn rewritten(aggregate: &Aggregate, step: Option<Step>) -> Result<Option<LogicalPlan>> {
    let counts: Option<Vec<Count>> =
        aggregate.aggr_expr.iter().map(|expr| Count::from_aggregate(expr, step)).collect();
    let Some(counts) = counts else { return Ok(None) };
    let is_grouped_exactly = aggregate.group_expr.iter().all(|expr| is_exact(expr, step));
    let is_set = |expr: &Expr| matches!(expr, Expr::GroupingSet(_));
    // A plain total comes from the footers without a scan, unless resets without rows are in it.
    let is_total = aggregate.group_expr.is_empty()
        && counts.iter().all(|count| matches!(count, Count::Rows(None)))
        && matches!(&*aggregate.input, LogicalPlan::TableScan(scan)
            if scan.filters.is_empty() && !has_counted(scan)?);
    if !is_grouped_exactly || is_total || aggregate.group_expr.iter().any(is_set) {
        return Ok(None);
    }
    let Some(input) = rolled_up(&aggregate.input, step)? else { return Ok(None) };

    let groups = aggregate.group_expr.len();
    let sum_name = |at: usize| format!("__tcprst_sum_{at}");
    let aggregates = counts
        .iter()
        .zip(&aggregate.aggr_expr)
        .enumerate()
        .map(|(at, (count, expr))| {
            Ok(match count {
                Count::Rows(filter) => summed(rows(), filter.clone()).alias(sum_name(at)),
                Count::NotNull(of, filter) => {
                    let counted = when(of.clone().is_not_null(), rows()).end()?;
                    summed(counted, filter.clone()).alias(sum_name(at))
                }
                Count::AsItIs => expr.clone(),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let summed = Aggregate::try_new(Arc::new(input), aggregate.group_expr.clone(), aggregates)?;
    let outputs = aggregate
        .schema
        .iter()
        .enumerate()
        .map(|(at, (qualifier, field))| {
            match at.checked_sub(groups).map(|at| (at, &counts[at])) {
                // A sum over no rows is null, a count is zero.
                Some((at, Count::Rows(_) | Count::NotNull(..))) => {
                    let sum = Expr::Column(Column::new_unqualified(sum_name(at)));
                    coalesce(vec![sum, lit(0_i64)])
                        .alias_qualified(qualifier.cloned(), field.name())
                }
                _ => Expr::Column(Column::new(qualifier.cloned(), field.name())),
            }
        })
        .collect();
    let plan = Projection::try_new(outputs, Arc::new(LogicalPlan::Aggregate(summed)))?;
    Ok(Some(LogicalPlan::Projection(plan)))
}

fn rows() -> Expr {
    Expr::Column(Column::new_unqualified(ROWS))
}

fn summed(of: Expr, filter: Option<Box<Expr>>) -> Expr {
    Expr::AggregateFunction(AggregateFunction {
        func: sum_udaf(),
        params: AggregateFunctionParams {
            args: vec![of],
            distinct: false,
            filter,
            order_by: Vec::new(),
            null_treatment: None,
        },
    })
}

/// The same plan over the rollup, with [`ROWS`] as one more column.
fn rolled_up(plan: &LogicalPlan, step: Option<Step>) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::TableScan(scan) => scanned(scan, step),
        LogicalPlan::Filter(filter) if is_exact(&filter.predicate, step) => {
            let Some(input) = rolled_up(&filter.input, step)? else { return Ok(None) };
            let filter = Filter::try_new(filter.predicate.clone(), Arc::new(input))?;
            Ok(Some(LogicalPlan::Filter(filter)))
        }
        LogicalPlan::Projection(projection) => {
            // The time itself may pass under its own name, because nodes above are checked too.
            let is_passed = |expr: &Expr| matches!(expr, Expr::Column(_)) || is_exact(expr, step);
            if !projection.expr.iter().all(is_passed) {
                return Ok(None);
            }
            let Some(input) = rolled_up(&projection.input, step)? else { return Ok(None) };
            let outputs = projection.expr.iter().cloned().chain([rows()]).collect();
            let projection = Projection::try_new(outputs, Arc::new(input))?;
            Ok(Some(LogicalPlan::Projection(projection)))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let Some(input) = rolled_up(&alias.input, step)? else { return Ok(None) };
            let alias = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
            // The alias adds a qualifier to the count column, which no node above expects.
            let outputs = alias.schema.iter().map(|(qualifier, field)| {
                let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
                if field.name() == ROWS { column.alias(ROWS) } else { column }
            });
            let outputs = outputs.collect();
            let plan = Projection::try_new(outputs, Arc::new(LogicalPlan::SubqueryAlias(alias)))?;
            Ok(Some(LogicalPlan::Projection(plan)))
        }
        _ => Ok(None),
    }
}

/// The recording, if the scan is one of `resets`.
fn recording_of(scan: &TableScan) -> Result<Option<Arc<Recording>>> {
    let provider = source_as_provider(&scan.source)?;
    let table = (provider.as_ref() as &dyn Any).downcast_ref::<Provider<SegmentTable>>();
    let resets = table.filter(|Provider(table)| table.is_of(Table::Resets));
    Ok(resets.map(|Provider(resets)| Arc::clone(resets.recording())))
}

/// Whether resets without rows are among those of a scan.
fn has_counted(scan: &TableScan) -> Result<bool> {
    let times = Times::from_filters(&scan.filters);
    Ok(recording_of(scan)?.is_some_and(|recording| recording.has_counted(times)))
}

/// The scan of the rollup for a scan of `resets`, if the rollup has all its columns.
fn scanned(scan: &TableScan, step: Option<Step>) -> Result<Option<LogicalPlan>> {
    let Some(recording) = recording_of(scan)? else { return Ok(None) };
    if scan.fetch.is_some() || !scan.filters.iter().all(|filter| is_exact(filter, step)) {
        return Ok(None);
    }
    let rollup = RollupTable::new(recording, step);
    let columns = scan.projected_schema.fields();
    let positions: Option<Vec<usize>> =
        columns.iter().map(|field| rollup.position(field.name())).collect();
    let Some(mut positions) = positions else { return Ok(None) };
    // Rows alone are read best as they are.
    if step.is_none() && !has_counted(scan)? {
        return Ok(None);
    }
    positions.push(rollup.count_position());
    let name: TableReference = scan.table_name.clone();
    let source = provider_as_source(Arc::new(Provider(rollup)));
    let plan = LogicalPlanBuilder::scan_with_filters(
        name.clone(),
        source,
        Some(positions),
        scan.filters.clone(),
    )?;
    let outputs = columns
        .iter()
        .map(|field| Expr::Column(Column::new(Some(name.clone()), field.name())))
        .chain([Expr::Column(Column::new(Some(name.clone()), table::COUNT)).alias(ROWS)])
        .collect::<Vec<_>>();
    Ok(Some(plan.project(outputs)?.build()?))
}
