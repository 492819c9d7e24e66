//! Finds the container in the path of a cgroup.

use tcprst_schema::container::Runtime;

/// A container named by a cgroup's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CgroupOwner {
    /// `None` if several runtimes use such paths.
    pub(crate) runtime: Option<Runtime>,
    pub(crate) id: String,
    /// The cgroup is the container's own, not one inside it.
    pub(crate) is_own: bool,
}

/// Container ids are 64 hexadecimal digits in every runtime; only containerd's own API accepts
/// others.
const ID_LENGTH: usize = 64;

/// Prefixes of systemd scope names, before the id.
const SCOPES: &[(&str, Runtime)] = &[
    ("docker-", Runtime::Docker),
    ("libpod-", Runtime::Podman),
    ("cri-containerd-", Runtime::Containerd),
    ("crio-", Runtime::Crio),
    // containerd's own API with the systemd driver.
    ("nerdctl-", Runtime::Containerd),
];

/// Finds the container that a cgroup belongs to: the innermost ancestor that names one. A container
/// may have cgroups below its own.
pub(crate) fn parse(path: &str) -> Option<CgroupOwner> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    (0..parts.len()).rev().find_map(|at| {
        let (runtime, id) = container(&parts, at)?;
        Some(CgroupOwner { runtime, id: id.to_owned(), is_own: at + 1 == parts.len() })
    })
}

fn container<'a>(parts: &[&'a str], at: usize) -> Option<(Option<Runtime>, &'a str)> {
    let part = parts[at];
    let parent = at.checked_sub(1).map(|parent| parts[parent]);
    // conmon, the monitor of Podman and CRI-O, has a cgroup next to the container's.
    if part.contains("conmon") {
        return None;
    }
    if let Some(name) = part.strip_suffix(".scope") {
        let scope = SCOPES.iter().find_map(|(prefix, runtime)| {
            let id = name.strip_prefix(prefix)?;
            is_id(id).then_some((Some(*runtime), id))
        });
        return scope.or_else(|| {
            let machine = name.strip_prefix("machine-")?;
            // systemd escapes the dash: nspawn uses `machine-`, a virtual machine
            // `machine-qemu\x2d...`.
            (parent == Some("machine.slice") && !machine.starts_with("qemu"))
                .then_some((Some(Runtime::Nspawn), machine))
        });
    }
    // With `--cgroups=split`, as Quadlet uses it, the container is next to its monitor.
    if let Some(id) = part.strip_prefix("libpod-payload-") {
        return is_id(id).then_some((Some(Runtime::Podman), id));
    }
    if let Some(id) = part.strip_prefix("libpod-") {
        return is_id(id).then_some((Some(Runtime::Podman), id));
    }
    if let Some(id) = part.strip_prefix("crio-") {
        return is_id(id).then_some((Some(Runtime::Crio), id));
    }
    if let Some(name) = part.strip_prefix("lxc.payload.") {
        return Some((Some(Runtime::Lxc), name));
    }
    if !is_id(part) {
        return None;
    }
    match parent? {
        "docker" => Some((Some(Runtime::Docker), part)),
        // containerd, CRI-O and Docker (cri-dockerd) alike, with the cgroupfs driver.
        pod if pod.starts_with("pod") || parts[..at].iter().any(|p| p.starts_with("kubepods")) => {
            Some((None, part))
        }
        // A containerd namespace, or another parent that an administrator chose.
        _ => Some((None, part)),
    }
}

fn is_id(text: &str) -> bool {
    text.len() == ID_LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn runtime_of(path: &str) -> Option<(Option<Runtime>, bool)> {
        let owner = parse(&path.replace("ID", ID))?;
        assert_eq!(owner.id, ID, "{path}");
        Some((owner.runtime, owner.is_own))
    }

    #[test]
    fn every_runtime_names_its_containers() {
        for (path, runtime) in [
            ("/docker/ID", Some(Runtime::Docker)),
            ("/system.slice/docker-ID.scope", Some(Runtime::Docker)),
            ("/libpod_parent/libpod-ID", Some(Runtime::Podman)),
            ("/libpod_parent/0123/libpod-ID", Some(Runtime::Podman)),
            ("/machine.slice/libpod-ID.scope", Some(Runtime::Podman)),
            ("/system.slice/web.service/libpod-payload-ID", Some(Runtime::Podman)),
            ("/machine.slice/machine-libpod_pod_0123.slice/libpod-ID.scope", Some(Runtime::Podman)),
            ("/kubepods/besteffort/pod1234/ID", None),
            (
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod12_34.slice/cri-containerd-ID.scope",
                Some(Runtime::Containerd),
            ),
            ("/kubepods.slice/kubepods-pod12_34.slice/crio-ID.scope", Some(Runtime::Crio)),
            ("/k8s.io/ID", None),
        ] {
            assert_eq!(runtime_of(path), Some((runtime, true)), "{path}");
        }
    }

    #[test]
    fn cgroups_inside_a_container_are_its() {
        for path in [
            "/machine.slice/libpod-ID.scope/container",
            "/docker/ID/system.slice/nginx.service",
            "/kubepods/pod1/ID/init.scope",
        ] {
            assert!(matches!(runtime_of(path), Some((_, false))), "{path}");
        }
        // Docker in Docker: the innermost is the owner.
        let inner = "f".repeat(64);
        let owner = parse(&format!("/docker/{ID}/docker/{inner}")).expect("a container");
        assert_eq!((owner.id, owner.is_own), (inner, true));
    }

    #[test]
    fn other_cgroups_are_nobodys() {
        for path in [
            "/",
            "/system.slice/docker.service",
            "/user.slice/user-0.slice/session-1.scope",
            "/machine.slice/libpod-conmon-ID.scope",
            "/libpod_parent/conmon",
            "/kubepods/besteffort/pod1234",
            "/init.scope",
            "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope",
        ] {
            assert_eq!(parse(&path.replace("ID", ID)), None, "{path}");
        }
    }

    #[test]
    fn machines_have_names() {
        let owner = parse("/machine.slice/machine-web.scope/payload").expect("a machine");
        assert_eq!((owner.runtime, owner.id.as_str()), (Some(Runtime::Nspawn), "web"));
        let owner = parse("/lxc.payload.web/init.scope").expect("a container");
        assert_eq!((owner.runtime, owner.id.as_str()), (Some(Runtime::Lxc), "web"));
    }
}
