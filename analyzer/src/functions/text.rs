//! Text arguments, in any encoding.

use arrow::array::{ArrayRef, AsArray as _, BooleanArray, StringViewArray};
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::ColumnarValue;

/// Text as views, without copying plain text.
pub(super) fn views(column: &ArrayRef) -> Result<StringViewArray> {
    Ok(cast(column, &DataType::Utf8View)?.as_string_view().clone())
}

/// Applies a function to each value of a column: for a dictionary, to its values and not to the
/// rows.
pub(super) fn each(
    column: &ColumnarValue,
    apply: &dyn Fn(&StringViewArray) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    let of_array = |array: &ArrayRef| match array.as_any_dictionary_opt() {
        Some(dictionary) => {
            let of_values = apply(&views(dictionary.values())?)?;
            Ok::<_, datafusion::error::DataFusionError>(take(&of_values, dictionary.keys(), None)?)
        }
        None => apply(&views(array)?),
    };
    Ok(match column {
        ColumnarValue::Array(array) => ColumnarValue::Array(of_array(array)?),
        ColumnarValue::Scalar(value) => {
            let one = of_array(&value.to_array()?)?;
            ColumnarValue::Scalar(ScalarValue::try_from_array(&one, 0)?)
        }
    })
}

/// Tests a text against a pattern. A constant pattern, the usual case, is prepared once. The result
/// is null if either side is null or the text cannot be tested.
pub(super) fn test<P>(
    text: &ColumnarValue,
    pattern: &ColumnarValue,
    prepare: impl Fn(&str) -> Result<P>,
    holds: impl Fn(&P, &str) -> Option<bool>,
) -> Result<ColumnarValue> {
    if let ColumnarValue::Scalar(pattern) = pattern {
        let pattern = views(&pattern.to_array()?)?;
        let pattern = pattern.iter().next().flatten().map(&prepare).transpose()?;
        return each(text, &|texts| {
            let of_text = |text: &str| holds(pattern.as_ref()?, text);
            let answers: BooleanArray = texts.iter().map(|text| text.and_then(of_text)).collect();
            Ok(std::sync::Arc::new(answers))
        });
    }
    let arrays = ColumnarValue::values_to_arrays(&[text.clone(), pattern.clone()])?;
    let (texts, patterns) = (views(&arrays[0])?, views(&arrays[1])?);
    let answers = texts
        .iter()
        .zip(patterns.iter())
        .map(|(text, pattern)| match (text, pattern) {
            (Some(text), Some(pattern)) => Ok(holds(&prepare(pattern)?, text)),
            _ => Ok(None),
        })
        .collect::<Result<BooleanArray>>()?;
    Ok(ColumnarValue::Array(std::sync::Arc::new(answers)))
}
