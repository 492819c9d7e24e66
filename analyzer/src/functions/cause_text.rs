//! `cause_text(cause)`.

use std::sync::Arc;

use arrow::array::StringViewArray;
use arrow::datatypes::DataType;
use tcprst_schema::cause::{CAUSES, UNKNOWN, UNKNOWN_MEANING};

use super::function::{Function, a_text};
use super::text;

pub(super) fn function() -> Function {
    Function::new(
        "cause_text",
        vec![a_text()],
        DataType::Utf8View,
        |args| {
            text::each(&args.args[0], &|causes| {
                let texts: StringViewArray =
                    causes.iter().map(|cause| cause.and_then(meaning)).collect();
                Ok(Arc::new(texts))
            })
        },
        "cause_text(cause)",
        "The meaning of a cause, as a sentence; null for a name that is not a cause.",
    )
}

fn meaning(name: &str) -> Option<&'static str> {
    if name == UNKNOWN {
        return Some(UNKNOWN_MEANING);
    }
    CAUSES.iter().find(|cause| cause.name == name).map(|cause| cause.meaning)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::tests::over;
    use super::*;

    #[tokio::test]
    async fn every_cause_has_a_text() {
        for name in CAUSES.iter().map(|cause| cause.name).chain([UNKNOWN]) {
            let text = over(&[Some(name)], "cause_text(t)").await.unwrap();
            assert!(text.ends_with('.'), "{name}: {text}");
        }
        assert_eq!(over(&[None, Some("x")], "cause_text(t)").await.unwrap(), "-,-");
        let answer = over(&[Some("timewait")], "cause_text('timewait') = cause_text(t)").await;
        assert_eq!(answer.unwrap(), "true");
    }
}
