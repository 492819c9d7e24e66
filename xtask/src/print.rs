//! The one place that writes to stdout.

use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};

/// Writes `text` and a line end. A reader that has gone away (`| head`) is not an error.
pub(crate) fn line(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("write to stdout")
        }
        _ => Ok(()),
    }
}
