//! The messages of a guest to the host: one JSON object a line on the second serial port.

use anyhow::{Context, Result};
use scenarios::{Column, Doctor};
use serde::{Deserialize, Serialize};

use super::checks::which::Test;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message {
    /// Worth a line, but no verdict.
    Note(String),
    Finding(Finding),
    Doctor(Doctor),
    Column(Column),
}

/// The verdict of one test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Finding {
    pub(crate) test: Test,
    pub(crate) passed: bool,
    /// The faults, or notes.
    pub(crate) details: Vec<String>,
}

pub(crate) fn parse(results: &str) -> Result<Vec<Message>> {
    results
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| {
            serde_json::from_str(line).with_context(|| format!("not a message of a guest: {line}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_says_arrives() -> Result<()> {
        let said = vec![
            Message::Note("no dummy".to_owned()),
            Message::Finding(Finding {
                test: Test::NoBtf,
                passed: false,
                details: vec!["exit code 1".to_owned()],
            }),
        ];
        // A serial line ends its lines as a typewriter does.
        let lines: Vec<_> = said.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        assert_eq!(parse(&(lines.join("\r\n") + "\r\n"))?, said);
        assert!(parse("{\"finding\":").is_err());
        Ok(())
    }
}
