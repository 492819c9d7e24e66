//! A reset as a hook sees it.

use core::ffi::c_void;
use tcprst_schema::hook::Site;
use tcprst_schema::wire::NO_REASON;

use crate::kernel::{Address, Probed};
use crate::packet::{self, Segment};
use crate::sock::{self, Flow};

/// What a hook has at hand.
#[repr(C)]
pub(crate) struct Reset {
    /// Context of the program, for the stack.
    pub(crate) ctx: *mut c_void,
    /// `struct sock *` of any kind, or 0.
    pub(crate) sk: Address,
    /// `struct sk_buff *` of the segment that is answered, or 0.
    pub(crate) skb: Address,
    /// What that segment says, where its headers can be read.
    pub(crate) segment: Segment,
    /// `struct net *` where the hook has it, or 0.
    pub(crate) net: Address,
    /// `enum sk_rst_reason`, or `NO_REASON`.
    pub(crate) reason: i32,
    /// [`tcprst_schema::hook::Site`], or 0 where the stack must tell.
    pub(crate) site: u8,
    /// Type and code of the ICMP error in place of a RST.
    pub(crate) icmp: [u8; 2],
    padding: u8,
}

impl Reset {
    /// One of which nothing is at hand yet.
    #[inline(always)]
    pub(crate) fn at(site: u8, ctx: *mut c_void) -> Self {
        Self {
            ctx,
            sk: 0,
            skb: 0,
            segment: Segment::NONE,
            net: 0,
            reason: NO_REASON,
            site,
            icmp: [0; 2],
            padding: 0,
        }
    }

    /// The answer to a segment is never the act of the task that happens to run, nor is a RST
    /// that came in.
    #[inline(always)]
    pub(crate) fn is_act(&self) -> bool {
        self.skb == 0 && self.site != Site::Received as u8
    }

    /// Reads the segment that it answers.
    #[inline(always)]
    pub(crate) fn read_segment(&mut self) {
        packet::read_segment(self.skb, self.site, &mut self.segment);
    }

    /// Whether that segment is a reset itself.
    #[inline(always)]
    pub(crate) fn answers_reset(&self) -> bool {
        self.segment.is_read != 0 && self.segment.is_reset()
    }

    /// Whether TCP itself sends it.
    #[inline(always)]
    pub(crate) fn is_from_tcp(&self) -> bool {
        self.site <= Site::PassiveV6 as u8
    }

    /// `struct net` that it belongs to.
    #[inline(always)]
    pub(crate) fn net(&self) -> Address {
        if self.net != 0 {
            return self.net;
        }
        match sock::net::<Probed>(self.sk) {
            0 => packet::net(self.skb),
            net => net,
        }
    }

    /// The flow as on the RST: that of the segment that it answers, else that of its socket.
    #[inline(always)]
    pub(crate) fn flow(&self) -> Flow {
        match self.segment.is_read {
            0 => self.socket_flow(sock::is_full(sock::state(self.sk))),
            _ => self.segment.flow,
        }
    }

    /// The flow of its socket, as on the RST.
    #[inline(always)]
    pub(crate) fn socket_flow(&self, full: bool) -> Flow {
        let flow = sock::flow(self.sk, full);
        if self.site == Site::Received as u8 { flow.reversed() } else { flow }
    }
}
