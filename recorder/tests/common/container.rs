//! Containers made by hand: a cgroup that is named as a runtime would, and a program in it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A cgroup that is removed on drop.
pub(crate) struct Cgroup {
    folder: PathBuf,
    /// Mount point of v2.
    v2: PathBuf,
    /// A hierarchy of v1, mounted only for this cgroup.
    v1: Option<tempfile::TempDir>,
}

/// Mount point of cgroup v2, alone or next to v1.
pub(crate) fn v2_root() -> PathBuf {
    ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
        .map(PathBuf::from)
        .into_iter()
        .find(|root| root.join("cgroup.procs").exists())
        .expect("cgroup v2 is mounted")
}

impl Cgroup {
    /// Makes a cgroup where a runtime would, with the name that the runtime would use.
    pub(crate) fn make(runtime: &str, id: &str) -> Self {
        let v2 = v2_root();
        let folder = v2.join(runtime).join(id);
        fs::create_dir_all(&folder).expect("a cgroup");
        Self { folder, v2, v1: None }
    }

    /// Makes a cgroup in a hierarchy of v1. In v2 its processes are in the root, as on a host with
    /// v1 alone.
    pub(crate) fn make_v1(runtime: &str, id: &str) -> Self {
        let root = tempfile::TempDir::new().expect("a folder");
        let name = format!("none,name=tcprst{}", std::process::id());
        let mut mount = Command::new("mount");
        mount.args(["-t", "cgroup", "-o", &name, "cgroup"]).arg(root.path());
        assert!(mount.status().expect("mount").success(), "a hierarchy of cgroup v1");
        let folder = root.path().join(runtime).join(id);
        fs::create_dir_all(&folder).expect("a cgroup");
        Self { folder, v2: v2_root(), v1: Some(root) }
    }

    pub(crate) fn id(&self) -> u64 {
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(&self.folder).expect("a folder"))
    }

    fn join(&self, pid: u32) {
        let join = |folder: &Path| {
            fs::write(folder.join("cgroup.procs"), pid.to_string()).expect("join the cgroup");
        };
        if self.v1.is_some() {
            join(&self.v2);
        }
        join(&self.folder);
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The last process may still be exiting.
        for _ in 0..50 {
            if fs::remove_dir(&self.folder).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if let Some(root) = &self.v1 {
            // The rest disappears with the hierarchy.
            let _ = self.folder.parent().map(fs::remove_dir);
            let _ = Command::new("umount").arg(root.path()).status();
        }
    }
}

/// An id as container runtimes give them: 64 hexadecimal digits.
pub(crate) fn id(number: u32) -> String {
    // The number comes early: a filter takes the first twelve characters, as runtimes show them,
    // and containers of other tests reset at the same time.
    format!("5eed{number:08}{:052}", 0)
}

/// A program in its own network namespace, and in the cgroup from its first line on.
struct Program(Child);

const IN_CONTAINER: &str = "
import socket, struct, sys, time
sys.stdin.readline()
def server():
    s = socket.socket()
    s.bind(('127.0.0.1', 7001))
    s.listen(5)
    return s
def pair(s):
    c = socket.create_connection(('127.0.0.1', 7001))
    return c, s.accept()[0]
s = server()
c, a = pair(s)
a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
a.close()                                   # linger 0
c.close()
try: socket.create_connection(('127.0.0.1', 7002))
except ConnectionRefusedError: pass         # closed port: no socket
c, a = pair(s)
a.shutdown(socket.SHUT_WR)
c.recv(1)
time.sleep(0.1)                             # the FIN is acknowledged: FIN_WAIT2
a.close()                                   # which without a process is kept as TIME_WAIT
c.send(b'x')                                # and answers what comes late with a reset
c.close()
print('done', flush=True)
sys.stdin.readline()
";

impl Program {
    /// Starts the program in the namespace; it waits for a line before it does anything.
    fn start(cgroup: &Cgroup) -> Self {
        // unshare's child execs python: the first program of the cgroup in its namespaces.
        let child = Command::new("sh")
            .args(["-c", "read go; exec unshare --net --pid --fork --kill-child sh -c 'ip link set lo up; exec python3 -c \"$0\"' \"$0\"", IN_CONTAINER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh, unshare (util-linux), ip (iproute2), python3");
        cgroup.join(child.id());
        Self(child)
    }

    fn go(&mut self) {
        let stdin = self.0.stdin.as_mut().expect("a pipe");
        stdin.write_all(b"go\ngo\n").expect("it listens");
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().expect("a pipe"))
            .read_line(&mut line)
            .expect("a line");
        assert_eq!(line, "done\n");
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Three resets: by a socket, by a closed port, by TIME_WAIT.
pub(crate) fn play_in(cgroup: &Cgroup) {
    let mut program = Program::start(cgroup);
    program.go();
    program.end();
}
