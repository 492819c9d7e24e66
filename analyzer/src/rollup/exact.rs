//! Which expressions are the same over the rollup: those that see a time only by its minute.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use tcprst_schema::rollup::MINUTE_US;

use crate::prune::literal_us;

/// What becomes of an aggregate.
#[derive(Clone, Debug)]
pub(super) enum Count {
    /// `count(*)`, with its FILTER: the sum of the counts.
    Rows(Option<Box<Expr>>),
    /// `count(x)`: the sum of those where `x` is not null.
    NotNull(Expr, Option<Box<Expr>>),
    /// How often a value is there does not matter to it.
    AsItIs,
}

impl Count {
    /// `None` where the rollup cannot answer it.
    pub(super) fn of(expr: &Expr) -> Option<Self> {
        let Expr::AggregateFunction(function) = expr.clone().unalias() else {
            return None;
        };
        let params = function.params;
        let exact = params.args.iter().chain(params.filter.as_deref()).all(is_exact);
        if !exact || !params.order_by.is_empty() || params.null_treatment.is_some() {
            return None;
        }
        match (function.func.name(), params.distinct, params.args.as_slice()) {
            ("count", false, [Expr::Literal(value, _)]) => {
                (!value.is_null()).then_some(Self::Rows(params.filter))
            }
            ("count", false, [of]) => Some(Self::NotNull(of.clone(), params.filter)),
            ("count", true, [_]) | ("min" | "max" | "approx_distinct", _, [_]) => {
                Some(Self::AsItIs)
            }
            _ => None,
        }
    }
}

/// Whether it has the same value for all times of a minute.
pub(super) fn is_exact(expr: &Expr) -> bool {
    let mut exact = !expr.is_volatile();
    // Nothing here fails.
    let _ = expr.apply(|node| {
        if sees_minutes_only(node) {
            return Ok(TreeNodeRecursion::Jump);
        }
        match node {
            Expr::Column(column) if column.name != "time" => Ok(TreeNodeRecursion::Continue),
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

/// An expression of the time that is constant within each minute.
fn sees_minutes_only(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            if is_time(left) {
                literal_us(right).is_some_and(|us| is_boundary(*op, us))
            } else if is_time(right) {
                let op = op.swap().unwrap_or(*op);
                literal_us(left).is_some_and(|us| is_boundary(op, us))
            } else {
                false
            }
        }
        Expr::Between(Between { expr, low, high, .. }) if is_time(expr) => {
            literal_us(low).is_some_and(|us| is_boundary(Operator::GtEq, us))
                && literal_us(high).is_some_and(|us| is_boundary(Operator::LtEq, us))
        }
        Expr::Cast(Cast { expr, field }) => {
            is_time(expr) && matches!(field.data_type(), DataType::Date32)
        }
        Expr::ScalarFunction(function) => is_coarse(function),
        _ => false,
    }
}

fn is_time(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(column) if column.name == "time")
}

/// Whether the comparison changes at the start of a minute.
fn is_boundary(op: Operator, us: i64) -> bool {
    match op {
        Operator::Lt | Operator::GtEq => us.rem_euclid(MINUTE_US) == 0,
        Operator::LtEq | Operator::Gt => us.rem_euclid(MINUTE_US) == MINUTE_US - 1,
        _ => false,
    }
}

/// `date_trunc`, `date_bin` and `date_part` by minutes or coarser.
fn is_coarse(function: &ScalarFunction) -> bool {
    let text = |expr: &Expr| match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_lowercase),
        _ => None,
    };
    match (function.func.name(), function.args.as_slice()) {
        ("date_trunc", [unit, time]) => {
            const UNITS: [&str; 7] = ["minute", "hour", "day", "week", "month", "quarter", "year"];
            is_time(time) && text(unit).is_some_and(|unit| UNITS.contains(&&*unit))
        }
        ("date_part", [part, time]) => {
            const PARTS: [&str; 10] = [
                "minute", "hour", "day", "dow", "isodow", "doy", "week", "month", "quarter", "year",
            ];
            is_time(time) && text(part).is_some_and(|part| PARTS.contains(&&*part))
        }
        ("date_bin", [width, time]) => is_time(time) && is_whole_minutes(width),
        ("date_bin", [width, time, origin]) => {
            let from_minute = literal_us(origin).is_some_and(|us| us.rem_euclid(MINUTE_US) == 0);
            is_time(time) && is_whole_minutes(width) && from_minute
        }
        _ => false,
    }
}

/// An interval of whole minutes; days and months are such.
fn is_whole_minutes(width: &Expr) -> bool {
    match width {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(width)), _) => {
            width.nanoseconds % (MINUTE_US * 1000) == 0
        }
        Expr::Literal(ScalarValue::IntervalDayTime(Some(width)), _) => {
            i64::from(width.milliseconds) % (MINUTE_US / 1000) == 0
        }
        Expr::Literal(ScalarValue::IntervalYearMonth(Some(_)), _) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    fn at(us: i64) -> Expr {
        Expr::Literal(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())), None)
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
            assert!(is_exact(&exact), "{exact}");
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
            assert!(!is_exact(&raw), "{raw}");
        }
    }
}
