//! Escapes untrusted text for a terminal.
//!
//! A process chooses its name, which could move the cursor, change the title or send input back
//! through the terminal. Characters that change the writing direction could disguise a row, and a
//! line separator that only some programs recognize would break it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};

/// Whether a character is escaped wherever people read it, in a terminal or on the HTML page: it
/// acts on the terminal, changes the writing direction, breaks the line or is invisible.
#[rustfmt::skip]
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Soft hyphen; the letters of Hangul and Khmer that are empty; Mongolian separator.
            '\u{ad}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            | '\u{3164}' | '\u{ffa0}'
            // Widths of zero, joiners, directions and separators of lines and paragraphs.
            | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}'
            // Annotations and tags.
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A value for people: unsafe characters are escaped as in Rust, `\n` or `\u{1b}`.
pub(crate) fn escape(value: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !value.chars().any(|c| is_unsafe(c) && !keep(c)) {
        return Cow::Borrowed(value);
    }
    let mut text = String::with_capacity(value.len() + 8);
    for c in value.chars() {
        if keep(c) || !is_unsafe(c) {
            text.push(c);
        } else if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.extend(c.escape_unicode());
        }
    }
    Cow::Owned(text)
}

/// Formats for programs go to a file unchanged. In a terminal, unsafe characters are shown as
/// `\u001b`, which JSON reads back as the same text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terminal {
    is_one: bool,
}

impl Terminal {
    pub(super) fn stdout() -> Self {
        Self { is_one: io::stdout().is_terminal() }
    }

    pub(super) fn guard(self, encoded: Vec<u8>) -> Vec<u8> {
        if !self.is_one {
            return encoded;
        }
        let Ok(text) = std::str::from_utf8(&encoded) else {
            return encoded;
        };
        let keep = |c| c == '\n' || c == '\t';
        if !text.chars().any(|c| is_unsafe(c) && !keep(c)) {
            return encoded;
        }
        let mut safe = String::with_capacity(text.len() + 8);
        for c in text.chars() {
            if keep(c) || !is_unsafe(c) {
                safe.push(c);
                continue;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        }
        safe.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_shown() {
        let shown = escape("a\u{1b}[2J\r\u{9b}\u{202e}\u{2028}\u{feff}é", |_| false);
        assert_eq!(shown, "a\\u{1b}[2J\\r\\u{9b}\\u{202e}\\u{2028}\\u{feff}é");
        assert!(matches!(escape("plain é 漢", |_| false), Cow::Borrowed(_)));
    }

    #[test]
    fn what_nobody_sees_is_escaped() {
        for c in
            "\u{ad}\u{61c}\u{115f}\u{180e}\u{200d}\u{2066}\u{3164}\u{ffa0}\u{fffb}\u{e0041}".chars()
        {
            assert!(is_unsafe(c), "{}", c.escape_unicode());
        }
        for c in "a é漢한ខ\u{301}🦀".chars() {
            assert!(!is_unsafe(c), "{}", c.escape_unicode());
        }
    }

    #[test]
    fn a_terminal_gets_json_that_reads_back() {
        let json = "{\"comm\":\"\u{7f}\u{202e}\u{e0001}\"}\n".as_bytes().to_vec();
        let safe = Terminal { is_one: true }.guard(json.clone());
        assert_eq!(safe, b"{\"comm\":\"\\u007f\\u202e\\udb40\\udc01\"}\n");
        let read = |bytes| serde_json::from_slice::<serde_json::Value>(bytes).ok();
        assert_eq!(read(&safe), read(&json));
        assert_eq!(Terminal { is_one: false }.guard(json.clone()), json);
    }
}
