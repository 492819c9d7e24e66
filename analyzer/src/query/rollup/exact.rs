//! Finds expressions with the same result over a rollup: they use a time only by its step.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::{Between, Expr, Operator};

use crate::recording::prune::{is_time, literal_us, time_comparison};
use crate::recording::step::Step;

/// The form of an aggregate over the rollup.
#[derive(Clone, Debug)]
pub(super) enum Count {
    /// `count(*)`, with its FILTER: the sum of the counts.
    Rows(Option<Box<Expr>>),
    /// `count(x)`: the sum of the counts of rows with a non-null `x`.
    NotNull(Expr, Option<Box<Expr>>),
    /// The aggregate does not depend on the number of repetitions of a value.
    AsItIs,
}

impl Count {
    /// `None` if the rollup cannot answer the aggregate.
    pub(super) fn from_aggregate(expr: &Expr, step: Option<Step>) -> Option<Self> {
        let Expr::AggregateFunction(function) = expr.clone().unalias() else {
            return None;
        };
        let params = function.params;
        let exact =
            params.args.iter().chain(params.filter.as_deref()).all(|expr| is_exact(expr, step));
        if !exact || !params.order_by.is_empty() || params.null_treatment.is_some() {
            return None;
        }
        match (function.func.name(), params.distinct, params.args.as_slice()) {
            ("count", false, [Expr::Literal(value, _)]) => {
                (!value.is_null()).then_some(Self::Rows(params.filter))
            }
            ("count", false, [of]) => Some(Self::NotNull(of.clone(), params.filter)),
            // Counted resets have the time of their minute: one more value, but no reset's own.
            ("count", true, [of]) | ("approx_distinct", _, [of]) => {
                is_exact(of, step.unwrap_or(Step::Minute)).then_some(Self::AsItIs)
            }
            ("min" | "max", _, [_]) => Some(Self::AsItIs),
            _ => None,
        }
    }
}

/// Whether an expression has the same value for all times of a step; `None` is the rows themselves,
/// where each use of a time is exact.
pub(super) fn is_exact(expr: &Expr, step: impl Into<Option<Step>>) -> bool {
    let step = step.into();
    let mut exact = !expr.is_volatile();
    // The visitor never fails.
    let _ = expr.apply(|node| {
        if step.is_some_and(|step| sees_steps_only(node, step)) {
            return Ok(TreeNodeRecursion::Jump);
        }
        match node {
            Expr::Column(column) if step.is_none() || column.name != "time" => {
                Ok(TreeNodeRecursion::Continue)
            }
            Expr::Column(_)
            | Expr::OuterReferenceColumn(..)
            | Expr::ScalarSubquery(_)
            | Expr::InSubquery(_)
            | Expr::SetComparison(_)
            | Expr::Exists(_)
            | Expr::WindowFunction(_) => {
                exact = false;
                Ok(TreeNodeRecursion::Stop)
            }
            _ => Ok(TreeNodeRecursion::Continue),
        }
    });
    exact
}

/// An expression of the time that is constant within each step.
fn sees_steps_only(expr: &Expr, step: Step) -> bool {
    match expr {
        Expr::BinaryExpr(comparison) => {
            time_comparison(comparison).is_some_and(|(op, us)| is_boundary(op, us, step))
        }
        Expr::Between(Between { expr, low, high, .. }) if is_time(expr) => {
            literal_us(low).is_some_and(|us| is_boundary(Operator::GtEq, us, step))
                && literal_us(high).is_some_and(|us| is_boundary(Operator::LtEq, us, step))
        }
        Expr::Cast(Cast { expr, field }) => {
            is_time(expr) && matches!(field.data_type(), DataType::Date32)
        }
        Expr::ScalarFunction(function) => is_coarse(function, step),
        _ => false,
    }
}

/// Whether the comparison changes at the start of a step.
fn is_boundary(op: Operator, us: i64, step: Step) -> bool {
    let length = step.length_us();
    match op {
        Operator::Lt | Operator::GtEq => us.rem_euclid(length) == 0,
        Operator::LtEq | Operator::Gt => us.rem_euclid(length) == length - 1,
        _ => false,
    }
}

/// `date_trunc`, `date_bin` and `date_part` by steps or coarser.
fn is_coarse(function: &ScalarFunction, step: Step) -> bool {
    let text = |expr: &Expr| match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_lowercase),
        _ => None,
    };
    match (function.func.name(), function.args.as_slice()) {
        ("date_trunc", [unit, time]) => {
            is_time(time) && text(unit).is_some_and(|unit| step.units().contains(&&*unit))
        }
        ("date_part", [part, time]) => {
            is_time(time) && text(part).is_some_and(|part| step.parts().contains(&&*part))
        }
        ("date_bin", [width, time]) => is_time(time) && is_whole_steps(width, step),
        ("date_bin", [width, time, origin]) => {
            let length = step.length_us();
            let at_step = literal_us(origin).is_some_and(|us| us.rem_euclid(length) == 0);
            is_time(time) && is_whole_steps(width, step) && at_step
        }
        _ => false,
    }
}

/// Whether an interval is a multiple of the step; days and months always are.
fn is_whole_steps(width: &Expr, step: Step) -> bool {
    let length = step.length_us();
    match width {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(width)), _) => {
            width.nanoseconds % (length * 1000) == 0
        }
        Expr::Literal(ScalarValue::IntervalDayTime(Some(width)), _) => {
            i64::from(width.milliseconds) % (length / 1000) == 0
        }
        Expr::Literal(ScalarValue::IntervalYearMonth(Some(_)), _) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use tcprst_schema::rollup::{DAY_US, HOUR_US, MINUTE_US};

    use super::*;

    fn at(us: i64) -> Expr {
        Expr::Literal(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())), None)
    }

    #[test]
    fn longer_steps_let_less_pass() {
        let hour = col("time").gt_eq(at(5 * HOUR_US));
        let day = col("time").lt(at(5 * DAY_US));
        assert!(is_exact(&hour, Step::Hour) && !is_exact(&hour, Step::Day));
        assert!(is_exact(&day, Step::Day) && is_exact(&day, Step::Minute));
        let steps: Vec<_> = Step::ALL.iter().map(|step| step.units()[0]).collect();
        assert_eq!(steps, ["day", "hour", "minute"]);
        let parts: Vec<_> = Step::ALL.iter().map(|step| step.parts()[0]).collect();
        assert_eq!(parts, ["day", "hour", "minute"]);
    }

    #[test]
    fn a_time_is_seen_by_its_minute_or_not_at_all() {
        let minute = 7 * MINUTE_US;
        for exact in [
            col("time").gt_eq(at(minute)),
            col("time").lt(at(minute)),
            col("time").gt(at(minute - 1)),
            col("time").lt_eq(at(minute - 1)),
            col("time").between(at(minute), at(2 * minute - 1)),
            at(minute).lt_eq(col("time")),
            col("cause").eq(lit("x")).and(col("time").gt_eq(at(minute))),
        ] {
            assert!(is_exact(&exact, Step::Minute), "{exact}");
            assert!(!is_exact(&exact, Step::Hour), "{exact}");
        }
        for raw in [
            col("time"),
            col("time").gt(at(minute)),
            col("time").gt_eq(at(minute + 1)),
            col("time").lt_eq(at(minute)),
            col("time").eq(at(minute)),
            col("time").between(at(minute), at(2 * minute)),
            col("time").is_null(),
            col("cause").eq(lit("x")).or(col("time").gt_eq(at(minute + 1))),
        ] {
            assert!(!is_exact(&raw, Step::Minute), "{raw}");
        }
    }
}
