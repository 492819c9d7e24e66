//! Messages for the user, on stderr.

use std::io::{self, Write};

/// Writes one line. `eprintln!` would panic, and so end the recording, if stderr is closed.
pub(crate) fn line(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "tcprst-record: {text}");
}

/// `1 reset`, `2 resets`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// `eprintln!` that prefixes the program's name and never panics.
macro_rules! say {
    ($($argument:tt)+) => { $crate::stderr::line(format_args!($($argument)+)) };
}

pub(crate) use say;
