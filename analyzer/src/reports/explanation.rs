//! Causes in sentences, for somebody on call.

use tcprst_schema::cause::{Blame, CAUSES, Cause, Proof, UNKNOWN, UNKNOWN_CHECK, UNKNOWN_MEANING};
use tcprst_schema::words::{proof_sentence, sentence};

use crate::error::ReportError;
use crate::nearest::hint;

/// The cause with this name; `None` is `unknown`.
pub(crate) fn check_cause(name: &str) -> Result<Option<&'static Cause>, ReportError> {
    if name == UNKNOWN {
        return Ok(None);
    }
    let found = CAUSES.iter().find(|cause| cause.name == name);
    found.map(Some).ok_or_else(|| {
        let names = CAUSES.iter().map(|cause| cause.name).chain([UNKNOWN]);
        let shown = name.chars().take(60).collect::<String>().escape_debug().to_string();
        let hint = hint(name, names, "tcprst-analyze explain lists the causes");
        ReportError::Cause { hint, name: shown }
    })
}

/// What happened.
pub(crate) fn meaning(cause: Option<&Cause>) -> &'static str {
    cause.map_or(UNKNOWN_MEANING, |cause| cause.meaning)
}

/// What to check next.
pub(crate) fn check(cause: Option<&Cause>) -> &'static str {
    cause.map_or(UNKNOWN_CHECK, |cause| cause.check)
}

/// Who acted.
pub(crate) fn who(blame: Option<Blame>) -> String {
    blame.map_or_else(|| "Nobody can be named.".to_owned(), |blame| sentence(blame.meaning()))
}

/// The proofs of a cause, one paragraph each.
pub(crate) fn evidence(cause: Option<&Cause>) -> Vec<String> {
    let Some(cause) = cause else {
        return vec!["None: the recorded stack, reason and state fit no rule.".to_owned()];
    };
    if cause.proofs.is_empty() {
        return vec![
            "No function of this kernel: the audit (`tcprst-record --audit`) saw the packet leave. \
             Such packets are in the table ledger."
                .to_owned(),
        ];
    }
    let several = cause.proofs.len() > 1;
    let way = |(place, proof): (usize, &Proof)| match (several, place) {
        (false, _) => proof_sentence(proof, ""),
        (true, 0) => format!("Either: {}", proof_sentence(proof, "")),
        (true, _) => format!("Or: {}", proof_sentence(proof, "")),
    };
    cause.proofs.iter().enumerate().map(way).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_says_what_to_check() {
        for cause in CAUSES.iter().map(Some).chain([None]) {
            let name = cause.map_or(UNKNOWN, |cause| cause.name);
            assert!(meaning(cause).ends_with('.'), "{name}");
            assert!(check(cause).ends_with(['.', '?']), "{name}: {}", check(cause));
            for text in evidence(cause) {
                assert!(text.ends_with('.') && text.len() > 20, "{name}: {text}");
            }
        }
    }

    #[test]
    fn a_wrong_name_is_told_the_nearest() {
        let error = check_cause("linger0").map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(error, Err("no cause is called 'linger0': is it app_linger0?".to_owned()));
        let error = check_cause("\u{1b}[2J").map(|_| ()).map_err(|error| error.to_string());
        let listed = "no cause is called '\\u{1b}[2J': tcprst-analyze explain lists the causes";
        assert_eq!(error, Err(listed.to_owned()));
    }
}
