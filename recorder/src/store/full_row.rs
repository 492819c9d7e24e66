//! For tests of columns: a row without a null.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use tcprst_schema::cause::UNKNOWN;
use tcprst_schema::container::{Container, Details, Pod, Runtime};
use tcprst_schema::row::{Named, Owner, Row, SocketOwner, SocketProcess, Stack, StackSource, Task};

pub(crate) fn full_row() -> Row {
    let container = Arc::new(Container::new(Some(Runtime::Docker), "id"));
    let pod = Pod {
        namespace: Some("namespace".into()),
        name: Some("pod".into()),
        uid: None,
        container: Some("container".into()),
    };
    let details = Details {
        name: Some("name".into()),
        image: Some("image".into()),
        image_digest: Some("digest".into()),
        pod: Some(pod),
        is_host_network: Some(false),
        ..Details::default()
    };
    container.resolve(details, true);
    let end = Some((IpAddr::from(Ipv4Addr::LOCALHOST), 80));
    Row {
        time_us: 1,
        boot_ns: 1,
        cpu: 0,
        seq: 1,
        host: "host".into(),
        direction: "sent",
        netns_id: Some(1),
        netns_cookie: Some(1),
        stack: Arc::new(Stack {
            callee: Some("callee".into()),
            caller: Some("caller".into()),
            folded: Some("caller;callee".into()),
            frames: vec!["callee".into(), "caller".into()],
            source: StackSource::Walked,
        }),
        cause: UNKNOWN,
        blame: Some("app"),
        reason: Some("NO_SOCKET".into()),
        reason_code: Some(1),
        sk_state: Some("ESTABLISHED".into()),
        context: Some("task"),
        answered_flags: Some(2),
        sk_flags: Some(1),
        past: Some("reset"),
        past_us: Some(1),
        first: Some((1, 1)),
        accept_queue: Some((1, 2)),
        icmp: Some((3, 3)),
        src: end,
        dst: end,
        task: Some(Task {
            pid: 1,
            tid: 1,
            uid: 0,
            gid: 0,
            comm: "task".into(),
            mntns_id: Some(1),
            cgroup_id: Some(1),
        }),
        socket: SocketOwner {
            uid: Some(0),
            netns_id: Some(1),
            cgroup_id: Some(1),
            process: Some(SocketProcess {
                act: "connect",
                pid: 1,
                tid: 1,
                gid: 0,
                comm: "socket".into(),
                mntns_id: Some(1),
            }),
        },
        owner_from: Some("socket"),
        owner: Some(Owner {
            named: Named::container(Arc::clone(&container)),
            attribution: "socket",
            node: "node".into(),
        }),
        peer: Some(Named::container(container)),
    }
}
