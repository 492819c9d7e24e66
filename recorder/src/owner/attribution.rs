//! Rules for the owner of a reset. Null is a valid answer: an innocent container is never named.

use std::net::IpAddr;
use std::sync::Arc;

use tcprst_schema::container::Pod;
use tcprst_schema::row::Named;

use super::netns::NetnsId;
use super::table::{Life, LifeTable, Whose};

/// The root of the v2 hierarchy: it holds the kernel's sockets and, on a host with cgroup v1 alone,
/// every socket. It identifies no owner.
pub(crate) const ROOT: u64 = 1;

/// What is known about the owner of a reset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnerEvidence {
    pub(crate) boot_ns: u64,
    /// The socket's cgroup, and the source of that fact.
    pub(crate) cgroup: Option<(u64, &'static str)>,
    pub(crate) netns: NetnsId,
}

/// Result of the rules.
#[derive(Debug)]
pub(crate) enum Found {
    Owner(Named, &'static str),
    /// The reset belongs to no container.
    Nothing,
    /// Not known yet: the cgroup has not been reported.
    UnknownCgroup,
    /// Not known yet: the runtimes have not described the containers.
    NotYet,
}

/// Finds the owner of a reset.
pub(crate) fn owner(table: &LifeTable, host: NetnsId, evidence: &OwnerEvidence) -> Found {
    if let Some((cgroup, from)) = evidence.cgroup.filter(|(cgroup, _)| *cgroup != ROOT) {
        return match table.whose(cgroup) {
            Whose::Container(life) => {
                Found::Owner(Named::container(Arc::clone(&life.container)), from)
            }
            Whose::Host => Found::Nothing,
            Whose::Unknown => Found::UnknownCgroup,
        };
    }
    if evidence.netns.inode == host.inode {
        return Found::Nothing;
    }
    match inhabitant(table, evidence.netns, evidence.boot_ns) {
        Some(Ok(named)) => Found::Owner(named, "netns"),
        Some(Err(Unsure)) => Found::NotYet,
        None => Found::Nothing,
    }
}

/// The container or pod on this host that an address belongs to, seen from a namespace.
pub(crate) fn peer(
    table: &LifeTable,
    host: NetnsId,
    netns: NetnsId,
    address: IpAddr,
    boot_ns: u64,
) -> Option<Named> {
    // Loopback leads back into the same namespace.
    let netns = match address.is_loopback() {
        true => Some(netns).filter(|netns| netns.inode != host.inode),
        false => table.namespace_of(address, boot_ns),
    };
    inhabitant(table, netns?, boot_ns)?.ok()
}

/// Several containers live in the namespace, and it is not known yet whether they are one pod.
struct Unsure;

/// The inhabitant of a network namespace: one container, or one pod.
fn inhabitant(table: &LifeTable, netns: NetnsId, boot_ns: u64) -> Option<Result<Named, Unsure>> {
    let lives = table.inhabitants(netns, boot_ns);
    let is_sandbox =
        |life: &Life| life.container.details().is_some_and(|details| details.is_sandbox);
    let mut working = lives.iter().filter(|life| !is_sandbox(life));
    let named = match (working.next(), working.next()) {
        // Another container of the pod has exited and may have owned the port: only the pod is
        // certain.
        (Some(only), None)
            if table.has_dead(netns, &only.container, boot_ns)
                && only.container.details().is_some_and(|details| details.pod.is_some()) =>
        {
            Named::pod_of(Arc::clone(&only.container))
        }
        (Some(only), None) => Named::container(Arc::clone(&only.container)),
        // Only the sandbox of the pod is left.
        (None, _) => Named::pod_of(Arc::clone(&lives.first()?.container)),
        (Some(_), Some(_)) => return several(&lives),
    };
    Some(Ok(named))
}

/// Containers of one pod share its name; others have only the namespace in common.
fn several(lives: &[&Life]) -> Option<Result<Named, Unsure>> {
    if lives.iter().any(|life| life.container.details().is_none()) {
        return Some(Err(Unsure));
    }
    let pod = |life: &Life| life.container.details().and_then(|d| d.pod.clone());
    let same = |a: &Pod, b: &Pod| a.uid == b.uid && a.name == b.name && a.namespace == b.namespace;
    let first = pod(lives.first()?)?;
    let is_one = lives.iter().all(|life| pod(life).is_some_and(|pod| same(&pod, &first)));
    is_one.then(|| Ok(Named::pod_of(Arc::clone(&lives[0].container))))
}

#[cfg(test)]
mod tests {
    use tcprst_schema::container::Details;

    use super::super::table::tests::{NETNS, id, inside};
    use super::*;

    const HOST: NetnsId = NetnsId { cookie: 1, inode: 1 };

    fn table(containers: &[(char, u64, Option<Details>)]) -> LifeTable {
        let mut table = LifeTable::default();
        for (digit, cgroup, details) in containers {
            table.made(*cgroup, &format!("/kubepods/pod1/{}", id(*digit)), 100);
            table.began(*cgroup, inside(NETNS));
            if let Some(details) = details {
                table.resolve(&id(*digit), details.clone(), true);
            }
        }
        table
    }

