//! Which cause the facts prove: the one function that reads the table in [`crate::cause`].
//!
//! Evidence decides: the callee, key frames of the stack, what kind of socket there is, its state
//! before, the flags of the answered segment. Kernels from 6.10 on also give a reason. Where they
//! do, a proof that names reasons wants one of them, and then evidence that could not be read does
//! no harm; evidence against it still does. Where there is no reason, all evidence must be there.

use crate::cause::{AcceptQueue, Answered, AnyOf, CAUSES, Cause, MARKS, Proof, Socket};
use crate::wire::{SK_LINGER2, SK_ORPHAN};

/// What is known of a reset. Frames and names are those of the kernel, without suffixes
/// (such as `.isra.0`) and without the tracer's own frames.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a, F> {
    /// Frames, callee first.
    pub frames: &'a [F],
    /// Reset reason without its prefix; `None` where the kernel has none.
    pub reason: Option<&'a str>,
    pub socket: Socket,
    /// State of the socket before the reset, without its prefix; `None` where it is not known.
    pub sk_state: Option<&'a str>,
    /// [`SK_ORPHAN`] and similar flags; `None` where they are not known.
    pub sk_flags: Option<u8>,
    /// TCP flags of the answered segment; `None` where there was none.
    pub answered_flags: Option<u8>,
    /// What this host remembers of the connection ([`crate::wire::Past`]).
    pub past: Option<&'a str>,
    /// Whether the listener's accept queue was full; `None` where it is not known.
    pub queue_full: Option<bool>,
}

/// What a reason says that is none: 6.10 and 6.11 give it for most active resets.
const NOT_SPECIFIED: &str = "NOT_SPECIFIED";

const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// The cause that the facts prove; `None` where they prove none.
pub fn classify<F: AsRef<str>>(facts: &Facts<'_, F>) -> Option<&'static Cause> {
    prove(facts).map(|(cause, _)| cause)
}

/// The same with the proof that holds.
pub fn prove<F: AsRef<str>>(facts: &Facts<'_, F>) -> Option<(&'static Cause, &'static Proof)> {
    CAUSES.iter().find_map(|cause| {
        let proof = cause.proofs.iter().find(|proof| proof.holds(facts))?;
        Some((cause, proof))
    })
}

/// Whether a frame is one of those that a proof names.
pub fn is_key_frame(proof: &Proof, frame: &str) -> bool {
    proof.frames.iter().any(|wanted| any_matches(wanted, frame))
}

fn name_matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => pattern == name,
    }
}

/// Whether the kernel begins with another piece of work there.
pub fn is_mark(frame: &str) -> bool {
    any_matches(MARKS, frame)
}

fn any_matches(patterns: AnyOf, name: &str) -> bool {
    patterns.iter().any(|pattern| name_matches(pattern, name))
}

impl Proof {
    fn holds<F: AsRef<str>>(&self, facts: &Facts<'_, F>) -> bool {
        let reason = facts.reason.filter(|reason| *reason != NOT_SPECIFIED);
        let by_reason = match reason {
            Some(reason) if !self.reason.is_empty() => {
                if !any_matches(self.reason, reason) {
                    return false;
                }
                true
            }
            _ => false,
        };
        // Unknown evidence is enough only together with a reason that fits.
        let shows = |evidence: Option<bool>| evidence.unwrap_or(by_reason);
        let flag = |wanted: Option<bool>, bit: u8| {
            wanted.is_none_or(|wanted| shows(facts.sk_flags.map(|all| (all & bit != 0) == wanted)))
        };
        let state = || facts.sk_state.map(|state| any_matches(self.sk_state, state));
        self.frames_match(facts.frames)
            && !self.is_spoilt(facts.frames)
            && self.socket.is_none_or(|socket| socket == facts.socket)
            && self.answered.accepts(facts.answered_flags)
            && (self.sk_state.is_empty() || shows(state()))
            && self.past.is_none_or(|any| any.contains(&facts.past.unwrap_or("")))
            && self.queue.accepts(facts.queue_full)
            && flag(self.orphan, SK_ORPHAN)
            && flag(self.linger2, SK_LINGER2)
    }

    /// The first entry is the callee; the others follow in their order, with gaps, but never beyond
    /// a mark.
    fn frames_match<F: AsRef<str>>(&self, frames: &[F]) -> bool {
        let mut frames = up_to_mark(frames);
        self.frames.iter().enumerate().all(|(place, wanted)| {
            if place == 0 || (place == 1 && self.direct) {
                frames.next().is_some_and(|frame| any_matches(wanted, frame))
            } else {
                frames.any(|frame| any_matches(wanted, frame))
            }
        })
    }

    /// Whether a frame is there that must not be.
    fn is_spoilt<F: AsRef<str>>(&self, frames: &[F]) -> bool {
        !self.without.is_empty() && up_to_mark(frames).any(|frame| any_matches(self.without, frame))
    }
}

