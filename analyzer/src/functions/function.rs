//! One SQL function, and the types of its arguments.

use std::hash::{Hash, Hasher};

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::types::{NativeType, logical_int64, logical_string};
use datafusion::logical_expr::{
    Coercion, ColumnarValue, DocSection, Documentation, EncodingPreservation, ScalarFunctionArgs,
    ScalarUDFImpl, Signature, TypeSignature, TypeSignatureClass, Volatility,
};

/// A function with a result that depends only on its arguments.
#[derive(Debug)]
pub(super) struct Function {
    name: &'static str,
    signature: Signature,
    returns: DataType,
    documentation: Documentation,
    run: fn(&ScalarFunctionArgs) -> Result<ColumnarValue>,
}

impl Function {
    pub(super) fn new(
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

impl Function {
    /// The same, and it may be called with these arguments in addition: all or none.
    pub(super) fn with_optional(mut self, arguments: Vec<Coercion>) -> Self {
        if let TypeSignature::Coercible(required) = self.signature.type_signature {
            let whole = required.iter().cloned().chain(arguments).collect();
            let ways = vec![TypeSignature::Coercible(required), TypeSignature::Coercible(whole)];
            self.signature = Signature::one_of(ways, Volatility::Immutable);
        }
        self
    }
}

/// A text argument, in any encoding.
pub(super) fn a_text() -> Coercion {
    Coercion::new_exact(TypeSignatureClass::Native(logical_string()))
        .with_encoding_preservation(EncodingPreservation::dictionary())
}

/// An integer argument.
pub(super) fn an_int() -> Coercion {
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
