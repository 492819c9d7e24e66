//! How much each reset may cost, by how many there are: how deep its stack is walked, and
//! whether it is a record at all or a count in a storm.

use tcprst_schema::implied::Shape;

use crate::emit::Reset;
use crate::kernel::layout;
use crate::maps::{IMPLIED, PACE};
use crate::sock;

/// What this CPU has sent in the current second.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Pace {
    /// Number of the second since boot, of 2^30 ns.
    second: u64,
    /// Reasons of which a stack was walked in this second, by their number: answers to segments,
    /// and resets that this host began.
    walked: [u64; 2],
    resets: u32,
    without_socket: u32,
}

/// How to record a reset.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record {
    /// With the whole stack.
    Whole,
    /// With the upper frames of the stack.
    Short,
    /// Without a stack: its reason proves the caller.
    Implied,
    /// As one more in a count.
    Count,
}

/// Decides it. An interrupt may come in between and count too: then one reset is walked more or
/// less deep than the rate asks for.
#[inline(always)]
pub(crate) fn pace(reset: &Reset, state: u8, now: u64) -> Record {
    let Some(pace) = PACE.get_ptr_mut(0) else {
        return Record::Whole;
    };
    // SAFETY: the entry of this CPU, there as long as the map.
    let pace = unsafe { &mut *pace };
    let second = now >> 30;
    if pace.second != second {
        *pace = Pace { second, walked: [0; 2], resets: 0, without_socket: 0 };
    }
    pace.resets = pace.resets.saturating_add(1);
    if reset.sk == 0 && reset.is_from_tcp() && layout!(storm_rate) != 0 {
        pace.without_socket = pace.without_socket.saturating_add(1);
        if pace.without_socket > layout!(storm_rate) {
            return Record::Count;
        }
    }
    let reason = reset.reason as u32;
    let has_reason = reason < u64::BITS;
    if has_reason {
        // The first of each second is walked, so that an implied caller is seen to hold.
        let bit = 1 << (reason & 63);
        let walked = &mut pace.walked[usize::from(reset.skb == 0)];
        if *walked & bit == 0 {
            *walked |= bit;
            return Record::Whole;
        }
    }
    if pace.resets <= layout!(full_stacks) {
        Record::Whole
    } else if has_reason && is_implied(reset, state, reason) {
        Record::Implied
    } else {
        Record::Short
    }
}

/// Whether the reason and the kind of the socket prove who called.
#[inline(always)]
fn is_implied(reset: &Reset, state: u8, reason: u32) -> bool {
    if !reset.is_from_tcp() {
        return false;
    }
    // SAFETY: an entry of the map; the recorder changes single words of it.
    let Some(shape) = IMPLIED.get_ptr(reason).map(|shape| unsafe { *shape }) else {
        return false;
    };
    let is_answer = reset.skb != 0;
    match shape {
        s if s == Shape::NoSocket as u32 => is_answer && reset.sk == 0,
        s if s == Shape::TimeWait as u32 => is_answer && state == sock::TCP_TIME_WAIT,
        s if s == Shape::Listener as u32 => is_answer && state == sock::TCP_LISTEN,
        s if s == Shape::Connection as u32 => {
            is_answer
                && reset.sk != 0
                && sock::is_full(state)
                && state != sock::TCP_SYN_RECV
                && state != sock::TCP_LISTEN
        }
        s if s == Shape::Active as u32 => !is_answer && reset.sk != 0 && !sock::is_mptcp(reset.sk),
        _ => false,
    }
}
