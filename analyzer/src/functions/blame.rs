//! `blame(cause)`.

use std::sync::Arc;

use arrow::array::StringViewArray;
use arrow::datatypes::DataType;
use tcprst_schema::cause::{Blame, CAUSES};

use super::function::{Function, a_text};
use super::text;

pub(super) fn function() -> Function {
    Function::new(
        "blame",
        vec![a_text()],
        DataType::Utf8View,
        |args| {
            text::each(&args.args[0], &|causes| {
                let blames: StringViewArray =
                    causes.iter().map(|cause| cause.and_then(blame)).collect();
                Ok(Arc::new(blames))
            })
        },
        "blame(cause)",
        "The party that acts when a reset has this cause, as in the column `blame`; null where \
         nobody's act is proven, and for a name that is not a cause.",
    )
}

fn blame(name: &str) -> Option<&'static str> {
    CAUSES.iter().find(|cause| cause.name == name)?.blame.map(Blame::name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::tests::over;

    #[tokio::test]
    async fn a_cause_has_one_who_acts() {
        let values = [Some("timewait"), Some("recv_reset"), Some("unknown"), None];
        assert_eq!(over(&values, "blame(t)").await.unwrap(), "app,peer,-,-");
    }
}
