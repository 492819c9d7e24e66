//! Causes real resets, with real sockets, in a network namespace of its own.
//!
//! [`scenarios`] drives everything: the command, its list and the tests. To add a scenario,
//! write its function in the file of its kind and add a row to that of `table/`.

mod active;
mod actor;
mod bpf;
mod bpf_destroy;
mod bpf_icmp;
mod busy;
mod command;
mod deadline;
mod firewall;
mod flood;
mod ghost;
mod handshake;
mod hidden;
mod mptcp;
mod netns;
mod options;
mod orphan;
mod packet;
pub(crate) mod pair;
mod passive;
mod proc_net;
mod process;
mod refusal;
mod rules;
mod scene;
mod sysctl;
mod table;
mod tool;
mod topology;
mod wire;

pub use actor::Actor;
pub use busy::Busy;
pub use command::{Args, run};
pub use deadline::Deadline;
pub(crate) use flood::ClosedDoor;
pub use flood::{FLOOD_PORT, Flood, flood};
pub use hidden::unhidden;
pub use netns::{Namespace, SCENE_COMM};
pub use scene::{Caused, Expect, Impossible, Outcome, Scenario, Scene, Seen, play, run_all};
pub use sysctl::allow_host_changes;
pub use table::scenarios;
