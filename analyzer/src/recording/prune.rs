//! Derives the time range of a query from its filters: files outside it are not even opened.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use tcprst_schema::paths::LATE_US;

/// A half-open interval of microseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub from_us: i64,
    pub to_us: i64,
}

impl Times {
    pub(crate) const ALL: Times = Times { from_us: i64::MIN, to_us: i64::MAX };

    /// The times that pass all filters. An unsupported filter passes all times.
    pub(crate) fn from_filters<'a>(filters: impl IntoIterator<Item = &'a Expr>) -> Self {
        filters.into_iter().fold(Self::ALL, |times, filter| times.and(Self::from_filter(filter)))
    }

    fn and(self, other: Self) -> Self {
        Self { from_us: self.from_us.max(other.from_us), to_us: self.to_us.min(other.to_us) }
    }

    fn from_filter(filter: &Expr) -> Self {
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                Self::from_filter(left).and(Self::from_filter(right))
            }
            Expr::BinaryExpr(comparison) => {
                time_comparison(comparison).map_or(Self::ALL, |(op, us)| Self::compared(op, us))
            }
            Expr::Between(Between { expr, negated: false, low, high }) if is_time(expr) => {
                match (literal_us(low), literal_us(high)) {
                    (Some(low), Some(high)) => Self { from_us: low, to_us: high.saturating_add(1) },
                    _ => Self::ALL,
                }
            }
            _ => Self::ALL,
        }
    }

    /// Times for which `time op us` holds.
    pub(crate) fn compared(op: Operator, us: i64) -> Self {
        match op {
            Operator::Eq => Self { from_us: us, to_us: us.saturating_add(1) },
            Operator::Lt => Self { to_us: us, ..Self::ALL },
            Operator::LtEq => Self { to_us: us.saturating_add(1), ..Self::ALL },
            Operator::Gt => Self { from_us: us.saturating_add(1), ..Self::ALL },
            Operator::GtEq => Self { from_us: us, ..Self::ALL },
            _ => Self::ALL,
        }
    }

    /// Whether a segment with rows in `first_us..end_us` can have a row in this range.
    pub(crate) fn meet(self, first_us: i64, end_us: i64) -> bool {
        first_us.saturating_sub(LATE_US) < self.to_us && self.from_us < end_us
    }
}

/// Whether it is the column of times.
pub(crate) fn is_time(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(column) if column.name == "time")
}

/// A comparison of the column of times with a literal, as `time op us`.
pub(crate) fn time_comparison(comparison: &BinaryExpr) -> Option<(Operator, i64)> {
    let BinaryExpr { left, op, right } = comparison;
    if is_time(left) {
        Some((*op, literal_us(right)?))
    } else if is_time(right) {
        Some((op.swap().unwrap_or(*op), literal_us(left)?))
    } else {
        None
    }
}

/// The value of a time literal; the planner has cast it to the type of the column.
pub(crate) fn literal_us(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::TimestampMicrosecond(us, _), _) => *us,
        Expr::Literal(ScalarValue::TimestampNanosecond(ns, _), _) => {
            // Only whole microseconds compare the same way.
            ns.filter(|ns| ns.rem_euclid(1000) == 0).map(|ns| ns.div_euclid(1000))
        }
        _ => None,
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
    fn filters_on_time_become_an_interval() {
        let both = col("time").gt_eq(at(5)).and(col("time").lt(at(9))).and(col("cpu").eq(lit(1)));
        assert_eq!(Times::from_filters([&both]), Times { from_us: 5, to_us: 9 });
        let apart = [col("time").gt(at(5)), col("time").lt_eq(at(9))];
        assert_eq!(Times::from_filters(&apart), Times { from_us: 6, to_us: 10 });
        let turned = Expr::BinaryExpr(BinaryExpr {
            left: Box::new(at(7)),
            op: Operator::LtEq,
            right: Box::new(col("time")),
        });
        assert_eq!(Times::from_filters([&turned]).from_us, 7);
        let between = col("time").between(at(1), at(2));
        assert_eq!(Times::from_filters([&between]), Times { from_us: 1, to_us: 3 });
        let either = col("time").lt(at(1)).or(col("time").gt(at(9)));
        assert_eq!(Times::from_filters([&either]), Times::ALL);
    }
}
