//! What the container runtimes say of a container: name, image, pod.

use tcprst_schema::container::{Details, Runtime};

/// A container about which nothing is known but where its cgroup lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Where the path tells; else every runtime of this host is asked.
    pub runtime: Option<Runtime>,
    /// Id of the container, whole.
    pub id: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Found { id: String, details: Details },
    /// No runtime of this host knows it (any more).
    Unknown { id: String },
}
