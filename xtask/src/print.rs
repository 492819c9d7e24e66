//! Standard output: the only place that writes to it.

use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};

/// Writes `text` and a line end. A closed pipe (`| head`) is not an error.
pub(crate) fn line(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("write to stdout")
        }
        _ => Ok(()),
    }
}
