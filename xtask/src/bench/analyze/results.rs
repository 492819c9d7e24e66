//! Whether both sides say the same.

use anyhow::{Result, bail};

/// The rows of a CSV text without its header, sorted: no order is promised.
pub(crate) fn rows(csv: &[u8]) -> Vec<Vec<String>> {
    let mut rows = parse(&String::from_utf8_lossy(csv));
    if !rows.is_empty() {
        rows.remove(0);
    }
    for cell in rows.iter_mut().flatten() {
        if let Some(time) = time(cell) {
            *cell = time;
        }
    }
    rows.sort_unstable();
    rows
}

/// Fails, with the first difference, unless both are the same.
pub(crate) fn compare(name: &str, ours: &[Vec<String>], theirs: &[Vec<String>]) -> Result<()> {
    if ours == theirs {
        return Ok(());
    }
    let first = ours.iter().zip(theirs).find(|(ours, theirs)| ours != theirs);
    let (ours_first, theirs_first) = match first {
        Some((ours, theirs)) => (ours.join(","), theirs.join(",")),
        None => ("no such row".to_owned(), "no such row".to_owned()),
    };
    bail!(
        "THE RESULTS DIFFER in \"{name}\": ours has {} rows, DuckDB's {}; first difference: ours \
         {ours_first}, DuckDB's {theirs_first}",
        ours.len(),
        theirs.len()
    )
}

/// RFC 4180.
fn parse(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut cell = String::new();
    let mut is_quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(letter) = chars.next() {
        match letter {
            '"' if is_quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !is_quoted => {}
            '\n' if !is_quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            letter => cell.push(letter),
        }
    }
    if !cell.is_empty() || !row.is_empty() {
        row.push(cell);
        rows.push(row);
    }
    rows
}

/// A moment as both sides write it: `2026-10-01T00:00:00.5Z`, `2026-10-01 00:00:00.5+00`.
fn time(cell: &str) -> Option<String> {
    let bytes = cell.as_bytes();
    let is_time = bytes.len() > 19
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && matches!(bytes[10], b'T' | b' ')
        && bytes[13] == b':';
    let moment = cell.strip_suffix('Z').or_else(|| cell.strip_suffix("+00"))?;
    if !is_time {
        return None;
    }
    let moment = match moment.contains('.') {
        true => moment.trim_end_matches('0').trim_end_matches('.'),
        false => moment,
    };
    Some(moment.replacen('T', " ", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_a_row_are_one() {
        let ours = b"hour,text\n2026-10-01T00:00:00Z,\"a,\"\"b\"\"\"\n2026-10-01T01:00:00.250Z,\n";
        let theirs = b"hour,text\r\n2026-10-01 01:00:00.25+00,\r\n2026-10-01 00:00:00+00,\"a,\"\"b\"\"\"\r\n";
        assert_eq!(rows(ours), rows(theirs));
        assert!(compare("q", &rows(ours), &rows(theirs)).is_ok());
        assert_eq!(rows(ours).len(), 2);
    }

    #[test]
    fn a_difference_is_told() {
        let error = compare("q", &rows(b"n\n1\n"), &rows(b"n\n2\n")).expect_err("they differ");
        assert!(error.to_string().contains("ours 1, DuckDB's 2"), "{error}");
    }
}
