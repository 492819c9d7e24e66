//! The dimensions by which reports count resets: `--by container,port`.

use tcprst_schema::columns::COLUMNS;

use crate::error::ReportError;
use crate::nearest::hint;

/// The address of the other side: the destination, or the source of a received reset.
const PEER: &str = "case when direction = 'received' then src_addr else dst_addr end";

/// One dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dimension {
    /// Its name in `--by`, and the name of the column in the result.
    pub name: &'static str,
    /// The expressions that the scan groups by: mostly plain columns, which rollups can answer.
    inner: &'static [Inner],
    /// The value, computed from these after counting, once for each group.
    outer: Option<&'static str>,
    pub doc: &'static str,
}

/// An expression over `resets` and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Inner {
    name: &'static str,
    expression: Option<&'static str>,
}

const fn plain(name: &'static str) -> Inner {
    Inner { name, expression: None }
}

const fn made(name: &'static str, expression: &'static str) -> Inner {
    Inner { name, expression: Some(expression) }
}

const fn dimension(
    name: &'static str,
    inner: &'static [Inner],
    outer: Option<&'static str>,
    doc: &'static str,
) -> Dimension {
    Dimension { name, inner, outer, doc }
}

/// The dimensions that are more than one column. Every column of `resets` is one as well.
#[rustfmt::skip]
pub(crate) const DIMENSIONS: &[Dimension] = &[
    dimension("container", &[plain("container_name"), plain("k8s_namespace"), plain("k8s_pod")],
        Some("coalesce(container_name, k8s_namespace || '/' || k8s_pod, k8s_pod)"),
        "name of the container, else of the pod"),
    dimension("pod", &[plain("k8s_namespace"), plain("k8s_pod")],
        Some("coalesce(k8s_namespace || '/', '') || k8s_pod"), "NAMESPACE/POD"),
    dimension("namespace", &[plain("k8s_namespace")], Some("k8s_namespace"),
        "namespace of the pod"),
    dimension("image", &[plain("container_image")], Some("container_image"),
        "image of the container"),
    dimension("service", &[plain("port")],
        Some("coalesce(port || ' ' || port_name(port), cast(port as varchar))"),
        "port of the service with its usual name"),
    dimension("peer", &[made("peer", PEER)], None, "address of the other side"),
    dimension("peer_network", &[made("peer", PEER)], Some("network(peer, 24, 64)"),
        "network of the other side: /24 of IPv4, /64 of IPv6"),
    dimension("process", &[plain("comm"), plain("socket_comm")],
        Some("coalesce(comm, socket_comm)"),
        "the process that acted, else the one that owns the socket"),
    dimension("state", &[plain("sk_state")], Some("sk_state"), "state of the socket before"),
];

/// Help below the options of a report, after `before`.
pub(crate) fn help(before: &str) -> String {
    let mut text = before.to_owned();
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(
        "WHAT is any column of resets (cause, blame, port, caller, host, ...), or one of:\n",
    );
    for dimension in DIMENSIONS {
        text.push_str(&format!("  {:<13} {}\n", dimension.name, dimension.doc));
    }
    text.push_str("Times are UTC.");
    text
}

impl Dimension {
    /// The dimension with this name, or the column.
    fn from_name(name: &str) -> Result<Self, ReportError> {
        let name = name.trim();
        if let Some(found) = DIMENSIONS.iter().find(|dimension| dimension.name == name) {
            return Ok(*found);
        }
        let columns = || COLUMNS.iter().filter(|column| column.name != "time");
        if let Some(column) = columns().find(|column| column.name == name) {
            return Ok(dimension(column.name, &[], None, column.doc));
        }
        let names = DIMENSIONS.iter().map(|d| d.name).chain(columns().map(|c| c.name));
        let shown = name.chars().take(40).collect::<String>().escape_debug().to_string();
        let all: Vec<&str> = DIMENSIONS.iter().map(|dimension| dimension.name).collect();
        let otherwise =
            format!("use a column of resets (tcprst-analyze schema) or {}", all.join(", "));
        Err(ReportError::Dimension { hint: hint(name, names, &otherwise), name: shown })
    }

