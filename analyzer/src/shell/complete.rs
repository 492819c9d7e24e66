//! Completion with Tab, and whether Enter ends the input.

use std::collections::BTreeSet;

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Result};

use super::dot;
use super::input::{Place, is_whole, place};
use crate::error::CATALOG;
use crate::query::session::Session;

const KEYWORDS: &[&str] = &[
    "all",
    "analyze",
    "and",
    "as",
    "asc",
    "between",
    "by",
    "case",
    "cast",
    "copy",
    "create",
    "cross",
    "current",
    "date",
    "desc",
    "describe",
    "distinct",
    "drop",
    "else",
    "end",
    "except",
    "exists",
    "explain",
    "external",
    "false",
    "filter",
    "first",
    "following",
    "from",
    "full",
    "group",
    "having",
    "ilike",
    "in",
    "inner",
    "intersect",
    "interval",
    "into",
    "is",
    "join",
    "last",
    "left",
    "like",
    "limit",
    "location",
    "not",
    "null",
    "nulls",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "over",
    "partition",
    "preceding",
    "range",
    "right",
    "rows",
    "select",
    "set",
    "show",
    "similar",
    "stored",
    "table",
    "tables",
    "then",
    "timestamp",
    "to",
    "true",
    "unbounded",
    "union",
    "using",
    "values",
    "view",
    "when",
    "where",
    "with",
    "within",
];

/// Keywords before a table name.
const BEFORE_TABLE: [&str; 6] = ["from", "join", "describe", "into", "table", "update"];

/// The names of a session.
#[derive(Debug, Default)]
pub(super) struct Names {
    tables: Vec<(String, Vec<String>)>,
    functions: BTreeSet<String>,
}

impl Names {
    pub(super) async fn new(session: &Session) -> Self {
        let context = session.context();
        let state = context.state();
        let mut names = Self::default();
        names.functions.extend(state.scalar_functions().keys().cloned());
        names.functions.extend(state.aggregate_functions().keys().cloned());
        names.functions.extend(state.window_functions().keys().cloned());
        names.functions.extend(state.table_functions().keys().cloned());
        if let Some(schema) = context.catalog(CATALOG).and_then(|all| all.schema("public")) {
            for name in schema.table_names() {
                let table = schema.table(&name).await.ok().flatten();
                let columns = table.map_or_else(Vec::new, |table| {
                    table.schema().fields().iter().map(|field| field.name().clone()).collect()
                });
                names.tables.push((name, columns));
            }
        }
        names
    }

    fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|(name, _)| name.as_str())
    }

    /// Columns of a table, or of all tables for an unknown name, which may be an alias.
    fn columns<'a>(&'a self, of: Option<&'a str>) -> impl Iterator<Item = &'a str> {
        let of = of.filter(|of| self.tables().any(|name| name == *of));
        let tables = self.tables.iter().filter(move |(name, _)| of.is_none_or(|of| of == name));
        tables.flat_map(|(_, columns)| columns.iter().map(String::as_str))
    }

    /// Completions for the word at the end of some SQL, and the start of the word.
    fn complete(&self, sql: &str) -> (usize, Vec<Pair>) {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let start = sql.trim_end_matches(is_word).len();
        let (before, word) = sql.split_at(start);
        if let Some(before) = before.strip_suffix('.') {
            let table = &before[before.trim_end_matches(is_word).len()..];
            return (start, matching(word, self.columns(Some(table))));
        }
        let before = before.trim_end();
        let last = before[before.trim_end_matches(is_word).len()..].to_lowercase();
        if BEFORE_TABLE.contains(&last.as_str()) {
            let schemas = ["information_schema"].into_iter();
            return (start, matching(word, self.tables().chain(schemas)));
        }
        // A list of all names does not help.
        if word.is_empty() {
            return (start, Vec::new());
        }
        let names = self.columns(None).chain(self.tables()).chain(KEYWORDS.iter().copied());
        let mut pairs = matching(word, names);
        let functions = matching(word, self.functions.iter().map(String::as_str));
        pairs.extend(functions.into_iter().map(|pair| Pair {
            display: format!("{}()", pair.display),
            replacement: format!("{}(", pair.replacement),
        }));
        (start, pairs)
    }
}

