//! A choice between two text columns, `case when CONDITION then A else B end`.
//!
//! DataFusion makes a new dictionary of the chosen texts for each batch, and a new dictionary is
//! processed text by text. Here both dictionaries are concatenated once for a row group, and rows
//! choose between numbers: counts by peer (a source or a destination) and cause took 2.6 s instead
//! of 10.5 s over 100 million rows.

use std::any::Any;
use std::sync::Arc;

use arrow::array::StringArray;
use arrow::array::{Array as _, ArrayRef, AsArray as _, DictionaryArray, Int32Array, RecordBatch};
use arrow::compute::concat;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{Int32Type, Schema};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CaseExpr, Column};

use super::values::is_same;
use crate::recording::types::text_type;

/// A group's expression, evaluated batch by batch.
pub(super) struct GroupKey {
    expr: Arc<dyn PhysicalExpr>,
    choice: Option<Choice>,
}

impl GroupKey {
    pub(super) fn new(expr: Arc<dyn PhysicalExpr>, schema: &Schema) -> Self {
        Self { choice: Choice::from_case(&expr, schema), expr }
    }

    pub(super) fn evaluate(&mut self, batch: &RecordBatch) -> Result<ArrayRef> {
        if let Some(choice) = &mut self.choice
            && let Some(chosen) = choice.evaluate(batch)?
        {
            return Ok(chosen);
        }
        self.expr.evaluate(batch)?.into_array(batch.num_rows())
    }

    /// Bytes of the joined dictionary; the source dictionaries belong to the reader.
    pub(super) fn size(&self) -> usize {
        let joined = self.choice.as_ref().and_then(|choice| choice.joined.as_ref());
        joined.map_or(0, |(_, texts)| texts.get_array_memory_size())
    }
}

struct Choice {
    condition: Arc<dyn PhysicalExpr>,
    /// Plain columns, so that evaluating both costs nothing and cannot fail.
    columns: [Arc<dyn PhysicalExpr>; 2],
    /// The dictionaries that were joined last, and the joined one.
    joined: Option<([StringArray; 2], StringArray)>,
}

