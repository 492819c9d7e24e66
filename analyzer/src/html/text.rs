//! Recorded text, prepared for the page.

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
        if letter.is_control() || is_invisible(letter) {
            shown.extend(letter.escape_unicode());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// Direction marks, joiners, zero-width characters, tags and line separators.
fn is_invisible(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
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
