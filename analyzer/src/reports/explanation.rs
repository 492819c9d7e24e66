//! What a cause is, as somebody on call wants to read it.

use tcprst_schema::cause::{Answered, AnyOf, Blame, CAUSES, Cause, Proof, Socket, UNKNOWN};

use crate::error::ReportError;
use crate::nearest::near;

/// What to do about a reset that nothing explains.
pub const UNKNOWN_CHECK: &str = "`tcprst-analyze flame --cause unknown` shows the stacks. A kernel newer than this program, or \
     a module of somebody else, may call where no rule looks: send one such stack to the project.";

/// What `unknown` means.
pub const UNKNOWN_MEANING: &str =
    "A reset that no rule explains: its stack and reason prove none of the causes.";

/// A cause by its name; `None` is `unknown`.
pub fn check_cause(name: &str) -> Result<Option<&'static Cause>, ReportError> {
    if name == UNKNOWN {
        return Ok(None);
    }
    let found = CAUSES.iter().find(|cause| cause.name == name);
    found.map(Some).ok_or_else(|| {
        let names = CAUSES.iter().map(|cause| cause.name).chain([UNKNOWN]);
        let shown = name.chars().take(60).collect::<String>().escape_debug().to_string();
        ReportError::Cause { near: near(name, names), name: shown }
    })
}

/// What happened.
pub fn meaning(cause: Option<&Cause>) -> &'static str {
    cause.map_or(UNKNOWN_MEANING, |cause| cause.meaning)
}

/// What to check next.
pub fn check(cause: Option<&Cause>) -> &'static str {
    cause.map_or(UNKNOWN_CHECK, |cause| cause.check)
}

/// Who acted.
pub fn who(blame: Option<Blame>) -> &'static str {
    match blame {
        Some(Blame::App) => "The application on this host.",
        Some(Blame::Peer) => "The other side of the connection.",
        Some(Blame::Firewall) => "A firewall rule of this host.",
        Some(Blame::Resource) => "A limit of this host: memory, orphans or queues.",
        Some(Blame::Operator) => "An operator or a program of theirs.",
        Some(Blame::Network) => "The path between the two hosts.",
        None => "Nobody can be named.",
    }
}

/// What proves a cause, a paragraph for each way.
pub fn evidence(cause: Option<&Cause>) -> Vec<String> {
    let Some(cause) = cause else {
        return vec!["None: the recorded stack, reason and state fit no rule.".to_owned()];
    };
    if cause.proofs.is_empty() {
        return vec![
            "No function of this kernel: the audit (`tcprst-record --audit`) saw the packet leave. \
             These are in the table ledger."
                .to_owned(),
        ];
    }
    let several = cause.proofs.len() > 1;
    let way = |(place, proof): (usize, &Proof)| match (several, place) {
        (false, _) => sentences(proof),
        (true, 0) => format!("Either: {}", sentences(proof)),
        (true, _) => format!("Or: {}", sentences(proof)),
    };
    cause.proofs.iter().enumerate().map(way).collect()
}

/// One proof in words.
fn sentences(proof: &Proof) -> String {
    let mut said = Vec::new();
    if let Some((callee, way)) = proof.frames.split_first() {
        let mut text = format!("the kernel was in {}", any_of(callee));
        for (place, frames) in way.iter().enumerate() {
            let how = if place == 0 && proof.direct { "called directly by" } else { "called from" };
            text.push_str(&format!(", {how} {}", any_of(frames)));
        }
        said.push(text);
    }
    if !proof.reason.is_empty() {
        said.push(format!("the kernel's reason, where it gives one, is {}", any_of(proof.reason)));
    }
    said.extend(proof.socket.map(|socket| socket_text(socket).to_owned()));
    if !proof.sk_state.is_empty() {
        said.push(format!("the socket was in {}", any_of(proof.sk_state)));
    }
    said.extend(answered(proof.answered).map(str::to_owned));
    said.extend(proof.orphan.map(|orphan| {
        let holds = if orphan { "no process held the socket" } else { "a process held the socket" };
        holds.to_owned()
    }));
    if proof.linger2 == Some(true) {
        said.push("its TCP_LINGER2 was negative".to_owned());
    }
    let text = said.join("; ");
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

fn any_of(names: AnyOf) -> String {
    names.join(" or ")
}

/// In words.
pub fn socket_text(socket: Socket) -> &'static str {
    match socket {
        Socket::None => "there was no socket",
        Socket::Full => "there was a whole socket",
        Socket::TimeWait => "the connection was in TIME_WAIT",
        Socket::Request => "the connection was still being made",
    }
}

fn answered(answered: Answered) -> Option<&'static str> {
    match answered {
        Answered::Anything => None,
        Answered::FirstSyn => Some("the answered segment was a SYN"),
        Answered::NotFirstSyn => Some("the answered segment was not the start of a connection"),
        Answered::HasSyn => Some("the answered segment had SYN"),
        Answered::AckNoSyn => Some("the answered segment had ACK and no SYN"),
        Answered::HasAck => Some("the answered segment had ACK"),
    }
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
        assert_eq!(error, Err("no cause is called '\\u{1b}[2J'".to_owned()));
    }
}
