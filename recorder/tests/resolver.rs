//! A runtime that hangs, answers nonsense, is away or comes back: resets are still recorded, memory
//! stays bounded, one warning reports the failure, and names return once the runtime is well again.
//! The runtimes here are fakes, because no real one can be made to do this; containers.rs uses real
//! ones.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value as Json, json};
use tcprst_schema::tables::Table;
use tempfile::TempDir;

mod common;
use common::container::{Cgroup, id, play_in};
use common::{LOSSLESS, Recording, Row, require_root, rows_in, segments};

/// How a fake treats a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Mood {
    /// Reads the request and never answers.
    Hangs = 0,
    /// Answers something that is not HTTP.
    Garbage = 1,
    /// Answers HTTP with a body that is not JSON.
    NoJson = 2,
    /// Sends an endless answer.
    Endless = 3,
    /// Answers as Docker does.
    Well = 4,
}

/// A fake runtime.
struct Fake {
    mood: Arc<AtomicU8>,
    asked: Arc<AtomicUsize>,
    /// Paths that it answered while it was well.
    answered: Arc<Mutex<Vec<String>>>,
    socket: PathBuf,
}

impl Fake {
    fn listen(dir: &Path, mood: Mood) -> Self {
        let socket = dir.join("fake.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let fake = Self {
            mood: Arc::new(AtomicU8::new(mood as u8)),
            asked: Arc::default(),
            answered: Arc::default(),
            socket,
        };
        let (mood, asked) = (Arc::clone(&fake.mood), Arc::clone(&fake.asked));
        let answered = Arc::clone(&fake.answered);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mood = mood.load(Ordering::SeqCst);
                asked.fetch_add(1, Ordering::SeqCst);
                let answered = Arc::clone(&answered);
                thread::spawn(move || {
                    // The client may close the connection: that is fine.
                    let _ = talk(stream.expect("a connection"), mood, &answered);
                });
            }
        });
        fake
    }

    fn change(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }

    /// Waits until it has answered a request for `path`.
    fn wait_for(&self, path: &str) {
        const LIMIT: Duration = Duration::from_secs(60);
        let began = Instant::now();
        loop {
            let answered = self.answered.lock().expect("locked").clone();
            if answered.iter().any(|one| one == path) {
                return;
            }
            let waited = began.elapsed();
            assert!(waited < LIMIT, "nobody asked for {path} in {waited:?}: {answered:?}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn talk(mut stream: UnixStream, mood: u8, answered: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let question = lines.next().unwrap_or(Ok(String::new()))?;
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    match mood {
        0 => thread::sleep(Duration::from_secs(60)),
        1 => stream.write_all(b"\x16\x03\x01\x02\x00rubbish\r\n\r\n")?,
        2 => stream.write_all(format!("{HEAD}Content-Length: 5\r\n\r\n[1,{{]").as_bytes())?,
        3 => {
            stream.write_all(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n").as_bytes())?;
            let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
            loop {
                stream.write_all(&chunk)?;
            }
        }
        _ => {
            let body = docker_says(&question);
            let status = if body.is_null() { "404 Not Found" } else { "200 OK" };
            let body = body.to_string();
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes())?;
            let path = question.split(' ').nth(1).unwrap_or_default();
            answered.lock().expect("locked").push(path.to_owned());
        }
    }
    Ok(())
}

fn docker_says(question: &str) -> Json {
    let path = question.split(' ').nth(1).unwrap_or_default();
    match path.split('/').collect::<Vec<_>>()[..] {
        ["", "info"] => json!({ "DockerRootDir": "/nonexistent" }),
        ["", "containers", "json"] => json!([]),
        ["", "containers", id, "json"] => json!({
            "Name": format!("/name-of-{}", &id[8..12]),
            "Image": format!("sha256:{id}"),
            "Config": { "Image": "shop:1", "Labels": {} },
        }),
        _ => Json::Null,
    }
}

fn record(socket: &Path) -> (TempDir, Recording) {
    require_root();
    let dir = TempDir::new().expect("a folder");
    let option = format!("docker={}", socket.display());
    let options = [&LOSSLESS[..], &["--runtime-socket", &option]].concat();
    let recording = Recording::start(dir.path(), &options);
    (dir, recording)
}

fn of_container(dir: &Path, id: &str) -> Vec<Row> {
    let mut rows = rows_in(&segments(dir, Table::Resets), None);
    rows.retain(|row| row["container_id"] == json!(id));
    rows
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_runtime_that_is_not_well_costs_names_and_one_warning() {
    for (number, mood) in
        [Mood::Hangs, Mood::Garbage, Mood::NoJson, Mood::Endless].into_iter().enumerate()
    {
        let folder = TempDir::new().expect("a folder");
        let fake = Fake::listen(folder.path(), mood);
        let (dir, recording) = record(&fake.socket);
        let id = id(100 + number as u32);
        let cgroup = Cgroup::make("docker", &id);
        play_in(&cgroup);
        // Longer than the time limit of a request plus the pause after it.
        thread::sleep(Duration::from_secs(6));
        assert!(resident_kib(recording.pid()) < 200 * 1024, "{mood:?}: memory");
        drop(cgroup);
        let asked = Instant::now();
        let ended = recording.stop(Signal::SIGTERM);
        assert!(asked.elapsed() < Duration::from_secs(10), "{mood:?} holds up the end");
        ended.totals();
        let warnings: Vec<&String> =
            ended.said.iter().filter(|line| line.contains("docker at")).collect();
        assert_eq!(warnings.len(), 1, "{mood:?}: {warnings:?}");
        assert!(fake.asked.load(Ordering::SeqCst) > 0, "{mood:?}: nobody asked");
        let rows = of_container(dir.path(), &id);
        assert_eq!(rows.len(), 3, "{mood:?}");
        assert!(rows.iter().all(|row| row["runtime"] == "docker"), "{mood:?}");
        assert!(rows.iter().all(|row| row["container_name"].is_null()), "{mood:?}");
    }
}

#[test]
fn a_runtime_that_is_not_there_is_told_once() {
    let folder = TempDir::new().expect("a folder");
    let (dir, recording) = record(&folder.path().join("nobody.sock"));
    let id = id(200);
    let cgroup = Cgroup::make("docker", &id);
    play_in(&cgroup);
    thread::sleep(Duration::from_secs(12));
    drop(cgroup);
    let ended = recording.stop(Signal::SIGTERM);
    ended.totals();
    let warnings = ended.said.iter().filter(|line| line.contains("docker at")).count();
    assert_eq!(warnings, 1, "{:?}", ended.said);
    assert_eq!(of_container(dir.path(), &id).len(), 3);
}

#[test]
fn names_come_by_themselves_when_it_is_well_again() {
    let folder = TempDir::new().expect("a folder");
    let fake = Fake::listen(folder.path(), Mood::Hangs);
    let (dir, recording) = record(&fake.socket);
    let (before, after) = (id(300), id(301));
    let cgroup = Cgroup::make("docker", &before);
    play_in(&cgroup);
    drop(cgroup);
    thread::sleep(Duration::from_secs(6));
    fake.change(Mood::Well);
    // The pause after a failure is over with the next listing of containers.
    fake.wait_for("/containers/json");
    let cgroup = Cgroup::make("docker", &after);
    play_in(&cgroup);
    // The last request about a container is for the digest of its image. The answer needs a
    // moment to arrive, on a busy machine a long one.
    fake.wait_for(&format!("/containers/{after}/json"));
    fake.wait_for(&format!("/images/sha256:{after}/json"));
    thread::sleep(Duration::from_secs(2));
    drop(cgroup);
    let ended = recording.stop(Signal::SIGTERM);
    ended.totals();
    let said: Vec<&String> = ended.said.iter().filter(|line| line.contains("docker at")).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[1].contains("answers again"), "{said:?}");
    let rows = of_container(dir.path(), &before);
    assert!(rows.len() == 3 && rows.iter().all(|row| row["container_name"].is_null()), "{rows:?}");
    let rows = of_container(dir.path(), &after);
    assert_eq!(rows.len(), 3);
    for row in rows {
        assert_eq!(
            (&row["container_name"], &row["container_image"]),
            (&json!("name-of-0301"), &json!("shop:1"))
        );
    }
}
