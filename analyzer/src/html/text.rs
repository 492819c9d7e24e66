//! Recorded text, prepared for the page.

use crate::output::escape::is_unsafe;

/// Maximum number of characters shown of a name. Recorded text may have any length.
const MAX_SHOWN: usize = 300;

/// The text with escapes for characters that are invisible or change the reading direction.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (place, letter) in text.chars().enumerate() {
        if place == MAX_SHOWN {
            shown.push('…');
            break;
        }
        if is_unsafe(letter) {
            shown.extend(letter.escape_unicode());
        } else {
            shown.push(letter);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_not_be_seen_is_escaped() {
        assert_eq!(visible("a\u{1b}[2J\nb"), "a\\u{1b}[2J\\u{a}b");
        assert_eq!(visible("x\u{202e}gpj"), "x\\u{202e}gpj");
        assert_eq!(visible("<b>é 日本"), "<b>é 日本");
        assert_eq!(visible(&"x".repeat(1000)).chars().count(), MAX_SHOWN + 1);
    }
}
