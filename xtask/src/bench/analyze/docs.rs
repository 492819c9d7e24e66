//! Measurements of benches in docs/analyze.md, each between its own marks.

use std::fs;

use anyhow::{Context, Result};

use crate::workspace;

/// Replaces the text between the marks of a bench.
pub(crate) fn write(bench: &str, lines: &[String]) -> Result<()> {
    let path = workspace::root().join("docs").join("analyze.md");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let text = replace(&text, bench, lines)
        .with_context(|| format!("{} has no marks of {bench}", path.display()))?;
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

fn replace(text: &str, bench: &str, lines: &[String]) -> Option<String> {
    let (begin, end) = (format!("<!-- {bench} -->\n"), format!("<!-- end of {bench} -->\n"));
    let from = text.find(&begin)? + begin.len();
    let to = from + text[from..].find(&end)?;
    Some(format!("{}{}\n{}", &text[..from], lines.join("\n"), &text[to..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = "a\n<!-- x -->\nold\n<!-- end of x -->\nb\n";
        let new = replace(text, "x", &["new".to_owned()]).expect("there are marks");
        assert_eq!(new, "a\n<!-- x -->\nnew\n<!-- end of x -->\nb\n");
        assert_eq!(replace(text, "y", &[]), None);
    }
}
