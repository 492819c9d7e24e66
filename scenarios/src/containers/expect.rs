//! The expected row of a reset.

use serde_json::{Value as Json, json};

use crate::judge::Row;
use crate::runtimes::{Pod, RunningContainer, RuntimeKind};

/// The row of one reset.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// Port and cause together identify the row.
    pub(super) port: u16,
    pub(super) cause: &'static str,
    /// The site that must have a hook for it to be recorded at all.
    pub(super) site: Option<&'static str>,
    columns: Vec<(&'static str, Json)>,
}

/// The columns that name the owner.
const OWNER: [&str; 10] = [
    "runtime",
    "container_id",
    "container_name",
    "container_image",
    "container_image_digest",
    "k8s_namespace",
    "k8s_pod",
    "k8s_container",
    "k8s_hostnetwork",
    "attribution",
];
/// The columns that name the other side.
const PEER: [&str; 3] = ["dst_container_name", "dst_k8s_namespace", "dst_k8s_pod"];

impl Expected {
    /// No container on either side.
    pub(super) fn nobody(port: u16, cause: &'static str) -> Self {
        let columns = OWNER.iter().chain(&PEER).map(|column| (*column, Json::Null)).collect();
        Self { port, cause, site: None, columns }
    }

    /// Exactly this container.
    pub(super) fn for_container(
        port: u16,
        cause: &'static str,
        kind: RuntimeKind,
        owner: &RunningContainer,
        attribution: &str,
    ) -> Self {
        let mut expected = Self::nobody(port, cause);
        expected.set("runtime", json!(kind.name()));
        expected.set("container_id", json!(owner.id));
        expected.set("container_name", json!(owner.name));
        expected.set("container_image", json!(owner.image));
        expected.set("container_image_digest", json!(owner.digest));
        expected.set("k8s_container", json!(owner.pod_container));
        expected.set("k8s_hostnetwork", json!(owner.is_host_network));
        expected.set_pod(owner.pod.as_ref());
        expected.set("attribution", json!(attribution));
        expected
    }

    /// One of the pod's containers, unknown which.
    pub(super) fn for_pod(port: u16, cause: &'static str, kind: RuntimeKind, pod: &Pod) -> Self {
        let mut expected = Self::nobody(port, cause);
        expected.set("runtime", json!(kind.name()));
        expected.set_pod(Some(pod));
        expected.set("k8s_hostnetwork", json!(false));
        expected.set("attribution", json!("netns"));
        expected
    }

    /// The other side is this container.
    pub(super) fn towards(mut self, peer: &RunningContainer) -> Self {
        self.set("dst_container_name", json!(peer.name));
        if let Some(pod) = &peer.pod {
            self.set("dst_k8s_pod", json!(pod.name));
            self.set("dst_k8s_namespace", json!(pod.namespace));
        }
        self
    }

    /// The other side is the pod.
    pub(super) fn towards_pod(mut self, pod: &Pod) -> Self {
        self.set("dst_k8s_pod", json!(pod.name));
        self.set("dst_k8s_namespace", json!(pod.namespace));
        self
    }

    /// Seen only where this function has a hook.
    pub(super) fn through(mut self, site: &'static str) -> Self {
        self.site = Some(site);
        self
    }

    fn set_pod(&mut self, pod: Option<&Pod>) {
        self.set("k8s_pod", json!(pod.map(|pod| &pod.name)));
        self.set("k8s_namespace", json!(pod.and_then(|pod| pod.namespace.as_ref())));
    }

    fn set(&mut self, column: &'static str, value: Json) {
        if let Some(slot) = self.columns.iter_mut().find(|(name, _)| *name == column) {
            slot.1 = value;
        }
    }

    pub(super) fn is_of(&self, row: &Row) -> bool {
        row.get("src_port") == Some(&json!(self.port))
            && row.get("cause") == Some(&json!(self.cause))
    }

    /// The differences between the row and the expected one, in words.
    pub(super) fn differences(&self, row: &Row) -> Vec<String> {
        self.columns
            .iter()
            .filter_map(|(column, expected)| {
                let found = row.get(*column).unwrap_or(&Json::Null);
                (found != expected).then(|| format!("{column} is {found}, not {expected}"))
            })
            .collect()
    }
}
