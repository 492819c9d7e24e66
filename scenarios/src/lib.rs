//! Causes real resets, with real sockets, in a network namespace of its own, and judges what was
//! recorded of them. A library for tests and for `cargo xtask`: it runs the programs under test,
//! and contains none of their code.
//!
//! [`scenarios`] drives everything: the command, its list and the tests. To add a scenario,
//! write its function in the file of its kind in `cause/` and add a row to that of `table/`.
//!
//! From the bottom up; a module uses only those above it in this list:
//!
//! - `deadline`: waits for conditions, with an end. `task`: the task that acts.
//! - `scene`: a scenario, its result, and what must be recorded of it.
//! - `stage`: network namespaces, small networks, connections, raw packets, processes, settings of
//!   the kernel, floods, and resets that the kernel hides.
//! - `cause`: the functions that cause resets, a file for each kind.
//! - `table`: every scenario, one row each.
//! - `play`: plays scenarios one after another.
//! - `judge`: runs a recorder and compares its rows with what the table expects.
//! - `runtimes`: podman, docker and containerd, each with folders of its own.
//! - `containers`: resets in containers of these runtimes, and whether their rows name them.

mod cause;
mod containers;
mod deadline;
mod judge;
mod play;
mod runtimes;
mod scene;
mod stage;
mod table;
mod task;

pub use cause::bpf::empty::EmptyProgram;
pub use containers::{BRIEF, ContainersPlan, ContainersVerdict, play_in_containers, run_actor};
pub use deadline::Deadline;
pub use judge::{
    Abilities, Account, Balance, Cell, Column, Doctor, Recording, Row, Site, UNKNOWN, Verdict,
    is_of, kernel_addresses, record,
};
pub use play::{play, run_all};
pub use runtimes::{CNI_BRIDGE, RuntimeKind};
pub use scene::{Caused, Expect, Outcome, Scenario, Scene, Seen};
pub use stage::busy::Busy;
pub use stage::flood::{FLOOD_PORT, Flood, Mix, ResetKind, ResetSource, flood, flood_with};
pub use stage::hidden::unhidden;
pub use stage::netns::{Namespace, SCENE_COMM};
pub use stage::sysctl::allow_host_changes;
pub use stage::tool::{MissingTool, installed};
pub use table::scenarios;