/// The frames that belong to one piece of work, with the mark at which it begins.
fn up_to_mark<F: AsRef<str>>(frames: &[F]) -> impl Iterator<Item = &str> {
    let end = frames.iter().position(|frame| is_mark(frame.as_ref()));
    let own = end.map_or(frames.len(), |mark| mark + 1);
    frames.iter().take(own).map(AsRef::as_ref)
}

impl AcceptQueue {
    fn accepts(self, is_full: Option<bool>) -> bool {
        match self {
            AcceptQueue::Anything => true,
            AcceptQueue::Full => is_full == Some(true),
            AcceptQueue::NoRoomKnown => is_full != Some(false),
        }
    }
}

impl Answered {
    fn accepts(self, flags: Option<u8>) -> bool {
        let is = |check: fn(u8) -> bool| flags.is_some_and(check);
        match self {
            Answered::Anything => true,
            Answered::FirstSyn => is(|flags| flags & (SYN | ACK | RST) == SYN),
            Answered::NotFirstSyn => is(|flags| flags & (SYN | ACK | RST) != SYN),
            Answered::HasSyn => is(|flags| flags & SYN != 0),
            Answered::AckNoSyn => is(|flags| flags & (SYN | ACK) == ACK),
            Answered::HasAck => is(|flags| flags & ACK != 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SK_KNOWN;

    /// A full socket in that state, nothing answered.
    fn active<'a>(
        frames: &'a [&'a str],
        reason: Option<&'a str>,
        sk_state: Option<&'a str>,
        sk_flags: Option<u8>,
    ) -> Option<&'static str> {
        let facts = Facts {
            frames,
            reason,
            socket: Socket::Full,
            sk_state,
            sk_flags,
            answered_flags: None,
            past: None,
            queue_full: None,
        };
        classify(&facts).map(|cause| cause.name)
    }

