//! From SQL to a printed result: parse, plan, refuse, run.

use std::io::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::{DFParserBuilder, Statement};
use tcprst_schema::columns::{
    COLUMNS, CONTAINER_COLUMNS, LEDGER_COLUMNS, LOSS_COLUMNS, ROLLUP_COLUMNS,
};
use tcprst_schema::paths::Table;

use crate::cli::Format;
use crate::dictionary::{GroupByNumber, SpellOut};
use crate::error::Error;
use crate::files::FilesTable;
use crate::functions;
use crate::print;
use crate::recording::Recording;
use crate::rollup::AnswerFromRollup;
use crate::table::{SegmentTable, reader_schema};
use crate::window::Window;

/// Name of the catalog that holds our tables; error messages leave it out.
pub(crate) const CATALOG: &str = "tcprst";

/// The statements of an input, at least one.
pub fn parse(sql: &str) -> Result<Vec<Statement>, Error> {
    let statements = DFParserBuilder::new(sql).build()?.parse_statements()?;
    if statements.is_empty() {
        return Err(Error::NoStatement);
    }
    Ok(statements.into())
}

/// The tables of a recording, ready for queries.
#[expect(missing_debug_implementations, reason = "DataFusion's context has none")]
pub struct Session {
    context: SessionContext,
}

impl Session {
    pub fn new(recording: Arc<Recording>, use_rollup: bool) -> Result<Self, Error> {
        let mut config = SessionConfig::new()
            .with_information_schema(true)
            .with_default_catalog_and_schema(CATALOG, "public");
        // What is recorded is UTC; `now()` and times without a zone must compare with it.
        config.options_mut().execution.time_zone = Some("UTC".to_owned());
        // Whatever is done once a dictionary is done once a batch: fewer are cheaper.
        config = config.with_batch_size(32 * 1024);
        config.options_mut().execution.parquet.reorder_filters = true;
        // DataFusion 55 skips rows by the bound of one min or max beside another whose argument is
        // an expression: `select max(seq), min(seq + 1)` would be wrong.
        config.options_mut().optimizer.enable_aggregate_dynamic_filter_pushdown = false;
        let mut state = SessionStateBuilder::new()
            .with_config(config)
            .with_default_features()
            .with_analyzer_rule(Arc::new(SpellOut))
            .with_physical_optimizer_rule(Arc::new(GroupByNumber));
        if use_rollup {
            state = state.with_optimizer_rule(Arc::new(AnswerFromRollup));
        }
        let state = state.build();
        let context = SessionContext::new_with_state(state);

        let segments =
            |table, schema| Arc::new(SegmentTable::new(table, schema, Arc::clone(&recording)));
        for (table, schema) in [
            (Table::Resets, reader_schema(COLUMNS)),
            (Table::Losses, reader_schema(LOSS_COLUMNS)),
            (Table::Ledger, reader_schema(LEDGER_COLUMNS)),
            (Table::Containers, reader_schema(CONTAINER_COLUMNS)),
            (Table::ResetsPerMinute, reader_schema(ROLLUP_COLUMNS)),
        ] {
            context.register_table(table.name(), segments(table, schema))?;
        }
        context.register_table("files", Arc::new(FilesTable::new(recording)))?;
        functions::register(&context);
        Ok(Self { context })
    }

    /// Narrows `resets` and `losses` to a window for the SQL that follows: views of the same names,
    /// whose filter reaches the scan like one that was written out.
    pub fn restrict(&self, window: &Window) -> Result<(), Error> {
        for (name, from, to) in [("resets", "time", "time"), ("losses", "from_time", "to_time")] {
            let Some(filter) = window.filter(from, to) else { return Ok(()) };
            let Some(table) = self.context.deregister_table(name)? else { continue };
            let scan = LogicalPlanBuilder::scan(name, provider_as_source(table), None)?;
            let view = ViewTable::new(scan.filter(filter)?.build()?, None);
            self.context.register_table(name, Arc::new(view))?;
        }
        Ok(())
    }

    /// Runs the statements of a text, one after the other.
    pub async fn run_sql(
        &self,
        sql: &str,
        format: Format,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        for statement in parse(sql)? {
            self.run(statement, format, out).await?;
        }
        Ok(())
    }

    /// The whole result of one query, for reports whose results are small.
    pub async fn collect(&self, sql: &str) -> Result<Vec<RecordBatch>, Error> {
        let plan = self.context.state().create_logical_plan(sql).await?;
        refuse_writes(&plan)?;
        Ok(self.context.execute_logical_plan(plan).await?.collect().await?)
    }

    /// Runs one statement and prints its result while it comes.
    pub async fn run(
        &self,
        statement: Statement,
        format: Format,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        // Planning these would ask for details of what is refused anyway.
        match statement {
            Statement::CopyTo(_) => return Err(Error::ReadOnly { what: "Copy".into() }),
            Statement::CreateExternalTable(_) => {
                return Err(Error::ReadOnly { what: "CreateExternalTable".into() });
            }
            _ => {}
        }
        let plan = self.context.state().statement_to_plan(statement).await?;
        refuse_writes(&plan)?;
        let is_plan = matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_));
        let stream = self.context.execute_logical_plan(plan).await?.execute_stream().await?;
        let cells = if is_plan { print::Cells::Lines } else { print::Cells::OneLine };
        print::stream(format, cells, stream, out).await
    }
}

/// The files belong to the recorder, and SQL comes from wherever the user found it: only
/// what reads is run, however deep it is nested (`explain analyze copy ...` would write).
fn refuse_writes(plan: &LogicalPlan) -> Result<(), Error> {
    let mut refused = None;
    plan.apply_with_subqueries(|node| {
        refused = match node {
            LogicalPlan::Ddl(ddl) => Some(ddl.name().to_owned()),
            LogicalPlan::Dml(dml) => Some(dml.op.name().to_owned()),
            LogicalPlan::Copy(_) => Some("Copy".to_owned()),
            LogicalPlan::Statement(statement) => Some(statement.name().to_owned()),
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        Ok(TreeNodeRecursion::Stop)
    })?;
    refused.map_or(Ok(()), |what| Err(Error::ReadOnly { what }))
}
