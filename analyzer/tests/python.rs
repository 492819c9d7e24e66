//! The promise that other tools read a recording without our code: pandas, polars, DuckDB and
//! pyarrow load a real one, and the notebooks run on it.
//!
//! Needs root, `python3` with `venv`, and the other programs of the workspace in the same folder
//! (`cargo build --release`); without them these tests fail, they do not skip.
//! `TCPRST_PYTHON` names a Python that has `notebooks/requirements.txt` already.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tcprst_schema::columns::COLUMNS;
use tempfile::TempDir;

#[test]
fn pandas_polars_duckdb_and_pyarrow_agree_with_the_schema() {
    // The second recording most likely has a file without rows: that must load too.
    for recording in [record_simulation(), record(|| ())] {
        let mut load = python().script("load.py");
        let said = run(load.args([recording.dir.path(), &columns_json()]));
        let rows: Vec<u64> = said.lines().map(|line| number_before(line, " rows")).collect();
        assert_eq!(rows, [recording.written; 4], "{said}");
    }
}

#[test]
fn every_notebook_runs() {
    let nothing = TempDir::new().expect("a temporary folder");
    for recording in [record_simulation().dir, record(|| ()).dir, nothing] {
        run(python().script("check.py").arg(recording.path()));
    }
}

/// The column contract in the form that `load.py` reads.
fn columns_json() -> PathBuf {
    let columns: Vec<Value> = COLUMNS
        .iter()
        .map(|column| {
            let kind = format!("{:?}", column.kind);
            json!({ "name": column.name, "kind": kind, "nullable": column.nullable })
        })
        .collect();
    let path = scratch().join("columns.json");
    fs::write(&path, Value::from(columns).to_string()).expect("columns.json is written");
    path
}

/// A recording, and the number of written resets that its recorder reported. It covers the whole
/// host, so other programs may contribute.
struct Recording {
    dir: TempDir,
    written: u64,
}

/// A recording of every scenario, in two segments or more.
fn record_simulation() -> Recording {
    let recording = record(|| {
        run(Command::new(program("xtask")).arg("simulate"));
    });
    assert!(recording.written > 0);
    let files = files_below(&recording.dir.path().join("resets"));
    assert!(files > 1, "{files} file: the tools must read several as one table");
    recording
}

/// Records with `tcprst-record` while the closure runs.
fn record(meanwhile: impl FnOnce()) -> Recording {
    let uid = fs::metadata("/proc/self").expect("/proc is mounted").uid();
    assert_eq!(uid, 0, "recording needs root: run these tests as root");
    let dir = TempDir::new().expect("a temporary folder");
    let recorder = Recorder::start(dir.path());
    meanwhile();
    let written = recorder.stop();
    Recording { dir, written }
}

/// A running `tcprst-record`, killed if it is dropped before it is stopped.
struct Recorder {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Recorder {
    fn start(out: &Path) -> Self {
        let mut child = Command::new(program("tcprst-record"))
            // Short, so that the two seconds of the slowest scenario always make several segments.
            .args(["--rotate-interval", "200ms", "--flush-interval", "100ms", "--out"])
            .arg(out)
            .stderr(Stdio::piped())
            .spawn()
            .expect("tcprst-record starts");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut recorder = Self { child, stderr };
        let mut said = String::new();
        while !said.contains("recording to") {
            let read = recorder.stderr.read_line(&mut said).expect("text on stderr");
            assert!(read > 0, "tcprst-record did not start: {said}");
        }
        recorder
    }

    /// Stops the recorder and returns the number of resets that it has written.
    fn stop(mut self) -> u64 {
        run(Command::new("sh").args(["-c", &format!("kill -INT {}", self.child.id())]));
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).expect("text on stderr");
        assert!(self.child.wait().expect("tcprst-record ends").success(), "{said}");
        number_before(&said, " written")
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // After `stop` the child is already reaped, and both calls fail.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program of this workspace.
fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_tcprst-analyze")).with_file_name(name);
    assert!(path.exists(), "{} is missing: run `cargo build --release`", path.display());
    path
}

/// A Python that has the packages of `notebooks/requirements.txt`.
struct Python(PathBuf);

impl Python {
    /// One of our scripts; caches of the libraries stay out of the user's home.
    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.0);
        command.arg(notebooks().join(name));
        command.env("IPYTHONDIR", scratch().join("ipython"));
        command.env("MPLCONFIGDIR", scratch().join("matplotlib"));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        // A time zone other than UTC, with a half-hour offset.
        command.env("TZ", "Asia/Kolkata");
        command
    }
}

/// `TCPRST_PYTHON`, or a virtual environment that is made once per `requirements.txt`.
fn python() -> &'static Python {
    static PYTHON: OnceLock<Python> = OnceLock::new();
    PYTHON.get_or_init(|| {
        if let Some(python) = env::var_os("TCPRST_PYTHON") {
            return Python(python.into());
        }
        let venv = scratch().join("python");
        let stamp = venv.join("requirements.txt");
        let python = venv.join("bin/python");
        let wanted = notebooks().join("requirements.txt");
        let text = fs::read_to_string(&wanted).expect("notebooks/requirements.txt");
        if fs::read_to_string(&stamp).is_ok_and(|had| had == text) {
            return Python(python);
        }
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        run(Command::new(&python).args(install).arg(&wanted));
        fs::write(&stamp, text).expect("the stamp is written");
        Python(python)
    })
}

fn notebooks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../notebooks")
}

/// Cargo's folder for files that tests keep.
fn scratch() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// Runs a command to its end and returns its stdout. A failure shows all of its output.
fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", command.get_program().display()));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}{errors}", output.status);
    said
}

/// The number before the first `unit`.
fn number_before(line: &str, unit: &str) -> u64 {
    (line.split(unit).next())
        .and_then(|before| before.rsplit(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("no number before {unit:?} in {line:?}"))
}

fn files_below(folder: &Path) -> usize {
    fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| if path.is_dir() { files_below(&path) } else { 1 })
        .sum()
}
