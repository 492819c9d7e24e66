//! Who owns a reset: processes by their sockets, containers by cgroup and network namespace.
//!
//! ```text
//! resolver   asks the container runtimes, in a thread of its own, and never holds anybody up
//! ```

pub mod resolver;
