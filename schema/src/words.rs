//! The taxonomy in words: what `tcprst-analyze explain`, the HTML page and `docs/causes.md` say.

use crate::cause::{AcceptQueue, Answered, AnyOf, Proof, Socket};

/// One proof as a sentence, with each name between two `quote`s (a backtick for Markdown).
pub fn proof_sentence(proof: &Proof, quote: &str) -> String {
    let any_of = |names: AnyOf| {
        let quoted: Vec<String> =
            names.iter().map(|name| format!("{quote}{name}{quote}")).collect();
        quoted.join(" or ")
    };
    let mut clauses = Vec::new();
    if let Some((callee, callers)) = proof.frames.split_first() {
        let mut text = format!("the kernel was in {}", any_of(callee));
        for (at, frames) in callers.iter().enumerate() {
            let how = if at == 0 && proof.direct { "called directly by" } else { "called from" };
            text.push_str(&format!(", {how} {}", any_of(frames)));
        }
        clauses.push(text);
    }
    if !proof.without.is_empty() {
        clauses.push(format!("not from {}", any_of(proof.without)));
    }
    if !proof.reason.is_empty() {
        clauses
            .push(format!("the kernel's reason, where it gives one, is {}", any_of(proof.reason)));
    }
    clauses.extend(proof.socket.map(|socket| socket_clause(socket).to_owned()));
    if !proof.sk_state.is_empty() {
        clauses.push(format!("the socket was in {}", any_of(proof.sk_state)));
    }
    clauses.extend(answered_clause(proof.answered).map(str::to_owned));
    clauses.extend(queue_clause(proof.queue).map(str::to_owned));
    clauses.extend(proof.past.map(past_clause));
    clauses.extend(proof.orphan.map(|orphan| {
        let holder =
            if orphan { "no process held the socket" } else { "a process held the socket" };
        holder.to_owned()
    }));
    clauses.extend(proof.linger2.map(|negative| {
        let clause = if negative {
            "its TCP_LINGER2 was negative"
        } else {
            "its TCP_LINGER2 was not negative"
        };
        clause.to_owned()
    }));
    sentence(&clauses.join("; "))
}

/// With a capital letter and a full stop.
pub fn sentence(clause: &str) -> String {
    let mut letters = clause.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// What kind of socket a reset was about.
fn socket_clause(socket: Socket) -> &'static str {
    match socket {
        Socket::None => "there was no socket",
        Socket::Full => "there was a full socket",
        Socket::TimeWait => "the connection was in TIME_WAIT",
        Socket::Request => "the connection was still being set up",
    }
}

/// What this host knew of the connection before.
fn past_clause(past: AnyOf) -> String {
    let clause = |name: &&'static str| match *name {
        "" => "knew nothing of it",
        "reset" => "had reset it",
        "gave_up" => "had given it up in silence",
        "abandoned" => "had given its connect() up",
        "fin_wait2" => "had closed it and waited for the peer's FIN",
        "peer_reset" => "had been told so by the peer's own reset",
        "listener_closed" => "had closed the listener with handshakes under way",
        other => other,
    };
    let clauses: Vec<&str> = past.iter().map(clause).collect();
    format!("this host {}", clauses.join(" or "))
}

fn queue_clause(queue: AcceptQueue) -> Option<&'static str> {
    match queue {
        AcceptQueue::Anything => None,
        AcceptQueue::Full => Some("the listener's accept queue was full"),
        AcceptQueue::NoRoomKnown => Some("the listener's accept queue is not known to have room"),
    }
}

fn answered_clause(answered: Answered) -> Option<&'static str> {
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
    use crate::cause::CAUSES;

    #[test]
    fn every_proof_is_a_sentence_of_its_own() {
        for cause in CAUSES {
            let sentences: Vec<String> =
                cause.proofs.iter().map(|proof| proof_sentence(proof, "`")).collect();
            for (at, text) in sentences.iter().enumerate() {
                assert!(text.starts_with("The kernel was in `"), "{}: {text}", cause.name);
                assert!(text.ends_with('.'), "{}: {text}", cause.name);
                assert!(!sentences[..at].contains(text), "{}: twice {text}", cause.name);
            }
        }
    }
}
