//! Derives `cause` and `blame` by current rules for segments written under older rules, so that
//! old recordings improve. It reads the evidence instead of the verdict and writes nothing.

use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::error::Result;
use datafusion::logical_expr::{Operator, ScalarUDF};
use datafusion::physical_expr::expressions::{CaseExpr, CastExpr, Column, binary, lit};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;

use arrow::datatypes::SchemaRef;
use tcprst_schema::TAXONOMY_VERSION;
use tcprst_schema::footer::Footer;

use crate::functions;
use crate::recording::scan::{Read, scan_files};
use crate::recording::sealed::Sealed;
use crate::recording::types::text_type;

/// The arguments of `cause(...)`.
const EVIDENCE: [&str; 8] = [
    "stack",
    "reason",
    "sk_state",
    "sk_flags",
    "answered_flags",
    "past",
    "accept_queue",
    "accept_queue_limit",
];
/// Those that every file has whose causes can be derived again; where others are missing they are
/// null, and prove nothing.
const REQUIRED: usize = 5;

/// Whether the causes of a segment come from older rules.
pub(crate) fn is_older(footer: &Footer) -> bool {
    footer.taxonomy_version < TAXONOMY_VERSION
}

/// Whether the causes can be derived again. A file without all of the evidence keeps the verdict of
/// its recorder, which saw more.
pub(crate) fn is_due(segment: &Sealed) -> bool {
    is_older(&segment.footer)
        && EVIDENCE[..REQUIRED].iter().all(|column| segment.has_column(column))
}

/// Scans files of older rules as if written under current ones; `schema` is that of `resets`.
pub(crate) fn scan(
    state: &dyn Session,
    schema: &SchemaRef,
    files: Vec<PartitionedFile>,
    read: &Read<'_>,
) -> Result<Arc<dyn ExecutionPlan>> {
    derived(state, schema, read.projection, |wider| {
        scan_files(state, schema, files, &Read { projection: wider, ..*read })
    })
}

/// The result of `scan` for a projection, with `cause` and `blame` derived if requested.
pub(crate) fn derived(
    state: &dyn Session,
    schema: &SchemaRef,
    projection: Option<&Vec<usize>>,
    scan: impl FnOnce(Option<&Vec<usize>>) -> Result<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    let asked = projection.unwrap_or(&all);
    let is_verdict = |name: &str| matches!(name, "cause" | "blame");
    if !asked.iter().any(|at| is_verdict(schema.field(*at).name())) {
        return scan(projection);
    }
    let mut wider = asked.clone();
    for name in EVIDENCE.into_iter().chain(["cause", "blame"]) {
        let at = schema.index_of(name)?;
        if !wider.contains(&at) {
            wider.push(at);
        }
    }
    let rows = scan(Some(&wider))?;
    let read = rows.schema();
    let call = |function: ScalarUDF, arguments: Vec<Arc<dyn PhysicalExpr>>| {
        let options = Arc::clone(state.config().options());
        let call = ScalarFunctionExpr::try_new(Arc::new(function), arguments, &read, options)?;
        Ok::<Arc<dyn PhysicalExpr>, DataFusionError>(Arc::new(call))
    };
    let column = |name: &str| -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Column::new_with_schema(name, &read)?))
    };
    let cast_lit = |text: &str| -> Result<Arc<dyn PhysicalExpr>> {
        Ok(lit(ScalarValue::from(text).cast_to(&text_type())?))
    };
    let evidence = || EVIDENCE.iter().map(|name| column(name)).collect::<Result<Vec<_>>>();
    let outputs = asked
        .iter()
        .map(|at| {
            let name = schema.field(*at).name();
            let value = match name.as_str() {
                "cause" => call(functions::cause(), evidence()?)?,
                "blame" => call(functions::blame(), vec![call(functions::cause(), evidence()?)?])?,
                _ => return Ok((column(name)?, name.clone())),
            };
            let value: Arc<dyn PhysicalExpr> = Arc::new(CastExpr::new(value, text_type(), None));
            // What follows from another reset has the verdict of that one.
            let follows = binary(column("past")?, Operator::Eq, cast_lit("reset")?, &read)?;
            let value = CaseExpr::try_new(None, vec![(follows, column(name)?)], Some(value))?;
            let value: Arc<dyn PhysicalExpr> = Arc::new(value);
            Ok((value, name.clone()))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new(outputs, rows)?))
}
