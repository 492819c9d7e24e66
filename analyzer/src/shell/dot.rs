//! Commands of the shell: they start with a dot, as in sqlite and duckdb.

use std::path::PathBuf;

use clap::ValueEnum as _;

use crate::output::format::Format;

pub(super) const HELP: &str = "\
.mode FORMAT      print results as table, csv, tsv, json, ndjson or markdown
.tables           list the tables
.schema [TABLE]   list the columns, with type and meaning
.timing on|off    print the time after each result, or not
.read FILE        run the SQL in a file
.refresh          read the recording again (each statement does this by itself)
.help             show this help
.quit             end the shell; Ctrl-D does the same

A statement ends with `;` and may have several lines. Tab completes names; Ctrl-R searches the
history. Ctrl-C cancels a query, or clears the line.
";

/// Every command, for completion.
pub(super) const NAMES: [&str; 8] =
    [".mode", ".tables", ".schema", ".timing", ".read", ".refresh", ".help", ".quit"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dot {
    Mode(Format),
    Tables,
    Schema(Option<String>),
    Timing(bool),
    Read(PathBuf),
    Refresh,
    Help,
    Quit,
}

/// Formats that a terminal can show.
pub(super) fn formats() -> impl Iterator<Item = (String, Format)> {
    Format::value_variants()
        .iter()
        .filter(|format| !format.is_binary())
        .filter_map(|format| Some((format.to_possible_value()?.get_name().to_owned(), *format)))
}

impl Dot {
    /// Parses a command; the error is the message for the user.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim_end().trim_end_matches(';').trim_end();
        let (name, argument) = match text.split_once(char::is_whitespace) {
            Some((name, argument)) => (name, argument.trim()),
            None => (text, ""),
        };
        // An argument without a meaning is a mistake.
        let alone = |command| match argument {
            "" => Ok(command),
            _ => Err(format!("{name} takes no argument")),
        };
        match name {
            ".tables" => alone(Dot::Tables),
            ".refresh" => alone(Dot::Refresh),
            ".help" => alone(Dot::Help),
            ".quit" | ".exit" | ".q" => alone(Dot::Quit),
            ".schema" => Ok(Dot::Schema((!argument.is_empty()).then(|| argument.to_owned()))),
            ".read" if argument.is_empty() => Err(".read needs a file".to_owned()),
            ".read" => Ok(Dot::Read(unquoted(argument).into())),
            ".timing" | ".timer" => match argument {
                "on" => Ok(Dot::Timing(true)),
                "off" => Ok(Dot::Timing(false)),
                _ => Err(format!("{name} takes on or off")),
            },
            ".mode" => formats().find(|(format, _)| format == argument).map_or_else(
                || {
                    let names: Vec<String> = formats().map(|(format, _)| format).collect();
                    Err(format!(".mode is one of {}", names.join(", ")))
                },
                |(_, format)| Ok(Dot::Mode(format)),
            ),
            _ => Err(format!("unknown command {name}: .help lists all commands")),
        }
    }
}

fn unquoted(text: &str) -> &str {
    for quote in ['\'', '"'] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)) {
            return inner;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        assert_eq!(Dot::parse(".mode  csv"), Ok(Dot::Mode(Format::Csv)));
        assert_eq!(Dot::parse(".tables;"), Ok(Dot::Tables));
        assert_eq!(Dot::parse(".schema"), Ok(Dot::Schema(None)));
        assert_eq!(Dot::parse(".schema resets"), Ok(Dot::Schema(Some("resets".into()))));
        assert_eq!(Dot::parse(".read 'a b.sql'"), Ok(Dot::Read("a b.sql".into())));
        assert_eq!(Dot::parse(".timing off"), Ok(Dot::Timing(false)));
        for (wrong, told) in [
            (".mode parquet", "table, csv, tsv, json, ndjson, markdown"),
            (".mode", ".mode is one of"),
            (".nosuch", ".help"),
            (".read", "needs a file"),
            (".quit now", "takes no argument"),
        ] {
            let problem = Dot::parse(wrong).expect_err(wrong);
            assert!(problem.contains(told), "{wrong}: {problem}");
        }
    }

    #[test]
    fn help_names_every_command() {
        for name in NAMES {
            assert!(HELP.lines().any(|line| line.starts_with(name)), "{name}");
        }
        assert!(formats().all(|(format, _)| HELP.contains(&format)));
    }
}
