//! Finds the end of a statement while it is typed.

/// The syntax at the end of the input so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Plain SQL; `is_complete` if it ends with `;`.
    Sql {
        is_complete: bool,
    },
    /// Within `'...'` or `"..."`; its text starts at `from`.
    Quoted {
        quote: char,
        from: usize,
    },
    Comment,
}

/// Scans the SQL typed so far.
pub(super) fn place(text: &str) -> Place {
    let mut is_complete = false;
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let next = rest.peek().map(|(_, next)| *next);
        match c {
            // A doubled quote ends one text and starts the next, with the same result.
            '\'' | '"' => {
                is_complete = false;
                if !rest.by_ref().any(|(_, end)| end == c) {
                    return Place::Quoted { quote: c, from: at + 1 };
                }
            }
            '-' if next == Some('-') => {
                if !rest.by_ref().any(|(_, end)| end == '\n') {
                    // The comment extends to the end of the input.
                    return Place::Sql { is_complete };
                }
            }
            '/' if next == Some('*') => {
                rest.next();
                let mut before = ' ';
                let is_closed = rest.by_ref().any(|(_, c)| {
                    let closes = before == '*' && c == '/';
                    before = c;
                    closes
                });
                if !is_closed {
                    return Place::Comment;
                }
            }
            ';' => is_complete = true,
            c if c.is_whitespace() => {}
            _ => is_complete = false,
        }
    }
    Place::Sql { is_complete }
}

/// Whether Enter ends the input.
pub(super) fn is_whole(text: &str) -> bool {
    let text = text.trim();
    text.is_empty()
        || text.starts_with('.')
        || matches!(text, "quit" | "exit")
        || place(text) == Place::Sql { is_complete: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_ends_with_a_semicolon_that_is_one() {
        for whole in [
            "",
            ".help",
            "select 1;",
            "select 1; ",
            "select ';';",
            "a; -- b",
            "a;/*;*/",
            "quit",
            "select 'it''s';",
        ] {
            assert!(is_whole(whole), "{whole}");
        }
        for part in [
            "select 1",
            "select ';",
            "select 1 -- ;",
            "/* ;",
            "select \"a;",
            "a; b",
            "select 'it'';",
        ] {
            assert!(!is_whole(part), "{part}");
        }
        assert_eq!(place("select * from '/tm"), Place::Quoted { quote: '\'', from: 15 });
    }
}