    fn of_pod(name: &str) -> Details {
        let pod = Pod { name: Some(name.into()), ..Pod::default() };
        Details { pod: Some(pod), ..Details::default() }
    }

    fn sandbox(name: &str) -> Details {
        Details { is_sandbox: true, ..of_pod(name) }
    }

    fn evidence(cgroup: Option<u64>) -> OwnerEvidence {
        OwnerEvidence { boot_ns: 150, cgroup: cgroup.map(|id| (id, "socket")), netns: NETNS }
    }

    /// Returns id of the container, name of the pod and attribution.
    fn told(found: Found) -> (Option<String>, Option<String>, &'static str) {
        let Found::Owner(named, attribution) = found else { panic!("{found:?}") };
        let pod = named.pod().and_then(|pod| pod.name.clone());
        (named.one().map(|one| one.id.to_string()), pod.map(|pod| pod.to_string()), attribution)
    }

    #[test]
    fn the_sockets_cgroup_comes_first() {
        let table = table(&[('a', 10, None), ('b', 11, None)]);
        assert_eq!(told(owner(&table, HOST, &evidence(Some(11)))), (Some(id('b')), None, "socket"));
        // A process of the host that entered the namespace is not the container.
        let mut table = table;
        table.made(12, "/system.slice/docker.service", 100);
        assert!(matches!(owner(&table, HOST, &evidence(Some(12))), Found::Nothing));
        assert!(matches!(owner(&table, HOST, &evidence(Some(13))), Found::UnknownCgroup));
    }

    #[test]
    fn alone_in_its_namespace_is_the_owner() {
        let alone = table(&[('a', 10, None)]);
        assert_eq!(told(owner(&alone, HOST, &evidence(None))), (Some(id('a')), None, "netns"));
        assert_eq!(
            told(owner(&alone, HOST, &evidence(Some(ROOT)))),
            (Some(id('a')), None, "netns")
        );
        let with_pause = table(&[('a', 10, Some(of_pod("p"))), ('b', 11, Some(sandbox("p")))]);
        let expected = (Some(id('a')), Some("p".to_owned()), "netns");
        assert_eq!(told(owner(&with_pause, HOST, &evidence(None))), expected);
        let pause = table(&[('b', 11, Some(sandbox("p")))]);
        assert_eq!(told(owner(&pause, HOST, &evidence(None))), (None, Some("p".into()), "netns"));
        let late = OwnerEvidence { boot_ns: 99, ..evidence(None) };
        assert!(matches!(owner(&alone, HOST, &late), Found::Nothing), "before it lived");
        let on_host = OwnerEvidence { netns: HOST, ..evidence(None) };
        assert!(matches!(owner(&alone, HOST, &on_host), Found::Nothing));
    }

    #[test]
    fn of_several_only_their_pod_is_known() {
        let pod = table(&[('a', 10, Some(of_pod("p"))), ('b', 11, Some(of_pod("p")))]);
        assert_eq!(told(owner(&pod, HOST, &evidence(None))), (None, Some("p".into()), "netns"));
        let strangers = table(&[('a', 10, Some(Details::default())), ('b', 11, Some(of_pod("p")))]);
        assert!(matches!(owner(&strangers, HOST, &evidence(None)), Found::Nothing));
        let open = table(&[('a', 10, Some(of_pod("p"))), ('b', 11, None)]);
        assert!(matches!(owner(&open, HOST, &evidence(None)), Found::NotYet));
    }

    #[test]
    fn a_survivor_is_not_taken_for_the_dead() {
        let containers = [('a', 10, Some(of_pod("p"))), ('b', 11, Some(of_pod("p")))];
        let mut table = table(&containers);
        table.end(&id('a'), 120);
        assert_eq!(told(owner(&table, HOST, &evidence(None))), (None, Some("p".into()), "netns"));
        assert_eq!(
            told(owner(&table, HOST, &evidence(Some(11)))).0,
            Some(id('b')),
            "by its socket"
        );
    }

    #[test]
    fn a_second_cgroup_of_that_name_is_nobodys() {
        let mut table = table(&[('a', 10, None)]);
        table.made(20, &format!("/user.slice/{}", id('a')), 120);
        assert!(matches!(owner(&table, HOST, &evidence(Some(20))), Found::Nothing));
    }

    #[test]
    fn peers_are_known_by_address() {
        let mut table = table(&[('a', 10, Some(of_pod("p")))]);
        let address = IpAddr::from([10, 1, 0, 2]);
        table.add_addresses(&id('a'), vec![address]);
        let loopback = IpAddr::from([127, 0, 0, 1]);
        for (netns, address) in [(HOST, address), (NETNS, loopback)] {
            let named = peer(&table, HOST, netns, address, 150).expect("known");
            assert_eq!(named.one().map(|one| one.id.to_string()), Some(id('a')));
        }
        assert!(peer(&table, HOST, HOST, loopback, 150).is_none());
        assert!(peer(&table, HOST, HOST, IpAddr::from([10, 1, 0, 3]), 150).is_none());
    }
}
