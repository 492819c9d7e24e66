//! Lines on stderr. A message may quote a recorded name, so each is escaped.

use std::fmt::Display;
use std::io::{self, Write as _};

use super::escape::escape;

/// One line, after the program's name.
pub fn tell(message: &dyn Display) {
    say(&format_args!("tcprst-analyze: {message}"));
}

/// One line, for somebody at the shell.
pub(crate) fn say(message: &dyn Display) {
    let message = message.to_string();
    // If stderr is closed, there is nowhere to report that.
    let _ = writeln!(io::stderr(), "{}", escape(&message, |_| false));
}
