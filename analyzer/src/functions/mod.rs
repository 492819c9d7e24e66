//! SQL functions added to DataFusion's own: one file each, listed by [`all`].
//!
//! A scan may give text as plain text, as views or as a dictionary; each value of a dictionary is
//! processed once, however many rows have it.

mod blame;
mod cause;
mod cause_text;
mod date_trunc;
mod in_cidr;
mod network;
mod port_name;
mod rate_change_p;
mod stack_has;
mod text;

pub(crate) use cause::Recorded;

use std::hash::{Hash, Hasher};

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::types::{NativeType, logical_int64, logical_string};
use datafusion::logical_expr::{
    Coercion, ColumnarValue, DocSection, Documentation, EncodingPreservation, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, TypeSignatureClass, Volatility,
};
use datafusion::prelude::SessionContext;

/// Every function that this crate adds.
pub fn all() -> Vec<ScalarUDF> {
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
pub fn register(context: &SessionContext) {
    for function in all() {
        context.register_udf(function);
    }
    context.register_udf(date_trunc::function());
}

/// A function with a result that depends only on its arguments.
#[derive(Debug)]
struct Function {
    name: &'static str,
    signature: Signature,
    returns: DataType,
    documentation: Documentation,
    run: fn(&ScalarFunctionArgs) -> Result<ColumnarValue>,
}

impl Function {
    fn new(
        name: &'static str,
        arguments: Vec<Coercion>,
        returns: DataType,
        run: fn(&ScalarFunctionArgs) -> Result<ColumnarValue>,
        syntax: &str,
        description: &str,
    ) -> Self {
        const SECTION: DocSection =
            DocSection { include: true, label: "TCP resets", description: None };
        Self {
            name,
            signature: Signature::coercible(arguments, Volatility::Immutable),
            returns,
            documentation: Documentation::builder(SECTION, description, syntax).build(),
            run,
        }
    }
}

/// A text argument, in any encoding.
fn a_text() -> Coercion {
    Coercion::new_exact(TypeSignatureClass::Native(logical_string()))
        .with_encoding_preservation(EncodingPreservation::dictionary())
}

/// An integer argument.
fn an_int() -> Coercion {
    Coercion::new_implicit(
        TypeSignatureClass::Native(logical_int64()),
        vec![TypeSignatureClass::Integer],
        NativeType::Int64,
    )
}

// Names are unique.
impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        (self.run)(&args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, AsArray as _, DictionaryArray, RecordBatch, StringArray, StringViewArray,
    };
    use arrow::datatypes::Int32Type;
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
