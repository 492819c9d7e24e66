//! A process that answers one statement after the other, and says of each how long it took.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail, ensure};

/// Where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replies {
    Stdout,
    /// The results are on stdout, which is not read here.
    Stderr,
}

/// One side of the comparison.
pub(crate) struct BenchSession {
    name: &'static str,
    child: Child,
    statements: Option<ChildStdin>,
    replies: Box<dyn BufRead + Send>,
}

impl std::fmt::Debug for BenchSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BenchSession").field("name", &self.name).finish_non_exhaustive()
    }
}

impl BenchSession {
    pub(crate) fn start(name: &'static str, mut command: Command, from: Replies) -> Result<Self> {
        command.stdin(Stdio::piped());
        match from {
            Replies::Stdout => command.stdout(Stdio::piped()),
            Replies::Stderr => command.stdout(Stdio::null()).stderr(Stdio::piped()),
        };
        let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let replies: Box<dyn Read + Send> = match (from, child.stdout.take(), child.stderr.take()) {
            (Replies::Stdout, Some(stdout), _) => Box::new(stdout),
            (Replies::Stderr, _, Some(stderr)) => Box::new(stderr),
            _ => bail!("no output of {name}"),
        };
        let statements = child.stdin.take();
        Ok(Self { name, child, statements, replies: Box::new(BufReader::new(replies)) })
    }

    /// Runs a statement: milliseconds inside of the process.
    pub(crate) fn run(&mut self, sql: &str) -> Result<f64> {
        let statements = self.statements.as_mut().context("the session is over")?;
        writeln!(statements, "{sql}")
            .and_then(|()| statements.flush())
            .with_context(|| format!("{} does not listen any more", self.name))?;
        self.reply("timing ").with_context(|| format!("{} failed in: {sql}", self.name))
    }

    /// Ends it: the peak of its memory in bytes.
    pub(crate) fn end(mut self) -> Result<u64> {
        self.statements = None;
        let kib = self.reply("peak ")?;
        let mut replies = self.replies;
        // A writer to a closed pipe would be killed.
        thread::spawn(move || std::io::copy(&mut replies, &mut std::io::sink()));
        let status = self.child.wait().context("cannot wait")?;
        ensure!(status.success(), "{} failed: {status}", self.name);
        Ok(kib as u64 * 1024)
    }

    /// The next line that begins so; what else is said goes to the user.
    fn reply(&mut self, key: &str) -> Result<f64> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.replies.read_line(&mut line).context("cannot read its replies")? == 0 {
                bail!("{} ended", self.name);
            }
            // Ours has the program's name before it.
            let text = line.trim().trim_start_matches("tcprst-analyze: ");
            if let Some(number) = text.strip_prefix(key) {
                return number.parse().with_context(|| format!("{} said: {text}", self.name));
            }
            if !text.starts_with("version ") {
                eprintln!("{}: {text}", self.name);
            }
        }
    }
}
