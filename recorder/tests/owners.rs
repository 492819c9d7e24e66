//! Owners of resets: processes by their sockets, and containers by cgroup and namespace. The
//! cgroups here are made by hand and named as a runtime would; containers.rs uses real runtimes.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use scenarios::{Busy, Namespace, run_all, unhidden};
use serde_json::{Value as Json, json};
use socket2::SockRef;
use tcprst_schema::tables::Table;
use tempfile::TempDir;

mod common;
use common::container::{Cgroup, id, play_in, v2_root};
use common::{LOSSLESS, Recording, Row, require_root, rows_in, segments};

/// Records the resets that `cause` provokes in a network namespace of its own.
fn record<T: Send>(
    options: &[&str],
    cause: impl FnOnce() -> anyhow::Result<T> + Send,
) -> (T, Vec<Row>, TempDir) {
    require_root();
    let dir = TempDir::new().expect("a folder");
    let ns = Namespace::new().expect("a network namespace");
    let recording = Recording::start(dir.path(), &[&LOSSLESS, options].concat());
    let done = ns.run(cause).expect("resets");
    let totals = recording.stop(Signal::SIGTERM).totals();
    assert_eq!(totals.seen, totals.written + totals.lost);
    let resets = segments(dir.path(), Table::Resets);
    resets.iter().for_each(common::Segment::check);
    (done, rows_in(&resets, Some(ns.cookie())), dir)
}

fn listen() -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

fn linger_zero(stream: &TcpStream) -> anyhow::Result<()> {
    Ok(SockRef::from(stream).set_linger(Some(Duration::ZERO))?)
}

/// The only row with this source port.
fn of_port(rows: &[Row], port: u16) -> &Row {
    let found: Vec<&Row> = rows.iter().filter(|row| row["src_port"] == json!(port)).collect();
    let [row] = found[..] else { panic!("{} rows of port {port}: {rows:?}", found.len()) };
    row
}

fn accepts_are_seen() -> bool {
    let doctor = Command::new(common::RECORDER).args(["doctor", "--json"]).output();
    let report: Json = serde_json::from_slice(&doctor.expect("doctor").stdout).expect("JSON");
    report["owners"]["accept"].is_string()
}

#[test]
fn the_process_behind_a_socket_is_known() {
    let (ports, rows, _dir) = record(&[], || {
        let (listener, addr) = listen()?;
        let client = TcpStream::connect(addr)?;
        let (server, _) = listener.accept()?;
        // First the client's end aborts, then the server's.
        let connected = client.local_addr()?.port();
        linger_zero(&client)?;
        drop(client);
        drop(server);
        let client = TcpStream::connect(addr)?;
        let (server, _) = listener.accept()?;
        linger_zero(&server)?;
        drop(server);
        drop(client);
        Ok((connected, addr.port()))
    });
    let own = json!(std::process::id());
    let connected = of_port(&rows, ports.0);
    assert_eq!((&connected["socket_act"], &connected["socket_pid"]), (&json!("connect"), &own));
    let accepted = of_port(&rows, ports.1);
    let act = if accepts_are_seen() { "accept" } else { "listen" };
    assert_eq!((&accepted["socket_act"], &accepted["socket_pid"]), (&json!(act), &own));
    for row in [connected, accepted] {
        assert_eq!(row["socket_comm"], json!(scenarios::SCENE_COMM), "{row:?}");
        assert_eq!((&row["socket_uid"], &row["socket_gid"]), (&json!(0), &json!(0)));
        assert_eq!(row["socket_mntns_id"], row["mntns_id"]);
    }
}

#[test]
fn a_dead_peer_is_the_owners_whoever_runs() {
    require_root();
    let busy = Busy::start().expect("busy processes");
    let (dir, ns, caused) = unhidden(|| {
        let (dir, ns) = (TempDir::new()?, Namespace::new()?);
        let recording = Recording::start(dir.path(), &LOSSLESS);
        let caused = run_all(&ns, &["keepalive_timeout"])?;
        recording.stop(Signal::SIGTERM).totals();
        Ok((dir, ns, caused))
    })
    .expect("a reset");
    drop(busy);
    let rows = rows_in(&segments(dir.path(), Table::Resets), Some(ns.cookie()));
    let row = of_port(&rows, caused[0].src_port);
    assert_eq!(row["pid"], Json::Null, "nobody acts");
    assert_eq!(row["socket_pid"], json!(std::process::id()), "{row:?}");
}

