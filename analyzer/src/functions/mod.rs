//! SQL functions added to DataFusion's own: one file each, listed by [`all`].
//!
//! A scan may give text as plain text, as views or as a dictionary; each value of a dictionary is
//! processed once, however many rows have it.

mod blame;
mod cause;
mod cause_text;
mod date_trunc;
mod function;
mod in_cidr;
mod network;
mod port_name;
mod rate_change_p;
mod stack_has;
mod text;

pub(crate) use cause::EvidenceColumns;

use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionContext;

/// Every function that this crate adds.
pub(crate) fn all() -> Vec<ScalarUDF> {
    [
        blame::function(),
        cause::function(),
        cause_text::function(),
        in_cidr::function(),
        network::function(),
        port_name::function(),
        rate_change_p::function(),
        stack_has::function(),
    ]
    .into_iter()
    .map(ScalarUDF::from)
    .collect()
}

/// The function `cause`, for plans that are built without SQL.
pub(crate) fn cause() -> ScalarUDF {
    cause::function().into()
}

/// The function `blame`, for plans that are built without SQL.
pub(crate) fn blame() -> ScalarUDF {
    blame::function().into()
}

/// Registers the functions with SQL.
pub(crate) fn register(context: &SessionContext) {
    for function in all() {
        context.register_udf(function);
    }
    context.register_udf(date_trunc::function());
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, AsArray as _, DictionaryArray, RecordBatch, StringArray, StringViewArray,
    };
    use arrow::datatypes::{DataType, Int32Type};
    use datafusion::common::Result;
    use datafusion::datasource::MemTable;

    use super::*;

    /// A context with one column `t` of `values` in each encoding, as tables `plain`, `views`
    /// and `dictionary`.
    pub(super) fn context(values: &[Option<&str>]) -> SessionContext {
        let context = SessionContext::new();
        register(&context);
        let plain = StringArray::from(values.to_vec());
        let views: StringViewArray = values.iter().copied().collect();
        let dictionary: DictionaryArray<Int32Type> = values.iter().copied().collect();
        let columns: [(&str, ArrayRef); 3] = [
            ("plain", Arc::new(plain)),
            ("views", Arc::new(views)),
            ("dictionary", Arc::new(dictionary)),
        ];
        for (name, column) in columns {
            let batch = RecordBatch::try_from_iter_with_nullable([("t", column, true)]).unwrap();
            let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
            context.register_table(name, Arc::new(table)).unwrap();
        }
        context
    }

    /// The only column of a result as text, rows with `,` between, null as `-`.
    pub(super) async fn ask(context: &SessionContext, sql: &str) -> Result<String> {
        let batches = context.sql(sql).await?.collect().await?;
        let mut cells = Vec::new();
        for batch in &batches {
            let options = arrow::util::display::FormatOptions::default().with_null("-");
            let column =
                arrow::util::display::ArrayFormatter::try_new(batch.column(0), &options).unwrap();
            cells.extend((0..batch.num_rows()).map(|row| column.value(row).to_string()));
        }
        Ok(cells.join(","))
    }

    /// Evaluates an expression over each encoding of the column; the results must be equal.
    pub(super) async fn over(values: &[Option<&str>], expression: &str) -> Result<String> {
        let context = context(values);
        let mut answers = Vec::new();
        for table in ["plain", "views", "dictionary"] {
            answers.push(ask(&context, &format!("select {expression} from {table}")).await?);
        }
        assert_eq!(answers[0], answers[1], "{expression}");
        assert_eq!(answers[0], answers[2], "{expression}");
        Ok(answers.swap_remove(0))
    }

    #[tokio::test]
    async fn a_dictionary_reaches_the_function() {
        let context = context(&[Some("10.0.0.1")]);
        let sql = "explain select in_cidr(t, '10.0.0.0/8') from dictionary";
        let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
        let plan = arrow::compute::cast(batches[0].column(1), &DataType::Utf8).unwrap();
        let plan = plan.as_string::<i32>().iter().flatten().collect::<String>().to_lowercase();
        assert!(plan.contains("in_cidr(") && !plan.contains("cast("), "{plan}");
    }

    #[test]
    fn all_are_documented() {
        for function in all() {
            let documentation = function.documentation().unwrap();
            assert!(documentation.syntax_example.starts_with(function.name()));
            assert!(documentation.description.ends_with('.'), "{}", function.name());
        }
    }
}