    /// No socket, a segment with these flags.
    fn stray(reason: Option<&str>, answered_flags: Option<u8>) -> Option<&'static str> {
        let facts = Facts {
            frames: &["tcp_v4_send_reset", "tcp_v4_rcv"],
            reason,
            socket: Socket::None,
            sk_state: None,
            sk_flags: None,
            answered_flags,
            past: None,
            queue_full: None,
        };
        classify(&facts).map(|cause| cause.name)
    }

    const CLOSE: [&str; 3] = ["tcp_send_active_reset", "__tcp_close", "tcp_close"];

    #[test]
    fn key_frames_tolerate_gaps_but_not_another_order() {
        let close = ["tcp_send_active_reset", "tcp_disconnect", "inlined", "__tcp_close"];
        assert_eq!(active(&close, Some("TCP_STATE"), None, None), Some("app_linger0"));
        let swapped = ["tcp_send_active_reset", "__tcp_close", "tcp_disconnect"];
        assert_eq!(active(&swapped, Some("TCP_STATE"), None, None), None);
        assert_eq!(active(&close[1..], Some("TCP_STATE"), None, None), None);
    }

    #[test]
    fn a_reason_needs_no_evidence_but_suffers_none_against_it() {
        let unread = Some("TCP_ABORT_ON_CLOSE");
        assert_eq!(active(&CLOSE, unread, None, None), Some("app_close_unread"));
        assert_eq!(active(&CLOSE, unread, None, Some(SK_KNOWN | SK_ORPHAN)), None);
        assert_eq!(active(&CLOSE, Some("NO_SOCKET"), None, Some(SK_KNOWN)), None);
    }

    #[test]
    fn without_a_reason_the_evidence_must_be_whole() {
        for reason in [None, Some(NOT_SPECIFIED)] {
            let state = Some("ESTABLISHED");
            assert_eq!(active(&CLOSE, reason, state, None), None);
            assert_eq!(active(&CLOSE, reason, state, Some(SK_KNOWN)), Some("app_close_unread"));
            let orphan = Some(SK_KNOWN | SK_ORPHAN);
            assert_eq!(active(&CLOSE, reason, Some("FIN_WAIT1"), orphan), Some("res_orphan_mem"));
            assert_eq!(active(&CLOSE, reason, None, orphan), None);
            let linger2 = Some(SK_KNOWN | SK_ORPHAN | SK_LINGER2);
            assert_eq!(active(&CLOSE, reason, Some("FIN_WAIT2"), linger2), Some("app_linger2"));
        }
    }

    #[test]
    fn the_answered_segment_tells_closed_ports_from_stale_flows() {
        for reason in [None, Some("NO_SOCKET")] {
            assert_eq!(stray(reason, Some(SYN)), Some("closed_port"));
            assert_eq!(stray(reason, Some(SYN | ACK)), Some("stale_flow"));
            assert_eq!(stray(reason, None), None);
        }
        assert_eq!(stray(Some("TCP_FLAGS"), Some(SYN)), None);
    }

    #[test]
    fn an_exit_is_told_from_a_close() {
        let exit = ["tcp_send_active_reset", "__tcp_close", "tcp_close", "__fput", "do_exit"];
        assert_eq!(active(&exit, None, None, Some(SK_KNOWN)), Some("app_killed_unread"));
    }

    #[test]
    fn an_operators_act_on_a_listener_is_not_the_applications() {
        let frames = [
            "tcp_send_active_reset",
            "tcp_disconnect",
            "inet_child_forget",
            "inet_csk_listen_stop",
            "tcp_abort",
            "tcp_diag_destroy",
        ];
        assert_eq!(active(&frames, None, None, None), Some("op_sock_diag"));
        assert_eq!(active(&frames[..4], None, None, None), Some("app_listener_closed"));
    }

    #[test]
    fn what_refuses_is_told_from_what_lies_below() {
        let frames = ["__icmp_send", "bpf_icmp_send", "bpf_prog_1_f", "tcp_v4_rcv", "ip_error"];
        assert_eq!(active(&frames, None, None, None), Some("refused_icmp_bpf"));
        let other = ["__icmp_send", "reject_tg", "ip_local_deliver", "bpf_icmp_send"];
        assert_eq!(active(&other, None, None, None), Some("refused_icmp_fw"));
    }

    #[test]
    fn a_reset_that_comes_in_while_closing_is_the_peers() {
        let state = Some("CLOSE_WAIT");
        let peers = ["tcp_reset", "tcp_validate_incoming", "tcp_rcv_state_process"];
        assert_eq!(active(&peers, None, state, None), Some("recv_reset"));
        let own = ["tcp_reset", "tcp_rcv_state_process", "tcp_v4_do_rcv"];
        assert_eq!(active(&own, None, state, None), Some("app_recv_shutdown"));
    }

    #[test]
    fn a_direct_caller_is_the_next_frame() {
        let worker = ["tcp_send_active_reset", "mptcp_worker", "process_one_work"];
        assert_eq!(active(&worker, None, None, None), Some("mptcp_fastclose_received"));
        let other = ["tcp_send_active_reset", "mptcp_subflow_reset", "mptcp_worker"];
        assert_eq!(active(&other, None, None, None), None);
    }

    #[test]
    fn a_frame_beyond_a_mark_proves_nothing() {
        // Handed up by a bridge, with br_netfilter loaded, and rejected in INPUT.
        let input = [
            "nf_send_reset",
            "reject_tg",
            "ipt_do_table",
            "nf_hook_slow",
            "ip_local_deliver",
            "br_nf_pre_routing_finish",
            "br_nf_pre_routing",
            "nf_hook_slow",
        ];
        assert_eq!(active(&input, None, None, None), Some("fw_iptables"));
        let bridged = ["nf_send_reset", "reject_tg", "nf_hook_slow", "br_nf_forward_ip"];
        assert_eq!(active(&bridged, None, None, None), Some("fw_br_netfilter"));
        // A segment that came while a process was about to end.
        let below = ["__icmp_send", "ip_error", "ip_rcv", "process_backlog", "reject_tg"];
        assert_eq!(active(&below, None, None, None), Some("refused_icmp_route"));
        let other = ["__icmp_send", "udp_err", "ip_rcv", "process_backlog", "reject_tg"];
        assert_eq!(active(&other, None, None, None), None);
    }

    #[test]
    fn multipath_tcp_closes_in_nobodys_name() {
        let known = Some(SK_KNOWN);
        let worker = [
            "tcp_send_active_reset",
            "tcp_disconnect",
            "__tcp_close",
            "__mptcp_close_ssk",
            "mptcp_do_fastclose",
            "mptcp_worker",
            "process_one_work",
        ];
        let state = Some("ESTABLISHED");
        assert_eq!(active(&worker, None, state, known), None);
        let removed = [
            "tcp_send_active_reset",
            "__tcp_close",
            "__mptcp_close_ssk",
            "mptcp_close_ssk",
            "mptcp_pm_rm_addr_or_subflow",
        ];
        assert_eq!(active(&removed, None, state, known), None);
        let closed = ["tcp_send_active_reset", "__tcp_close", "__mptcp_close_ssk", "__mptcp_close"];
        assert_eq!(active(&closed, None, state, known), Some("mptcp_fastclose"));
        let application = ["tcp_send_active_reset", "__tcp_close", "tcp_close", "inet_release"];
        assert_eq!(active(&application, None, state, known), Some("app_close_unread"));
        let join = ["tcp_v4_send_reset", "subflow_syn_recv_sock", "tcp_check_req", "tcp_v4_rcv"];
        let facts = Facts {
            frames: &join,
            reason: None,
            socket: Socket::Full,
            sk_state: Some("LISTEN"),
            sk_flags: known,
            answered_flags: Some(ACK),
            past: None,
            queue_full: None,
        };
        assert_eq!(classify(&facts).map(|cause| cause.name), Some("mptcp_join_failed"));
    }
}