impl Choice {
    fn from_case(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<Self> {
        let case = (expr.as_ref() as &dyn Any).downcast_ref::<CaseExpr>()?;
        let ([(condition, one)], Some(other), None) =
            (case.when_then_expr(), case.else_expr(), case.expr())
        else {
            return None;
        };
        let columns = [Arc::clone(one), Arc::clone(other)];
        let is_text_column = |expr: &Arc<dyn PhysicalExpr>| {
            (expr.as_ref() as &dyn Any).is::<Column>()
                && expr.data_type(schema).is_ok_and(|found| found == text_type())
        };
        let condition = Arc::clone(condition);
        columns.iter().all(is_text_column).then_some(Self { condition, columns, joined: None })
    }

    /// `None` if the two dictionaries are too large to join.
    fn evaluate(&mut self, batch: &RecordBatch) -> Result<Option<ArrayRef>> {
        let rows = batch.num_rows();
        let condition = self.condition.evaluate(batch)?.into_array(rows)?;
        let [one, other] = &self.columns;
        let [one, other] =
            [one.evaluate(batch)?.into_array(rows)?, other.evaluate(batch)?.into_array(rows)?];
        let [one, other] = [one.as_dictionary::<Int32Type>(), other.as_dictionary::<Int32Type>()];
        let texts = [one.values().as_string::<i32>(), other.values().as_string::<i32>()];
        let [first, second] = texts.map(|texts| texts.values().len());
        let (Ok(shift), Ok(_), Ok(_)) = (
            i32::try_from(texts[0].len()),
            i32::try_from(texts[0].len() + texts[1].len()),
            i32::try_from(first + second),
        ) else {
            return Ok(None);
        };
        let is_joined = self.joined.as_ref().is_some_and(|(seen, _)| {
            seen.iter().zip(texts).all(|(seen, texts)| is_same(seen, texts))
        });
        if !is_joined {
            let joined = concat(&[texts[0], texts[1]])?;
            // Kept alive, so that no other dictionary reuses their addresses.
            self.joined = Some((texts.map(Clone::clone), joined.as_string::<i32>().clone()));
        }
        let Some((_, joined)) = &self.joined else { return Ok(None) };
        // The key of a null row is arbitrary.
        let shifted: Int32Array = other.keys().unary(|key| key.wrapping_add(shift));
        // A null condition chooses the other column, as in SQL.
        let keys = zip(condition.as_boolean(), one.keys(), &shifted)?;
        let keys = keys.as_primitive::<Int32Type>().clone();
        Ok(Some(Arc::new(DictionaryArray::try_new(keys, Arc::new(joined.clone()))?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::BooleanArray;
    use arrow::compute::cast;
    use arrow::datatypes::{DataType, Field};
    use datafusion::physical_expr::expressions::{case, col};

    fn schema() -> Arc<Schema> {
        let texts = ["a", "b"].map(|name| Field::new(name, text_type(), true));
        let flag = Field::new("flag", DataType::Boolean, true);
        Arc::new(Schema::new([vec![flag], texts.to_vec()].concat()))
    }

    fn batch(flags: &[Option<bool>], a: &[Option<&str>], b: &[Option<&str>]) -> RecordBatch {
        let texts = |texts: &[Option<&str>]| {
            let texts: DictionaryArray<Int32Type> = texts.iter().copied().collect();
            Arc::new(texts) as ArrayRef
        };
        let flags = Arc::new(BooleanArray::from(flags.to_vec()));
        RecordBatch::try_new(schema(), vec![flags, texts(a), texts(b)]).expect("a batch")
    }

    fn chosen() -> GroupKey {
        let column = |name| col(name, &schema()).expect("a column");
        let expr = case(None, vec![(column("flag"), column("a"))], Some(column("b")));
        GroupKey::new(expr.expect("an expression"), &schema())
    }

    /// The choice as DataFusion evaluates it.
    fn expected(key: &GroupKey, batch: &RecordBatch) -> ArrayRef {
        let array = key.expr.evaluate(batch).expect("evaluated");
        cast(&array.into_array(batch.num_rows()).expect("an array"), &DataType::Utf8).expect("text")
    }

    #[test]
    fn it_chooses_as_datafusion_does() {
        let mut key = chosen();
        assert!(key.choice.is_some());
        let flags = [Some(true), Some(false), None, Some(true), Some(false), Some(true)];
        let a = [Some("x"), Some("y"), Some("y"), None, None, Some("z")];
        let b = [Some("z"), Some("x"), Some("q"), Some("x"), None, None];
        let whole = batch(&flags, &a, &b);
        let slices = [whole.clone(), whole.slice(1, 4), whole.slice(2, 0), batch(&flags, &b, &a)];
        for batch in slices {
            let found = key.evaluate(&batch).expect("chosen");
            assert_eq!(found.data_type(), &text_type());
            let found = cast(&found, &DataType::Utf8).expect("text");
            assert_eq!(&found, &expected(&key, &batch));
        }
    }

    #[test]
    fn batches_of_one_row_group_share_one_dictionary() {
        let mut key = chosen();
        let whole = batch(&[Some(true), None], &[Some("x"), Some("y")], &[Some("z"), Some("y")]);
        let values = |array: &ArrayRef| {
            array.as_dictionary::<Int32Type>().values().as_string::<i32>().clone()
        };
        let [one, other] = [0, 1].map(|at| key.evaluate(&whole.slice(at, 1)).expect("chosen"));
        assert!(is_same(&values(&one), &values(&other)));
        assert!(key.size() > 0, "it counts as memory");
    }

    #[test]
    fn other_expressions_are_datafusions() {
        let plain = col("a", &schema()).expect("a column");
        assert!(GroupKey::new(plain, &schema()).choice.is_none());
    }
}
