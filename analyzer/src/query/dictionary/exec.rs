//! The partial aggregate that groups by number.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions, SendableRecordBatchStream,
};
use futures::StreamExt as _;

use super::case_column::GroupKey;
use super::groups::Groups;

/// Groups emitted in one batch: few batches, because each reader of a batch hashes its whole
/// dictionary.
const EMIT_ROWS: usize = 256 * 1024;

/// Replaces the partial aggregate that it was made from.
#[derive(Debug)]
pub(super) struct DictionaryAggregate {
    partial: Arc<AggregateExec>,
    metrics: ExecutionPlanMetricsSet,
}

impl DictionaryAggregate {
    pub(super) fn new(partial: Arc<AggregateExec>) -> Self {
        Self { partial, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for DictionaryAggregate {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DictionaryAggregate: ")?;
        self.partial.fmt_as(kind, f)
    }
}

impl ExecutionPlan for DictionaryAggregate {
    fn name(&self) -> &'static str {
        "DictionaryAggregate"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.partial.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![self.partial.input()]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.partial.apply_expressions(f)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        let partial = Arc::clone(&self.partial).replace_children(children, options)?;
        match (partial.as_ref() as &dyn Any).downcast_ref::<AggregateExec>() {
            Some(partial) => Ok(Arc::new(Self::new(Arc::new(partial.clone())))),
            None => Err(DataFusionError::Internal("an aggregate became something else".into())),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.partial.input().execute(partition, Arc::clone(&context))?;
        let consumer = MemoryConsumer::new(format!("DictionaryAggregate[{partition}]"));
        let exprs = self.partial.group_expr().input_exprs();
        let schema = self.partial.input().schema();
        let work = Work {
            partial: Arc::clone(&self.partial),
            input: Some(input),
            groups: Groups::new(&exprs, &schema)?,
            keys: exprs.into_iter().map(|expr| GroupKey::new(expr, &schema)).collect(),
            accumulators: accumulators(&self.partial)?,
            numbers: Vec::new(),
            ready: Vec::new(),
            memory: consumer.register(context.memory_pool()),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let batches = futures::stream::try_unfold(work, async |mut work| {
            let batch = work.next().await?;
            Ok(batch.map(|batch| (batch, work)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

fn accumulators(partial: &AggregateExec) -> Result<Vec<Box<dyn GroupsAccumulator>>> {
    partial.aggr_expr().iter().map(|function| function.create_groups_accumulator()).collect()
}

/// The state of one partition.
struct Work {
    partial: Arc<AggregateExec>,
    /// `None` after the end of the input.
    input: Option<SendableRecordBatchStream>,
    keys: Vec<GroupKey>,
    groups: Groups,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    /// Group of each row of the current batch.
    numbers: Vec<usize>,
    /// Batches to emit, last first.
    ready: Vec<RecordBatch>,
    memory: MemoryReservation,
    metrics: BaselineMetrics,
}

impl Work {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.pop() {
                self.metrics.record_output(batch.num_rows());
                return Ok(Some(batch));
            }
            let Some(input) = &mut self.input else {
                return Ok(None);
            };
            match input.next().await {
                Some(batch) => {
                    let time = self.metrics.elapsed_compute().clone();
                    let _timer = time.timer();
                    self.take_in(&batch?)?;
                    // The final aggregate merges groups that were emitted more than once.
                    if self.memory.try_resize(self.size()).is_err() {
                        self.hand_on()?;
                    }
                }
                None => {
                    self.input = None;
                    self.hand_on()?;
                }
            }
        }
    }

    fn size(&self) -> usize {
        let functions: usize = self.accumulators.iter().map(|function| function.size()).sum();
        let keys: usize = self.keys.iter().map(GroupKey::size).sum();
        keys + self.groups.size() + functions
    }

    fn take_in(&mut self, batch: &RecordBatch) -> Result<()> {
        let keys = self
            .keys
            .iter_mut()
            .map(|key| key.evaluate(batch))
            .collect::<Result<Vec<ArrayRef>>>()?;
        self.groups.number(&keys, &mut self.numbers)?;
        let functions = self.partial.aggr_expr().iter().zip(self.partial.filter_expr());
        for ((function, filter), accumulator) in functions.zip(&mut self.accumulators) {
            let values = function
                .expressions()
                .iter()
                .map(|expr| expr.evaluate(batch)?.into_array(batch.num_rows()))
                .collect::<Result<Vec<ArrayRef>>>()?;
            let filter = match filter {
                Some(filter) => Some(filter.evaluate(batch)?.into_array(batch.num_rows())?),
                None => None,
            };
            let filter = filter.as_ref().map(|filter| filter.as_boolean());
            accumulator.update_batch(&values, &self.numbers, filter, self.groups.len())?;
        }
        Ok(())
    }

    /// Turns all groups into batches to emit and resets the state.
    fn hand_on(&mut self) -> Result<()> {
        let rows = self.groups.len();
        if rows > 0 {
            let mut columns = self.groups.take()?;
            for accumulator in &mut self.accumulators {
                columns.extend(accumulator.state(EmitTo::All)?);
            }
            let schema: SchemaRef = self.partial.schema();
            let batch = RecordBatch::try_new(schema, columns)?;
            let starts = (0..rows).step_by(EMIT_ROWS);
            self.ready =
                starts.map(|start| batch.slice(start, EMIT_ROWS.min(rows - start))).rev().collect();
        }
        self.memory.try_resize(self.size())?;
        Ok(())
    }
}
