//! How much each reset may cost, by how many there are: how deep its stack is walked, and
//! whether it is a record at all or a count in a storm.

use aya_ebpf::btf_maps::{Array, PerCpuArray};
use aya_ebpf::macros::btf_map;
use tcprst_schema::implied::Shape;

use crate::kernel::layout;
use crate::reset::Reset;
use crate::sock;
use crate::task::Task;

/// What this CPU has sent in the current second.
#[btf_map]
static PACE: PerCpuArray<Pace, 1> = PerCpuArray::new();

/// By the number of a reason: [`tcprst_schema::implied::Shape`], or 0. The recorder fills it, and
/// clears a reason of which it sees another caller.
#[btf_map]
static IMPLIED: Array<u32, 64> = Array::new();

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

/// How deep to walk a stack.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Walk {
    Whole,
    /// The upper frames.
    Short,
    /// Not at all: the reason proves the caller.
    Implied,
}

impl Pace {
    /// This CPU's, with one more reset. An interrupt may come in between and count too: then one
    /// reset is walked more or less deep than the rate asks for.
    #[inline(always)]
    pub(crate) fn now<'a>(now: u64) -> Option<&'a mut Self> {
        let pace = PACE.get_ptr_mut(0)?;
        // SAFETY: the entry of this CPU, there as long as the map.
        let pace = unsafe { &mut *pace };
        let second = now >> 30;
        if pace.second != second {
            *pace = Self { second, walked: [0; 2], resets: 0, without_socket: 0 };
        }
        pace.resets = pace.resets.saturating_add(1);
        Some(pace)
    }

    /// Whether the reset is only counted.
    #[inline(always)]
    pub(crate) fn is_storm(&mut self, reset: &Reset) -> bool {
        if reset.sk != 0 || !reset.is_from_tcp() || layout!(storm_rate) == 0 {
            return false;
        }
        self.without_socket = self.without_socket.saturating_add(1);
        self.without_socket > layout!(storm_rate)
    }

    /// How deep to walk.
    #[inline(always)]
    pub(crate) fn walk(&mut self, reset: &Reset, state: u8) -> Walk {
        let reason = reset.reason as u32;
        let has_reason = reason < u64::BITS;
        if has_reason {
            // The first of each second is walked, so that an implied caller is seen to hold.
            let bit = 1 << (reason & 63);
            let walked = &mut self.walked[usize::from(reset.skb == 0)];
            if *walked & bit == 0 {
                *walked |= bit;
                return Walk::Whole;
            }
        }
        if self.resets <= layout!(full_stacks) {
            Walk::Whole
        } else if has_reason && is_implied(reset, state, reason) {
            Walk::Implied
        } else {
            Walk::Short
        }
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
        s if s == Shape::Active as u32 => {
            !is_answer
                && reset.sk != 0
                && !sock::is_mptcp(reset.sk)
                && !Task::current().is_kernel_thread()
        }
        _ => false,
    }
}
