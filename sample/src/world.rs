//! The hosts of a sample and the containers on them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use fastrand::Rng;
use tcprst_schema::container::{Container, Details, Pod, Runtime};
use tcprst_schema::row::{ContainerRow, Named, Owner, SocketOwner, SocketProcess, Task};

use crate::services::{Clients, HOST_SERVICES, SERVICES, Service};
use tcprst_recorder::Host;

/// CPUs of a host.
pub(crate) const CPUS: usize = 8;

/// Inode of a host's own network namespace, as Linux assigns it.
const HOST_NETNS: u32 = 4_026_531_840;

/// A container, or a program of the host.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) service: &'static Service,
    /// Share of the host's resets.
    pub(crate) weight: f64,
    pub(crate) container: Option<Arc<Container>>,
    pub(crate) v4: IpAddr,
    pub(crate) v6: IpAddr,
    pub(crate) netns_id: u32,
    pub(crate) netns_cookie: u64,
    pub(crate) mntns_id: u32,
    pub(crate) cgroup_id: u64,
    pub(crate) uid: u32,
    pub(crate) pid: u32,
    pub(crate) comm: Arc<str>,
}

/// One host.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) host: Host,
    pub(crate) name: Arc<str>,
    pub(crate) workloads: Vec<Workload>,
}

/// The host of a number. It is the same for each caller, so that threads need no shared counter.
pub(crate) fn node(seed: u64, number: usize, of: usize) -> Node {
    let mut rng = Rng::with_seed(seed ^ (0x6e6f_6465 + number as u64));
    let name = format!("node-{}", number + 1);
    let mut workloads = Vec::new();
    let mut rank = 0;
    for service in SERVICES {
        for replica in 0..service.replicas {
            rank += 1;
            // Replicas are spread over the hosts.
            if (replica + service.port as usize) % of == number {
                workloads.push(pod(service, number, workloads.len(), rank, &mut rng));
            }
        }
    }
    for service in HOST_SERVICES {
        rank += 2;
        workloads.push(program(service, number, rank, &mut rng));
    }
    let host = Host {
        boot_id: hex(&mut rng, &[8, 4, 4, 4, 12], "-"),
        kernel: "6.18.4-generic".to_owned(),
        name: name.clone(),
    };
    Node { host, name: name.into(), workloads }
}

fn hex(rng: &mut Rng, groups: &[usize], between: &str) -> String {
    let mut group = |length: &usize| -> String {
        (0..*length).map(|_| char::from_digit(rng.u32(..16), 16).unwrap_or('0')).collect()
    };
    groups.iter().map(&mut group).collect::<Vec<_>>().join(between)
}

/// Letters as in the names of Kubernetes pods.
fn suffix(rng: &mut Rng, length: usize) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    (0..length).map(|_| char::from(LETTERS[rng.usize(..LETTERS.len())])).collect()
}

fn pod(service: &'static Service, node: usize, at: usize, rank: usize, rng: &mut Rng) -> Workload {
    let pod = format!("{}-{}-{}", service.name, suffix(rng, 9), suffix(rng, 5));
    let container = Arc::new(Container::new(Some(Runtime::Containerd), &hex(rng, &[64], "")));
    let address = Ipv4Addr::new(10, 244, node as u8, 10 + at as u8);
    let details = Details {
        name: Some(service.name.into()),
        image: Some(service.image.into()),
        image_digest: Some(format!("sha256:{}", hex(rng, &[64], "")).into()),
        pod: Some(Pod {
            namespace: Some(service.namespace.into()),
            name: Some(pod.into()),
            uid: Some(hex(rng, &[8, 4, 4, 4, 12], "-").into()),
            container: Some(service.name.into()),
        }),
        is_host_network: Some(false),
        addresses: vec![address.into()],
        ..Details::default()
    };
    container.resolve(details, true);
    let number = (node * 64 + at) as u32;
    Workload {
        service,
        weight: 1.0 / rank as f64,
        container: Some(container),
        v4: address.into(),
        v6: Ipv6Addr::new(0xfd00, 0x10, 0x244, node as u16, 0, 0, 0, 10 + at as u16).into(),
        netns_id: 4_026_532_300 + number * 6,
        netns_cookie: u64::from(4096 + number),
        mntns_id: 4_026_532_298 + number * 6,
        cgroup_id: 9000 + u64::from(number) * 37,
        uid: 1000 + number % 7,
        pid: 4000 + number * 113,
        comm: service.comm.into(),
    }
}

fn program(service: &'static Service, node: usize, rank: usize, rng: &mut Rng) -> Workload {
    Workload {
        service,
        weight: 1.0 / rank as f64,
        container: None,
        v4: Ipv4Addr::new(192, 0, 2, 10 + node as u8).into(),
        v6: Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 10 + node as u16).into(),
        netns_id: HOST_NETNS,
        netns_cookie: 1,
        mntns_id: 4_026_531_841,
        cgroup_id: rng.u64(2000..4000),
        uid: 0,
        pid: rng.u32(600..3000),
        comm: service.comm.into(),
    }
}

impl Workload {
    pub(crate) fn is_public(&self) -> bool {
        self.service.clients == Clients::World
    }

    pub(crate) fn owner(&self, attribution: &'static str, node: &Arc<str>) -> Option<Owner> {
        let container = Arc::clone(self.container.as_ref()?);
        Some(Owner { named: Named::container(container), attribution, node: Arc::clone(node) })
    }

    /// The task of one of its threads.
    pub(crate) fn task(&self, thread: u32) -> Task {
        Task {
            pid: self.pid,
            tid: self.pid + thread,
            uid: self.uid,
            gid: self.uid,
            comm: Arc::clone(&self.comm),
            mntns_id: Some(self.mntns_id),
            cgroup_id: Some(self.cgroup_id),
        }
    }

    /// Its socket.
    pub(crate) fn socket(&self, act: Option<&'static str>, thread: u32) -> SocketOwner {
        SocketOwner {
            uid: Some(self.uid),
            netns_id: Some(self.netns_id),
            cgroup_id: Some(self.cgroup_id),
            process: act.map(|act| SocketProcess {
                pid: self.pid,
                tid: self.pid + thread,
                gid: self.uid,
                comm: Arc::clone(&self.comm),
                mntns_id: Some(self.mntns_id),
                act,
            }),
        }
    }

    pub(crate) fn row(&self, node: &Node, from_us: i64) -> Option<ContainerRow> {
        let owner = self.owner("socket", &node.name)?;
        let container = Arc::clone(self.container.as_ref()?);
        let path = format!("/kubepods.slice/cri-containerd-{}.scope", container.id);
        Some(ContainerRow {
            from_us,
            to_us: None,
            host: Arc::clone(&node.name),
            owner,
            container,
            cgroup_id: Some(self.cgroup_id),
            cgroup_path: Some(path.into()),
            netns_id: Some(self.netns_id),
            netns_cookie: Some(self.netns_cookie),
            mntns_id: Some(self.mntns_id),
            pid: Some(self.pid),
            addresses: vec![self.v4, self.v6],
        })
    }
}
