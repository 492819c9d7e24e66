//! `cause(stack, reason, sk_state, sk_flags, answered_flags[, past, accept_queue,
//! accept_queue_limit])`: current rules on recorded facts.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, StringViewArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use tcprst_schema::cause::{Cause, Proof, Socket, UNKNOWN};
use tcprst_schema::classify::{Facts, prove};
use tcprst_schema::wire::{SK_FLAG_NAMES, SK_KNOWN, TCP_FLAG_NAMES, bits_of_text};

use super::function::{Function, a_text, an_int};
use super::text;

pub(super) fn function() -> Function {
    Function::new(
        "cause",
        vec![a_text(), a_text(), a_text(), a_text(), a_text()],
        DataType::Utf8View,
        run,
        "cause(stack, reason, sk_state, sk_flags, answered_flags[, past, accept_queue, \
         accept_queue_limit])",
        "The cause that the recorded facts prove by the rules of this program, or `unknown`; the \
         column `cause` has the verdict of the recorder's rules. A reset that follows from another \
         one (`past` is `reset`) has the cause of that one, which its own facts do not prove.",
    )
    .with_optional(vec![a_text(), an_int(), an_int()])
}

/// Arguments that are texts; the others are numbers.
const TEXTS: usize = 6;

/// The columns that prove a cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct EvidenceColumns<'a> {
    pub(crate) stack: Option<&'a str>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) sk_state: Option<&'a str>,
    pub(crate) sk_flags: Option<&'a str>,
    pub(crate) answered_flags: Option<&'a str>,
    pub(crate) past: Option<&'a str>,
    /// Length of the accept queue, and its limit.
    pub(crate) accept_queue: Option<(i64, i64)>,
}

impl EvidenceColumns<'_> {
    /// The cause, and the proof that holds.
    pub(crate) fn prove(&self) -> Option<(&'static Cause, &'static Proof)> {
        // Root first in the file, callee first for the rules.
        let frames: Vec<&str> = self.stack.unwrap_or_default().rsplit(';').collect();
        let bits = |text: Option<&str>, names| text.map(|text| bits_of_text(text, names));
        // A socket has a state. A full socket with an unnamed state still has its flags.
        let has_socket = self.sk_state.is_some() || self.sk_flags.is_some();
        prove(&Facts {
            frames: &frames,
            reason: self.reason,
            socket: Socket::of_row(has_socket, self.sk_state, self.sk_flags.is_some()),
            sk_state: self.sk_state,
            sk_flags: bits(self.sk_flags, SK_FLAG_NAMES).map(|bits| bits | SK_KNOWN),
            answered_flags: bits(self.answered_flags, TCP_FLAG_NAMES),
            past: self.past,
            // As sk_acceptq_is_full (include/net/sock.h).
            queue_full: self.accept_queue.map(|(queue, limit)| queue > limit),
        })
    }

    fn name(&self) -> &'static str {
        self.prove().map_or(UNKNOWN, |(cause, _)| cause.name)
    }
}

fn run(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(&args.args)?;
    let (texts, numbers) = arrays.split_at(arrays.len().min(TEXTS));
    let columns = texts.iter().map(text::views).collect::<Result<Vec<_>>>()?;
    let value = |column: usize, row: usize| {
        let column: &StringViewArray = columns.get(column)?;
        arrow::array::Array::is_valid(column, row).then(|| column.value(row))
    };
    let number = |column: usize, row: usize| {
        let column = numbers.get(column)?.as_primitive_opt::<Int64Type>()?;
        column.is_valid(row).then(|| column.value(row))
    };
    // The same facts recur, often in consecutive rows.
    let mut known: HashMap<EvidenceColumns<'_>, &'static str> = HashMap::new();
    let mut last: Option<(EvidenceColumns<'_>, &'static str)> = None;
    let rows = arrays.first().map_or(0, |array| array.len());
    let causes: StringViewArray = (0..rows)
        .map(|row| {
            let facts = EvidenceColumns {
                stack: value(0, row),
                reason: value(1, row),
                sk_state: value(2, row),
                sk_flags: value(3, row),
                answered_flags: value(4, row),
                past: value(5, row),
                accept_queue: number(0, row).zip(number(1, row)),
            };
            if let Some((before, cause)) = last
                && before == facts
            {
                return Some(cause);
            }
            let cause = *known.entry(facts).or_insert_with(|| facts.name());
            last = Some((facts, cause));
            Some(cause)
        })
        .collect();
    let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    Ok(if is_constant {
        ColumnarValue::Scalar(ScalarValue::try_from_array(&causes, 0)?)
    } else {
        ColumnarValue::Array(Arc::new(causes))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::tests::over;

    #[tokio::test]
    async fn facts_of_a_row_prove_its_cause() {
        let stacks = [
            Some("entry;do_exit;tcp_close;__tcp_close;tcp_send_active_reset"),
            Some("entry;tcp_close;__tcp_close;tcp_send_active_reset"),
            Some("entry;tcp_close;__tcp_close;tcp_send_active_reset"),
            None,
        ];
        let answer = over(&stacks, "cause(t, null, 'ESTABLISHED', '', null)").await.unwrap();
        assert_eq!(answer, "app_killed_unread,app_close_unread,app_close_unread,unknown");
        let answer = over(&stacks[1..2], "cause(t, null, 'FIN_WAIT2', 'ORPHAN|LINGER2', null)");
        assert_eq!(answer.await.unwrap(), "app_linger2");
        let stray = [Some("tcp_v4_rcv;tcp_v4_send_reset")];
        for (flags, expected) in [("'SYN'", "closed_port"), ("'ACK'", "stale_flow")] {
            let expression = format!("cause(t, 'NO_SOCKET', null, null, {flags})");
            assert_eq!(over(&stray, &expression).await.unwrap(), expected);
        }
        for (past, queue, expected) in [
            ("'gave_up'", "null, null", "gave_up"),
            ("null", "null, null", "stale_flow"),
            ("'listener_closed'", "null, null", "app_listener_closed"),
        ] {
            let call = format!("cause(t, 'NO_SOCKET', null, null, 'ACK', {past}, {queue})");
            assert_eq!(over(&stray, &call).await.unwrap(), expected);
        }
        let listener = [Some("tcp_v4_rcv;tcp_v4_do_rcv;tcp_v4_send_reset")];
        for (queue, expected) in [("3, 2", "accept_overflow"), ("2, 2", "listener_bad_ack")] {
            let call = format!("cause(t, 'TCP_FLAGS', 'LISTEN', '', 'ACK', null, {queue})");
            assert_eq!(over(&listener, &call).await.unwrap(), expected);
        }
        let constant = "cause('tcp_v4_rcv;tcp_v4_send_reset', null, null, null, 'SYN')";
        assert_eq!(over(&stray, constant).await.unwrap(), "closed_port");
    }
}
