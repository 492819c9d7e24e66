//! DataFusion's interface to tables: one implementation for all of ours.

use std::fmt::Debug;
use std::future;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;

use super::scan::Read;

/// A table that plans its scan without waiting for anything.
pub(crate) trait Scan: Debug + Send + Sync + 'static {
    fn schema(&self) -> &SchemaRef;

    fn scan(&self, state: &dyn Session, read: &Read<'_>) -> Result<Arc<dyn ExecutionPlan>>;
}

/// A table for DataFusion.
#[derive(Debug)]
pub(crate) struct Provider<T>(pub(crate) T);

impl<T: Scan> TableProvider for Provider<T> {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.0.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Inexact: a scan skips what names and statistics exclude, and DataFusion filters the rest.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    /// The signature that `#[async_trait]` generates in the trait, written out. [`planned`] makes the
    /// future outside of these bounds: under them rustc does not cache proofs of `Send`, which took
    /// most of the type checking of this crate.
    fn scan<'this, 'state, 'projection, 'filters, 'scan>(
        &'this self,
        state: &'state dyn Session,
        projection: Option<&'projection Vec<usize>>,
        filters: &'filters [Expr],
        limit: Option<usize>,
    ) -> BoxFuture<'scan, Result<Arc<dyn ExecutionPlan>>>
    where
        'this: 'scan,
        'state: 'scan,
        'projection: 'scan,
        'filters: 'scan,
        Self: 'scan,
    {
        planned(self.0.scan(state, &Read { projection, filters, limit }))
    }
}

fn planned(
    plan: Result<Arc<dyn ExecutionPlan>>,
) -> BoxFuture<'static, Result<Arc<dyn ExecutionPlan>>> {
    Box::pin(future::ready(plan))
}
