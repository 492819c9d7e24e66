//! The program in a terminal, with typed input and visible output.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::common::Recording;

/// A program without new output for this long hangs.
const HANGS: Duration = Duration::from_secs(60);

pub(crate) struct Terminal {
    child: Child,
    keyboard: Option<ChildStdin>,
    screen: Receiver<Vec<u8>>,
    shown: String,
    /// Position up to which the output was checked.
    seen: usize,
    /// The folder of the shell's history.
    pub(crate) state: Arc<TempDir>,
}

impl Terminal {
    /// Starts the program on a recording, in a terminal of 160 columns.
    pub(crate) fn start(recording: &Recording, arguments: &[&str]) -> Self {
        Self::start_with(recording, arguments, Arc::new(TempDir::new().unwrap()))
    }

    pub(crate) fn start_with(
        recording: &Recording,
        arguments: &[&str],
        state: Arc<TempDir>,
    ) -> Self {
        let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/behaviour/in_terminal.py");
        let mut child = Command::new("python3")
            .arg(driver)
            .arg(env!("CARGO_BIN_EXE_tcprst-analyze"))
            .arg("--data")
            .arg(recording.path())
            .args(arguments)
            .env("TERM", "xterm")
            .env("XDG_STATE_HOME", state.path())
            .env_remove("TCPRST_DATA")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 starts");
        let (sender, screen) = channel();
        let mut output = child.stdout.take().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        let keyboard = child.stdin.take();
        Self { child, keyboard, screen, shown: String::new(), seen: 0, state }
    }

    /// The shell, at its first prompt.
    pub(crate) fn shell(recording: &Recording, arguments: &[&str]) -> Self {
        let mut terminal = Self::start(recording, arguments);
        terminal.prompt();
        terminal
    }

    pub(crate) fn type_in(&mut self, keys: &str) {
        let keyboard = self.keyboard.as_mut().unwrap();
        keyboard.write_all(keys.as_bytes()).unwrap();
        keyboard.flush().unwrap();
    }

    /// Waits until the text is shown; returns all output since the last call.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.shown[self.seen..].find(text) {
                let (start, end) = (self.seen, self.seen + at + text.len());
                self.seen = end;
                return self.shown[start..end].to_owned();
            }
            match self.screen.recv_timeout(HANGS) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("no {text:?} after: {:?}", &self.shown[self.seen..]),
            }
        }
    }

    /// Waits for the next prompt, with an empty line after it.
    pub(crate) fn prompt(&mut self) -> String {
        self.wait_for("tcprst> ")
    }

    /// Types a line and waits for the prompt after its answer. The answer starts after the echoed
    /// line.
    pub(crate) fn line(&mut self, line: &str) -> String {
        self.type_in(line);
        self.type_in("\r");
        // The editor ends the drawn line before anything runs.
        self.wait_for("\n");
        self.prompt()
    }

    /// Waits until the program has ended; returns its exit code and its last output.
    pub(crate) fn end(mut self) -> (i32, String, Arc<TempDir>) {
        while let Ok(bytes) = self.screen.recv_timeout(HANGS) {
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
        let code = self.child.wait().unwrap().code().unwrap();
        (code, self.shown[self.seen..].to_owned(), Arc::clone(&self.state))
    }
}

impl Drop for Terminal {
    /// Ends the program, which still waits at its prompt after a failed test.
    fn drop(&mut self) {
        drop(self.keyboard.take());
        let _ = self.child.wait();
    }
}
