//! Runs statements one by one and times each: `cargo xtask bench analyze` compares these times with
//! the times that other engines report.

use std::io::{BufRead as _, Write};
use std::time::Instant;

use crate::error::Error;
use crate::output::format::Format;
use crate::output::stderr::tell;
use crate::query::session::Session;

/// Runs the lines of stdin and reports on stderr the milliseconds of each, from its text to the
/// last byte of its result; at the end, the peak memory in KiB.
pub(crate) async fn run(
    session: &Session,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Error> {
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|source| Error::ReadSql { from: "stdin".into(), source })?;
        let start = Instant::now();
        session.run_sql(&line, format, out).await?;
        out.flush().map_err(Error::Output)?;
        tell(&format_args!("timing {}", start.elapsed().as_secs_f64() * 1000.0));
    }
    tell(&format_args!("peak {}", peak_kib()));
    Ok(())
}

/// The peak memory by the kernel's count, or 0 if unknown.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