#[test]
fn several_that_listen_on_one_port_are_nobody() {
    let (port, rows, _dir) = record(&[], || {
        let (listener, addr) = reuse_port()?;
        // Another process listens on the same port, so either may accept a connection.
        let mut other = Command::new("python3")
            .args(["-c", LISTEN_TOO, &addr.port().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(other.stdout.take().expect("a pipe")).read_line(&mut line)?;
        assert_eq!(line, "listening\n", "python3 is needed");
        // Enough connections that this process accepts some.
        let clients: Vec<TcpStream> =
            (0..32).map(|_| TcpStream::connect(addr)).collect::<Result<_, _>>()?;
        listener.set_nonblocking(true)?;
        let mut ours = 0;
        while let Ok((server, _)) = listener.accept() {
            linger_zero(&server)?;
            ours += 1;
        }
        assert!(ours > 0, "none of 32 connections came here");
        drop(clients);
        other.kill()?;
        other.wait()?;
        Ok(addr.port())
    });
    let by_task = rows.iter().filter(|row| row["src_port"] == json!(port));
    let mut seen = 0;
    for row in by_task.filter(|row| row["cause"] == "app_linger0") {
        seen += 1;
        let expected = if accepts_are_seen() { json!(std::process::id()) } else { Json::Null };
        assert_eq!(row["socket_pid"], expected, "{row:?}");
    }
    assert!(seen > 0, "{rows:?}");
}

const LISTEN_TOO: &str = "
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
s.bind(('127.0.0.1', int(sys.argv[1])))
s.listen(64)
print('listening', flush=True)
sys.stdin.read()
";

fn reuse_port() -> anyhow::Result<(TcpListener, SocketAddr)> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_reuse_port(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(64)?;
    let listener: TcpListener = socket.into();
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

#[test]
fn without_socket_owner_nobody_is_remembered() {
    let (port, rows, _dir) = record(&["--socket-owner=off"], || {
        let (listener, addr) = listen()?;
        let client = TcpStream::connect(addr)?;
        let _server = listener.accept()?;
        let port = client.local_addr()?.port();
        linger_zero(&client)?;
        drop(client);
        Ok(port)
    });
    let row = of_port(&rows, port);
    assert_eq!((&row["socket_pid"], &row["socket_act"]), (&Json::Null, &Json::Null));
    assert_eq!(row["socket_uid"], json!(0), "what the socket itself says");
}

#[test]
fn a_container_is_known_by_its_cgroup_and_its_namespace() {
    require_root();
    for runtime_is_there_first in [false, true] {
        let id = id(1 + u32::from(runtime_is_there_first));
        let dir = TempDir::new().expect("a folder");
        let before = runtime_is_there_first.then(|| Cgroup::make("docker", &id));
        let recording = Recording::start(dir.path(), &LOSSLESS);
        let cgroup = before.unwrap_or_else(|| Cgroup::make("docker", &id));
        let cgroup_id = cgroup.id();
        play_in(&cgroup);
        drop(cgroup);
        recording.stop(Signal::SIGTERM).totals();
        let rows = rows_in(&segments(dir.path(), Table::Resets), None);
        let ours: Vec<&Row> = rows.iter().filter(|row| row["container_id"] == json!(id)).collect();
        let by = |attribution: &str| {
            ours.iter().filter(|row| row["attribution"] == attribution).collect::<Vec<_>>()
        };
        let [socket] = by("socket")[..] else { panic!("{rows:#?}") };
        assert_eq!(socket["cause"], "app_linger0");
        assert_eq!(socket["socket_cgroup_id"], json!(cgroup_id));
        let [closed] = by("netns")[..] else { panic!("{rows:#?}") };
        assert_eq!(closed["cause"], "closed_port");
        let [timewait] = by("timewait")[..] else { panic!("{rows:#?}") };
        assert_eq!(timewait["cause"], "app_recv_shutdown");
        assert_eq!(timewait["socket_cgroup_id"], json!(cgroup_id));
        assert_eq!(timewait["socket_comm"], json!("python3"));
        for row in &ours {
            assert_eq!(row["runtime"], "docker");
            assert_eq!(row["container_name"], Json::Null, "no runtime knows it");
        }
        let lives = rows_in(&segments(dir.path(), Table::Containers), None);
        let life = lives.iter().rfind(|life| life["container_id"] == json!(id)).expect("its life");
        assert!(!life["to_time"].is_null(), "{life:?}");
        assert_eq!(life["cgroup_id"], json!(cgroup_id));
        assert_eq!(life["cgroup_path"], json!(format!("/docker/{id}")));
        assert_eq!(life["netns_cookie"], socket["netns_cookie"]);
    }
}

#[test]
fn with_cgroup_v1_alone_the_namespace_tells() {
    require_root();
    let id = id(50);
    let dir = TempDir::new().expect("a folder");
    let recording = Recording::start(dir.path(), &LOSSLESS);
    let cgroup = Cgroup::make_v1("docker", &id);
    play_in(&cgroup);
    drop(cgroup);
    // The recorder notices the end by the process, since there is no v2 cgroup.
    std::thread::sleep(Duration::from_secs(3));
    recording.stop(Signal::SIGTERM).totals();
    let rows = rows_in(&segments(dir.path(), Table::Resets), None);
    let ours: Vec<&Row> = rows.iter().filter(|row| row["container_id"] == json!(id)).collect();
    assert_eq!(ours.len(), 3, "{rows:#?}");
    for row in ours {
        assert_eq!((&row["attribution"], &row["runtime"]), (&json!("netns"), &json!("docker")));
    }
    let lives = rows_in(&segments(dir.path(), Table::Containers), None);
    let life = lives.iter().rfind(|life| life["container_id"] == json!(id)).expect("its life");
    assert!(!life["to_time"].is_null() && life["cgroup_id"].is_null(), "{life:?}");
}

#[test]
fn doctor_says_what_cgroups_can_tell() {
    require_root();
    // A separate mount namespace, in which v2 is unmounted.
    let script = "umount \"$1\" && exec \"$2\" doctor --json";
    let doctor = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(v2_root())
        .arg(common::RECORDER)
        .output()
        .expect("unshare (util-linux)");
    let said = String::from_utf8_lossy(&doctor.stderr);
    let report: Json = serde_json::from_slice(&doctor.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(report["owners"]["cgroups"], "v1");
    let note = report["owners"]["cgroups_note"].as_str().expect("a note");
    assert!(note.contains("network namespaces alone"), "{note}");
}

#[test]
fn filters_keep_what_was_asked_for() {
    require_root();
    let refused = |ns: &Namespace, port: u16| {
        ns.run(|| Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err())).expect("refused");
    };
    let (one, other) = (Namespace::new().expect("a namespace"), Namespace::new().expect("another"));
    let inode = one.inode().to_string();
    for (options, expected) in [
        (vec!["--port", "7011"], vec![(&one, 7011), (&other, 7011)]),
        (vec!["--netns", &inode], vec![(&one, 7011), (&one, 7012)]),
        (vec!["--netns", &inode, "--port", "7012", "--port", "7013"], vec![(&one, 7012)]),
    ] {
        let dir = TempDir::new().expect("a folder");
        let recording = Recording::start(dir.path(), &[&LOSSLESS[..], &options].concat());
        for ns in [&one, &other] {
            [7011, 7012].into_iter().for_each(|port| refused(ns, port));
        }
        let totals = recording.stop(Signal::SIGTERM).totals();
        assert_eq!(totals.seen, totals.written, "{options:?}");
        let resets = segments(dir.path(), Table::Resets);
        assert!(resets[0].footer.filtered.by_kernel);
        let found: Vec<(Json, Json)> = rows_in(&resets, None)
            .into_iter()
            .map(|row| (row["netns_cookie"].clone(), row["src_port"].clone()))
            .filter(|(cookie, _)| [json!(one.cookie()), json!(other.cookie())].contains(cookie))
            .collect();
        let expected: Vec<(Json, Json)> =
            expected.into_iter().map(|(ns, port)| (json!(ns.cookie()), json!(port))).collect();
        assert_eq!(found, expected, "{options:?}");
    }
}

#[test]
fn a_filter_by_container_keeps_its_resets_and_its_account() {
    require_root();
    let id = id(77);
    let dir = TempDir::new().expect("a folder");
    let recording =
        Recording::start(dir.path(), &[&LOSSLESS[..], &["--container", &id[..12]]].concat());
    let cgroup = Cgroup::make("docker", &id);
    // A reset outside the container must not be recorded.
    let ns = Namespace::new().expect("a namespace");
    ns.run(|| Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, 7011)).is_err())).expect("refused");
    play_in(&cgroup);
    drop(cgroup);
    let totals = recording.stop(Signal::SIGTERM).totals();
    let resets = segments(dir.path(), Table::Resets);
    resets.iter().for_each(common::Segment::check);
    let rows = rows_in(&resets, None);
    assert_eq!(rows.len() as u64, totals.written);
    assert_eq!((totals.seen, totals.lost), (totals.written, 0));
    assert!(rows.len() >= 3, "{rows:?}");
    assert!(rows.iter().all(|row| row["container_id"] == json!(id)), "{rows:?}");
}

#[test]
fn too_many_or_impossible_filters_are_a_usage_error() {
    let dir = TempDir::new().expect("a folder");
    let many: Vec<String> =
        (0..9).flat_map(|n| ["--port".to_owned(), (7000 + n).to_string()]).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let line = common::one_line(&common::recorder(dir.path(), &many).output().expect("runs"), 2);
    assert!(line.contains("--port") && line.contains('8'), "{line}");
    for wrong in
        [["--netns", "/nonexistent"], ["--port", "0"], ["--socket-owner=perhaps", "--icmp"]]
    {
        let output = common::recorder(dir.path(), &wrong).output().expect("runs");
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
}
