//! `stack_has(stack, 'tcp_abort')`.

use arrow::datatypes::DataType;

use super::function::{Function, a_text};
use super::text;

pub(super) fn function() -> Function {
    Function::new(
        "stack_has",
        vec![a_text(), a_text()],
        DataType::Boolean,
        |args| {
            text::test(
                &args.args[0],
                &args.args[1],
                |frame| Ok(frame.to_owned()),
                |frame, stack| Some(has(stack, frame)),
            )
        },
        "stack_has(stack, 'tcp_abort')",
        "Whether this function is a frame of a kernel stack. It compares whole names; LIKE would \
         also match a part of another name.",
    )
}

/// Frames are separated by `;`. Searching the text first is many times faster than splitting it.
fn has(stack: &str, frame: &str) -> bool {
    let mut rest = stack;
    let mut before = true;
    while let Some(at) = rest.find(frame).filter(|_| !frame.is_empty()) {
        let starts = if at == 0 { before } else { rest.as_bytes()[at - 1] == b';' };
        let end = at + frame.len();
        if starts && rest.as_bytes().get(end).is_none_or(|next| *next == b';') {
            return true;
        }
        before = rest.as_bytes()[end - 1] == b';';
        rest = &rest[end..];
    }
    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::tests::over;
    use super::*;

    #[test]
    fn a_frame_is_found_whole_or_not_at_all() {
        let stack = "entry;__tcp_close;tcp_close_x;tcp_close;tcp_send_active_reset";
        for (frame, expected) in [
            ("entry", true),
            ("__tcp_close", true),
            ("tcp_close", true),
            ("tcp_send_active_reset", true),
            ("tcp_send", false),
            ("close", false),
            ("", false),
            (";", false),
        ] {
            assert_eq!(has(stack, frame), expected, "{frame}");
        }
        assert!(has("tcp_closetcp_close;tcp_close", "tcp_close"));
        assert!(!has("tcp_closetcp_close", "tcp_close"));
        assert!(has("one", "one"));
        assert!(!has("", "one"));
    }

    #[tokio::test]
    async fn every_encoding_and_null() {
        let values = [Some("a;bc;d"), None, Some("a;b;c"), Some("a;bc;d")];
        assert_eq!(over(&values, "stack_has(t, 'b')").await.unwrap(), "false,-,true,false");
    }
}
