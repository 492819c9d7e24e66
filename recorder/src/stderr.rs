//! Words for the person who started the recorder, on stderr.

use std::io::{self, Write};

/// Writes one line. A closed stderr must not end a recording, as `eprintln!` would.
pub fn line(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "tcprst-record: {text}");
}

/// `eprintln!` with the program's name before it, and without its panic.
#[macro_export]
macro_rules! say {
    ($($argument:tt)+) => { $crate::stderr::line(format_args!($($argument)+)) };
}