    /// The expressions to group by; a column is its own.
    fn parts(&self) -> Vec<Inner> {
        if self.inner.is_empty() { vec![plain(self.name)] } else { self.inner.to_vec() }
    }
}

/// A combination of dimensions, as the parts of SQL that a report needs.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    dimensions: Vec<Dimension>,
    parts: Vec<Inner>,
}

impl Mix {
    /// The dimensions with these names; duplicates count once.
    pub(crate) fn from_names<S: AsRef<str>>(names: &[S]) -> Result<Self, ReportError> {
        let mut dimensions: Vec<Dimension> = Vec::new();
        let mut parts: Vec<Inner> = Vec::new();
        for name in names {
            let dimension = Dimension::from_name(name.as_ref())?;
            if dimensions.contains(&dimension) {
                continue;
            }
            for part in dimension.parts() {
                if !parts.contains(&part) {
                    parts.push(part);
                }
            }
            dimensions.push(dimension);
        }
        Ok(Self { dimensions, parts })
    }

    /// For `select` of the inner query, one per line: `cause`, `container_name`.
    pub(crate) fn selected(&self) -> String {
        let select = |part: &Inner| match part.expression {
            Some(expression) => format!("{expression} as {}", part.name),
            None => part.name.to_owned(),
        };
        self.parts.iter().map(select).collect::<Vec<_>>().join(",\n")
    }

    /// For `group by` of the inner query.
    pub(crate) fn grouped(&self) -> String {
        let group = |part: &Inner| part.expression.unwrap_or(part.name);
        self.parts.iter().map(group).collect::<Vec<_>>().join(", ")
    }

    /// For `select` of the outer query: the names that the user gave.
    pub(crate) fn named(&self) -> String {
        let name = |dimension: &Dimension| match dimension.outer {
            Some(expression) if expression != dimension.name => {
                format!("{expression} as {}", dimension.name)
            }
            _ => dimension.name.to_owned(),
        };
        self.dimensions.iter().map(name).collect::<Vec<_>>().join(",\n")
    }

    /// The names only.
    pub(crate) fn names(&self) -> String {
        self.name_list().join(", ")
    }

    pub(crate) fn name_list(&self) -> Vec<&'static str> {
        self.dimensions.iter().map(|dimension| dimension.name).collect()
    }

    /// The names joined into one text, for a result with several lists.
    pub(crate) fn joined(&self) -> String {
        let text =
            |dimension: &Dimension| format!("coalesce(cast({} as varchar), '-')", dimension.name);
        self.dimensions.iter().map(text).collect::<Vec<_>>().join(" || ' ' || ")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_mix_groups_by_plain_columns_and_names_afterwards() {
        let mix = Mix::from_names(&["cause", "container", "pod", "cause", "peer_network"]).unwrap();
        assert_eq!(
            mix.selected(),
            format!("cause,\ncontainer_name,\nk8s_namespace,\nk8s_pod,\n{PEER} as peer")
        );
        assert_eq!(mix.names(), "cause, container, pod, peer_network");
        assert!(mix.named().starts_with("cause,\ncoalesce(container_name, "), "{}", mix.named());
        assert!(mix.named().ends_with("network(peer, 24, 64) as peer_network"));
    }

    #[test]
    fn dimensions_are_not_columns_and_their_parts_are() {
        for dimension in DIMENSIONS {
            let is_column = COLUMNS.iter().any(|column| column.name == dimension.name);
            assert!(!is_column || dimension.outer.is_none(), "{}", dimension.name);
            for part in dimension.parts().iter().filter(|part| part.expression.is_none()) {
                assert!(COLUMNS.iter().any(|column| column.name == part.name), "{}", part.name);
            }
        }
    }

    #[test]
    fn a_wrong_name_is_told_the_nearest() {
        let error = Mix::from_names(&["cotainer"]).unwrap_err().to_string();
        assert_eq!(error, "cannot count by 'cotainer': is it container?");
        let error = Mix::from_names(&["nope-nope"]).unwrap_err().to_string();
        let rest =
            error.strip_prefix("cannot count by 'nope-nope': use a column of resets").unwrap();
        assert!(DIMENSIONS.iter().all(|dimension| rest.contains(dimension.name)), "{rest}");
        assert!(Mix::from_names(&["cause; drop"]).is_err());
    }
}
