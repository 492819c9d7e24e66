//! Expands text for aggregate functions that do not accept dictionaries.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode as _};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, ExprSchemable as _, LogicalPlan, cast};
use datafusion::optimizer::AnalyzerRule;

/// Functions that DataFusion 55 rejects on a dictionary.
const SPELLED: [&str; 2] = ["approx_distinct", "string_agg"];

/// The analyzer rule that casts their arguments to plain text.
#[derive(Debug)]
pub(crate) struct SpellOut;

impl AnalyzerRule for SpellOut {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(spell_out)?.data)
    }

    fn name(&self) -> &'static str {
        "spell_out"
    }
}

fn spell_out(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Aggregate(aggregate) = &plan else {
        return Ok(Transformed::no(plan));
    };
    let schema = Arc::clone(aggregate.input.schema());
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let spelled = expr.transform_up(|expr| {
            let Expr::AggregateFunction(mut function) = expr else {
                return Ok(Transformed::no(expr));
            };
            if !SPELLED.contains(&function.func.name()) {
                return Ok(Transformed::no(Expr::AggregateFunction(function)));
            }
            for argument in &mut function.params.args {
                if matches!(argument.get_type(&schema)?, DataType::Dictionary(..)) {
                    *argument = cast(argument.clone(), DataType::Utf8View);
                }
            }
            Ok(Transformed::yes(Expr::AggregateFunction(function)))
        })?;
        Ok(spelled.update_data(|expr| name.restore(expr)))
    })
}
