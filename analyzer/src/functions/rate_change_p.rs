//! `rate_change_p(n1, seconds1, n2, seconds2)`: the test behind `diff`.
//!
//! If two Poisson processes have the same rate, each of the `n1 + n2` events belongs to the first
//! with probability `seconds1 / (seconds1 + seconds2)`. The likelihood of `n1` is then binomial,
//! and exact for few events too, where a normal approximation is not.

use std::f64::consts::PI;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::types::{NativeType, logical_float64};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Coercion, ColumnarValue, ScalarFunctionArgs, TypeSignatureClass};

use super::function::Function;

pub(super) fn function() -> Function {
    let number = || {
        Coercion::new_implicit(
            TypeSignatureClass::Native(logical_float64()),
            vec![TypeSignatureClass::Numeric],
            NativeType::Float64,
        )
    };
    Function::new(
        "rate_change_p",
        vec![number(), number(), number(), number()],
        DataType::Float64,
        run,
        "rate_change_p(n1, seconds1, n2, seconds2)",
        "The probability of counts that differ at least this much if both times have the same \
         rate: two-sided p-value of the exact conditional test of two Poisson rates.",
    )
}

fn run(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let arrays: Vec<ArrayRef> = ColumnarValue::values_to_arrays(&args.args)?;
    let columns: Vec<&Float64Array> =
        arrays.iter().map(|array| array.as_primitive::<Float64Type>()).collect();
    let rows = columns.first().map_or(0, |column| column.len());
    let answers: Float64Array = (0..rows)
        .map(|row| {
            let value =
                |column: usize| columns[column].is_valid(row).then(|| columns[column].value(row));
            Some(p_value(value(0)?, value(1)?, value(2)?, value(3)?))
        })
        .collect();
    let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    Ok(if is_constant {
        ColumnarValue::Scalar(ScalarValue::try_from_array(&answers, 0)?)
    } else {
        ColumnarValue::Array(Arc::new(answers))
    })
}

/// Counts need not be integers: in bursts they are divided by the index of dispersion.
fn p_value(n1: f64, seconds1: f64, n2: f64, seconds2: f64) -> f64 {
    let share = seconds1 / (seconds1 + seconds2);
    let all_are_possible = n1 >= 0.0 && n2 >= 0.0 && (0.0..=1.0).contains(&share);
    if !all_are_possible || n1 + n2 == 0.0 {
        return 1.0;
    }
    let (k, n) = (n1, n1 + n2);
    let at_least = if k == 0.0 { 1.0 } else { beta(k, n - k + 1.0, share) };
    let at_most = if k == n { 1.0 } else { beta(n - k, k + 1.0, 1.0 - share) };
    (2.0 * at_least.min(at_most)).min(1.0)
}

/// The regularised incomplete beta function `I_x(a, b)` by its continued fraction (DLMF 8.17.22).
fn beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    // The fraction converges fast on this side of the mean; the other side is its mirror.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(a, b, x) / a
    } else {
        1.0 - front * fraction(b, a, 1.0 - x) / b
    }
}

/// The continued fraction, evaluated by Lentz's method.
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    let nonzero = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / nonzero(1.0 - (a + b) * x / (a + 1.0));
    let mut result = d;
    // The number of steps grows with the square root of the counts.
    let steps = 200.0 + 10.0 * (a + b).sqrt();
    let mut m = 1.0;
    while m < steps {
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / nonzero(1.0 + even * d);
        c = nonzero(1.0 + even / c);
        result *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / nonzero(1.0 + odd * d);
        c = nonzero(1.0 + odd / c);
        result *= d * c;
        if (d * c - 1.0).abs() < 1e-14 {
            break;
        }
        m += 1.0;
    }
    result
}

/// The logarithm of the gamma function for positive numbers: Stirling's series (DLMF 5.11.1),
/// with small arguments raised first.
fn ln_gamma(x: f64) -> f64 {
    let mut x = x;
    let mut raised = 1.0;
    while x < 10.0 {
        raised *= x;
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series =
        (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * PI).ln() + series - raised.ln()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::tests::{ask, context};
    use super::*;

    /// The same p-value, by adding up the binomial distribution.
    fn by_sum(k: u32, n: u32, share: f64) -> f64 {
        let mass = |i: u32| {
            let choose: f64 =
                (0..i).map(|j| (f64::from(n - j) / f64::from(j + 1)).ln()).sum::<f64>();
            (choose + f64::from(i) * share.ln() + f64::from(n - i) * (1.0 - share).ln()).exp()
        };
        let at_most: f64 = (0..=k).map(mass).sum();
        let at_least: f64 = (k..=n).map(mass).sum();
        (2.0 * at_most.min(at_least)).min(1.0)
    }

    #[test]
    fn it_is_the_binomial_test() {
        for (n1, n2, seconds1, seconds2) in [
            (0, 1, 60.0, 60.0),
            (0, 10, 60.0, 60.0),
            (10, 0, 60.0, 60.0),
            (5, 5, 60.0, 60.0),
            (3, 40, 3600.0, 7200.0),
            (400, 300, 60.0, 60.0),
            (1, 500, 10.0, 5000.0),
        ] {
            let p = p_value(f64::from(n1), seconds1, f64::from(n2), seconds2);
            let sum = by_sum(n1, n1 + n2, seconds1 / (seconds1 + seconds2));
            assert!((p - sum).abs() < 1e-9 * sum.max(1e-3), "{n1} {n2}: {p} {sum}");
        }
    }

    #[test]
    fn large_counts_and_none() {
        // z = 3: the normal distribution says 0.0027.
        let half = 5e8;
        let off = 1.5 * 1e9_f64.sqrt();
        let p = p_value(half + off, 60.0, half - off, 60.0);
        assert!((p - 0.0027).abs() < 1e-5, "{p}");
        assert_eq!(p_value(0.0, 60.0, 0.0, 60.0), 1.0);
        assert!(p_value(1e6, 60.0, 0.0, 60.0) < 1e-100);
        assert_eq!(p_value(1.0, 0.0, 1.0, 0.0), 1.0);
    }

    #[tokio::test]
    async fn sql_may_give_whole_numbers() {
        let context = context(&[]);
        let sql = "select round(rate_change_p(0, 60, 10, 60), 6)";
        assert_eq!(ask(&context, sql).await.unwrap(), "0.001953");
        let sql = "select rate_change_p(null, 60, 10, 60)";
        assert_eq!(ask(&context, sql).await.unwrap(), "-");
    }
}
