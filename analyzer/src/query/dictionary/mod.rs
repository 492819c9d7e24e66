//! Grouping by number: text columns in the files are already indices into dictionaries, but
//! DataFusion would expand the text of each row again to find its group.
//!
//! [`GroupByNumber`] replaces each first (partial) aggregate that groups by such a column with
//! [`exec::DictionaryAggregate`]. It hashes every text of a dictionary once and handles rows only
//! as numbers; the aggregate functions themselves are DataFusion's. It emits the same batches as
//! the partial aggregate, so that the rest of the plan does not change.

mod case_column;
mod exec;
mod expand_text;
mod groups;
mod pairs;
mod values;

use std::any::Any;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode as _};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode};

use exec::DictionaryAggregate;
pub(crate) use expand_text::SpellOut;

/// The optimizer rule that groups by number.
#[derive(Debug)]
pub(crate) struct GroupByNumber;

impl PhysicalOptimizerRule for GroupByNumber {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rewritten = plan.transform_up(|plan| {
            let Some(aggregate) = (plan.as_ref() as &dyn Any).downcast_ref::<AggregateExec>()
            else {
                return Ok(Transformed::no(plan));
            };
            match replaced(aggregate)? {
                Some(plan) => Ok(Transformed::yes(plan)),
                None => Ok(Transformed::no(plan)),
            }
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &'static str {
        "group_by_number"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The same aggregate by number, or `None` if the aggregate does not qualify.
fn replaced(aggregate: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let group_by = aggregate.group_expr();
    let is_plain = group_by.is_single()
        && aggregate.limit_options().is_none()
        && matches!(aggregate.input_order_mode(), InputOrderMode::Linear)
        && aggregate.aggr_expr().iter().all(|function| {
            function.groups_accumulator_supported() && function.order_bys().is_empty()
        });
    if !is_plain || !groups::can_number(&group_by.input_exprs(), &aggregate.input().schema())? {
        return Ok(None);
    }
    Ok(match aggregate.mode() {
        AggregateMode::Partial => {
            Some(Arc::new(DictionaryAggregate::new(Arc::new(aggregate.clone()))))
        }
        // With one thread, DataFusion combines both steps in one aggregate.
        AggregateMode::Single
            if aggregate.input().properties().partitioning.partition_count() == 1 =>
        {
            let partial = AggregateExec::try_new(
                AggregateMode::Partial,
                group_by.clone(),
                aggregate.aggr_expr().to_vec(),
                aggregate.filter_expr().to_vec(),
                Arc::clone(aggregate.input()),
                aggregate.input_schema(),
            )?;
            let filters = vec![None; aggregate.aggr_expr().len()];
            let last = AggregateExec::try_new(
                AggregateMode::Final,
                group_by.as_final(),
                aggregate.aggr_expr().to_vec(),
                filters,
                Arc::new(DictionaryAggregate::new(Arc::new(partial))),
                aggregate.input_schema(),
            )?;
            Some(Arc::new(last))
        }
        _ => None,
    })
}
