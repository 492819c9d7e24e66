//! A scenario: the reset that it causes, the place where it plays, and the row that is expected.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::deadline::Deadline;
use crate::task::Actor;

/// One way to cause exactly one reset, or what looks like one, and what follows from it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Scenario {
    pub name: &'static str,
    /// One sentence for people.
    pub about: &'static str,
    /// The port on the side that sends the reset. Below the ephemeral range, so that no
    /// client can get it by chance, and each scenario has its own.
    pub port: u16,
    pub expect: Expect,
    #[serde(skip)]
    pub run: fn(&Scene) -> Result<Caused>,
}

/// Where a reset can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Seen {
    /// This kernel builds it: recorded once with the direction `sent`.
    Sent,
    /// The other side's end of one: recorded with the direction `received` (`--received`).
    Received,
    /// No RST but an ICMP error: recorded with the direction `icmp` (`--icmp`).
    Icmp,
    /// A program makes the packet itself: only the audit sees it, as `crafted`.
    Crafted,
    /// It only passes through: only the audit sees it, as `forwarded`.
    Forwarded,
    /// The kernel says nothing at all.
    Nothing,
}

/// The expected row of the reset, as text in the recorder's own terms.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Expect {
    pub seen: Seen,
    /// Kernel function that builds the RST; empty where only the wire shows it.
    pub callee: &'static str,
    /// Its caller; several where kernels differ (compilers inline). Empty as above.
    pub caller: &'static [&'static str],
    /// The reason that kernels from 6.12 on give; none where this way has none.
    pub reason: Option<&'static str>,
    /// The state before the reset; none where there is no socket.
    pub sk_state: Option<&'static str>,
    pub family: &'static str,
    /// `task`, `packet`, `timer` or `worker`; empty where only the wire shows it.
    pub context: &'static str,
    pub cause: &'static str,
    /// `None` where nobody's act is proven.
    pub blame: Option<&'static str>,
    /// Resets that follow from it: answers to segments that came for the connection later.
    pub followed: usize,
    /// Whether the reset is a task's own act: then `pid` and `comm` are [`Caused`]'s.
    /// Where it is not, the recorder must leave them null.
    pub task: bool,
}

/// Why a scenario cannot be played on this kernel, in one sentence: a scenario fails with this
/// where the kernel lacks what it needs, and with anything else where it went wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Impossible(pub String);

/// The result of playing a scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Caused(Caused),
    /// The kernel cannot produce it: [`Impossible`].
    Impossible(String),
}

/// A reset that was caused; addresses and ports as on the RST packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caused {
    pub scenario: String,
    pub family: String,
    pub src_addr: IpAddr,
    pub src_port: u16,
    pub dst_addr: IpAddr,
    pub dst_port: u16,
    pub pid: Option<u32>,
    pub tid: Option<u32>,
    pub comm: Option<String>,
}

impl Caused {
    /// The same reset, as the act of `actor`.
    pub(crate) fn with_actor(mut self, actor: Actor) -> Self {
        self.pid = Some(actor.pid);
        self.tid = Some(actor.tid);
        self.comm = Some(actor.comm);
        self
    }
}

/// Where a scenario plays: its port and the time that it has left.
#[derive(Debug)]
pub struct Scene {
    pub name: &'static str,
    pub port: u16,
    pub deadline: Deadline,
}

impl Scene {
    /// A reset that `src` sent to `dst`, which is not the act of a task.
    pub(crate) fn caused(&self, src: SocketAddr, dst: SocketAddr) -> Caused {
        Caused {
            scenario: self.name.to_owned(),
            family: if src.is_ipv4() { "ipv4" } else { "ipv6" }.to_owned(),
            src_addr: src.ip(),
            src_port: src.port(),
            dst_addr: dst.ip(),
            dst_port: dst.port(),
            pid: None,
            tid: None,
            comm: None,
        }
    }
}