/// The names that begin with the word, each once, in the case of the word.
fn matching<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Vec<Pair> {
    let is_upper = word.chars().next().is_some_and(char::is_uppercase);
    let begins =
        |name: &&str| name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let found: BTreeSet<&str> = names.filter(begins).collect();
    found
        .into_iter()
        .map(|name| {
            let replacement = if is_upper { name.to_uppercase() } else { name.to_owned() };
            Pair { display: name.to_owned(), replacement }
        })
        .collect()
}

/// The completer and validator of the editor.
pub(super) struct Helper {
    names: Names,
    files: FilenameCompleter,
    /// Whether SQL may name files.
    allows_files: bool,
}

impl Helper {
    pub(super) fn new(names: Names, allows_files: bool) -> Self {
        Self { names, files: FilenameCompleter::new(), allows_files }
    }

    pub(super) fn set_names(&mut self, names: Names) {
        self.names = names;
    }

    fn dot(&self, line: &str, at: usize) -> Result<(usize, Vec<Pair>)> {
        let text = &line[..at];
        let command = text.trim_start();
        let Some((name, argument)) = command.split_once(char::is_whitespace) else {
            return Ok((at - command.len(), matching(command, dot::NAMES.into_iter())));
        };
        let word = argument.trim_start();
        let formats: Vec<String> = dot::formats().map(|(format, _)| format).collect();
        let found = match name {
            ".read" => return self.files.complete_path(line, at),
            ".mode" => matching(word, formats.iter().map(String::as_str)),
            ".schema" => matching(word, self.names.tables()),
            ".timing" => matching(word, ["on", "off"].into_iter()),
            _ => Vec::new(),
        };
        Ok((at - word.len(), found))
    }
}

impl Completer for Helper {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> Result<(usize, Vec<Pair>)> {
        if line.trim_start().starts_with('.') {
            return self.dot(line, at);
        }
        match place(&line[..at]) {
            Place::Quoted { quote: '\'', .. } if self.allows_files => {
                self.files.complete_path(line, at)
            }
            Place::Quoted { quote: '"', from } => {
                let names = self.names.columns(None).chain(self.names.tables());
                Ok((from, matching(&line[from..at], names)))
            }
            Place::Quoted { .. } | Place::Comment => Ok((at, Vec::new())),
            Place::Sql { .. } => Ok(self.names.complete(&line[..at])),
        }
    }
}

impl Validator for Helper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> Result<ValidationResult> {
        Ok(if is_whole(context.input()) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

impl Hinter for Helper {
    type Hint = String;
}

impl Highlighter for Helper {}

impl rustyline::Helper for Helper {}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            tables: vec![
                ("resets".into(), vec!["caller".into(), "cause".into()]),
                ("losses".into(), vec!["count".into(), "caller".into()]),
            ],
            functions: ["count".to_owned(), "cause_text".to_owned()].into(),
        }
    }

    fn offered(sql: &str) -> Vec<String> {
        names().complete(sql).1.into_iter().map(|pair| pair.replacement).collect()
    }

    #[test]
    fn each_place_has_its_names() {
        assert_eq!(offered("select count(*) from re"), ["resets"]);
        assert_eq!(offered("select * from "), ["information_schema", "losses", "resets"]);
        assert_eq!(offered("select caus"), ["cause", "cause_text("]);
        assert_eq!(offered("select losses.c"), ["caller", "count"]);
        assert_eq!(offered("select r.ca"), ["caller", "cause"]);
        assert_eq!(offered("SELECT * FR"), ["FROM"]);
        assert_eq!(offered("select "), [""; 0]);
        assert_eq!(names().complete("select é, cal").0, "select é, ".len());
    }
}
