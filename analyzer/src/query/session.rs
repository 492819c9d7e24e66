//! From SQL to a printed result: parse, plan, check, run.

use std::io::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{DFParserBuilder, Statement};

use super::carry_over;
use crate::error::{Error, sql_tables};
use crate::functions;
use crate::output;
use crate::output::format::Format;
use crate::output::progress::Progress;
use crate::query::engine::Engine;
use crate::query::permit;
use crate::recording::Recording;
use crate::recording::files::FilesTable;
use crate::recording::provider::Provider;
use crate::recording::table::SegmentTable;
use crate::recording::types::reader_schema;
use crate::window::Window;

/// The statements of an input, at least one.
pub(crate) fn parse(sql: &str) -> Result<Vec<Statement>, Error> {
    let statements = DFParserBuilder::new(sql).build()?.parse_statements()?;
    if statements.is_empty() {
        return Err(Error::NoStatement);
    }
    Ok(statements.into())
}

/// The tables of a recording, ready for queries.
pub(crate) struct Session {
    context: SessionContext,
    engine: Arc<Engine>,
}

impl Session {
    pub(crate) fn new(recording: Arc<Recording>, engine: &Arc<Engine>) -> Result<Self, Error> {
        Self::open(recording, engine, engine.context(engine.config()))
    }

    /// A session over the recording as it is now, with the tables, views and settings that the user
    /// made in the session before.
    pub(crate) async fn again(
        recording: Arc<Recording>,
        engine: &Arc<Engine>,
        window: &Window,
        before: &Self,
    ) -> Result<Self, Error> {
        let config = before.context.copied_config().with_create_default_catalog_and_schema(true);
        let session = Self::open(recording, engine, engine.context(config))?;
        session.restrict(window)?;
        if engine.allows_files() {
            carry_over::tables(&before.context, &session.context).await?;
        }
        Ok(session)
    }

    fn open(
        recording: Arc<Recording>,
        engine: &Arc<Engine>,
        context: SessionContext,
    ) -> Result<Self, Error> {
        for table in sql_tables() {
            let segments = SegmentTable::new(table, reader_schema(table), Arc::clone(&recording));
            context.register_table(table.name(), Arc::new(Provider(segments)))?;
        }
        context.register_table("files", Arc::new(Provider(FilesTable::new(recording))))?;
        functions::register(&context);
        Ok(Self { context, engine: Arc::clone(engine) })
    }

    /// DataFusion's context: the shell completes names from it.
    pub(crate) fn context(&self) -> &SessionContext {
        &self.context
    }

    /// Restricts `resets` and `losses` to a window, for the SQL that follows: views of the same names
    /// replace them, and their filter reaches the scan as if the user had written it.
    pub(crate) fn restrict(&self, window: &Window) -> Result<(), Error> {
        for (name, from, to) in [("resets", "time", "time"), ("losses", "from_time", "to_time")] {
            let Some(filter) = window.filter(from, to) else { return Ok(()) };
            let Some(table) = self.context.deregister_table(name)? else { continue };
            let scan = LogicalPlanBuilder::scan(name, provider_as_source(table), None)?;
            let view = ViewTable::new(scan.filter(filter)?.build()?, None);
            self.context.register_table(name, Arc::new(view))?;
        }
        Ok(())
    }

    /// Runs the statements of a text in order.
    pub(crate) async fn run_sql(
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

    /// The whole result of one query, for reports with small results.
    pub(crate) async fn collect(&self, sql: &str) -> Result<Vec<RecordBatch>, Error> {
        let plan = self.context.state().create_logical_plan(sql).await?;
        permit::check_plan(&plan)?;
        Ok(self.context.execute_logical_plan(plan).await?.collect().await?)
    }

    /// Runs one statement and prints its result while it arrives.
    pub(crate) async fn run(
        &self,
        statement: Statement,
        format: Format,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        self.answer(statement, format, out).await.map(drop)
    }

    /// The same, and returns the number of rows if the statement has a result.
    pub(crate) async fn answer(
        &self,
        statement: Statement,
        format: Format,
        out: &mut dyn Write,
    ) -> Result<Option<u64>, Error> {
        let state = self.context.state();
        permit::check_statement(&statement, &state, &self.engine)?;
        let plan = state.statement_to_plan(statement).await?;
        if !self.engine.allows_files() {
            permit::check_plan(&plan)?;
        }
        let is_plan = matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_));
        let is_silent = matches!(plan, LogicalPlan::Ddl(_) | LogicalPlan::Statement(_));
        let frame = self.context.execute_logical_plan(plan).await?;
        if is_silent && frame.schema().fields().is_empty() {
            frame.collect().await?;
            return Ok(None);
        }
        let task = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await?;
        let progress = Progress::new(&plan);
        let batches = execute_stream(plan, task)?;
        let cells = if is_plan { output::Cells::Lines } else { output::Cells::OneLine };
        output::watched(format, cells, batches, progress, out).await.map(Some)
    }
}
