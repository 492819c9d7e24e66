//! A cause as the taxonomy explains it.

use serde::Serialize;
use tcprst_schema::cause::{Blame, CAUSES, UNKNOWN};

use super::text::visible;

#[derive(Debug, Serialize)]
pub(super) struct CauseText {
    name: String,
    /// As in the column `blame`; null if the evidence proves no party.
    blame: Option<&'static str>,
    meaning: &'static str,
    check: &'static str,
}

pub(super) fn explain(name: &str) -> CauseText {
    let known = CAUSES.iter().find(|cause| cause.name == name);
    let (blame, meaning, check) = match known {
        Some(cause) => (cause.blame.map(Blame::name), cause.meaning, cause.check),
        None if name == UNKNOWN => (
            None,
            "The evidence proves none of the known causes.",
            "The stack, the reason and the state of the socket; a newer tcprst may know the cause.",
        ),
        None => (None, "This version does not know this cause.", "A newer tcprst-analyze."),
    };
    CauseText { name: visible(name), blame, meaning, check }
}
