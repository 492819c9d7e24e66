//! Programs that scenarios run, most of them with a script on their standard input.

use std::env;
use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A program that a scenario runs is not installed on this machine.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not installed: `cargo xtask test` installs it")]
pub struct MissingTool(pub String);

/// Fails with [`MissingTool`] unless `program` is installed: for scenarios that must not begin
/// without it.
pub(crate) fn require(program: &str) -> Result<()> {
    if !installed(program) {
        bail!(MissingTool(program.to_owned()));
    }
    Ok(())
}

/// Starts `program`, gives it `script` to read, and returns its complaint, none if it succeeded. It
/// acts in the calling thread's network namespace.
pub(crate) fn try_tool(program: &str, args: &[&str], script: &str) -> Result<Option<String>> {
    let started = command(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!(MissingTool(program.to_owned()))
        }
        started => started.with_context(|| format!("start {program}"))?,
    };
    if let Some(mut input) = child.stdin.take() {
        match input.write_all(script.as_bytes()) {
            // It has ended without reading: its status and its complaint say why.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written.with_context(|| format!("write to {program}"))?,
        }
    }
    let output = child.wait_with_output().with_context(|| format!("wait for {program}"))?;
    if output.status.success() {
        return Ok(None);
    }
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Ok(Some(format!("{program}: {}: {complaint}", output.status)))
}

/// The same where it must succeed.
pub(crate) fn tool(program: &str, args: &[&str], script: &str) -> Result<()> {
    match try_tool(program, args, script)? {
        None => Ok(()),
        Some(complaint) => bail!(complaint),
    }
}

/// Several commands of `ip`, one a line, in one process.
pub(crate) fn ip(lines: &str) -> Result<()> {
    tool("ip", &["-batch", "-"], lines)
}

/// A command that is looked for in the folders of root's programs too.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", path());
    command
}

/// Whether there is such a program.
pub fn installed(program: &str) -> bool {
    env::split_paths(&path()).any(|folder| folder.join(program).is_file())
}

/// Not every PATH has the folders of root's tools. They come first: the `ip` of busybox, in
/// /bin, knows less.
fn path() -> String {
    let path = env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".to_owned());
    format!("/usr/sbin:/sbin:{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_has_the_status_and_the_text() -> Result<()> {
        let complaint = try_tool("sh", &["-s"], "echo no >&2; exit 3")?;
        assert_eq!(complaint.as_deref(), Some("sh: exit status: 3: no"));
        assert_eq!(try_tool("sh", &["-s"], "exit 0")?, None);
        Ok(())
    }

    #[test]
    fn a_missing_program_is_an_error_of_its_own() {
        let error = try_tool("tcprst-no-such-program", &[], "").expect_err("it is missing");
        assert!(error.is::<MissingTool>(), "{error:#}");
        let error = require("tcprst-no-such-program").expect_err("it is missing");
        assert_eq!(
            error.to_string(),
            "tcprst-no-such-program is not installed: `cargo xtask test` installs it"
        );
    }
}
