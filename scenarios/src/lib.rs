//! Causes real resets, with real sockets, in a network namespace of its own, and judges what was
//! recorded of them. A library for tests and for `cargo xtask`; it runs the programs under test,
//! and is built from none of their code.
//!
//! [`scenarios`] drives everything: the command, its list and the tests. To add a scenario,
//! write its function in the file of its kind in `cause/` and add a row to that of `table/`.
//!
//! - `deadline`: waiting on conditions, with an end; `task`: the task that acts
//! - `scene`: what a scenario is, and the runner
//! - `stage/`: namespaces, networks, packets, processes and settings that scenarios need
//! - `cause/`: the functions that cause resets; `table/`: one row for each
//! - `judge/`: a recorder at work, and its rows beside what the table expects
//! - `runtimes/`: podman, docker and containerd; `containers/`: resets in their containers

mod cause;
pub mod containers;
mod deadline;
pub mod judge;
pub mod runtimes;
mod scene;
mod stage;
mod table;
mod task;

pub use deadline::Deadline;
pub use scene::{Caused, Expect, Impossible, Outcome, Scenario, Scene, Seen, play, run_all};
pub use stage::busy::Busy;
pub use stage::flood::{ClosedDoor, FLOOD_PORT, Flood, flood};
pub use stage::hidden::unhidden;
pub use stage::netns::{Namespace, SCENE_COMM};
pub use stage::sysctl::allow_host_changes;
pub use table::scenarios;
pub use task::Actor;
