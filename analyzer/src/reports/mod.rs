//! The parts that reports share. A report is SQL in `reports/*.sql`; its command fills in the window
//! and other arguments, so that `--sql` prints SQL that anybody can read, copy and run.

pub(crate) mod dimension;
pub(crate) mod event;
pub(crate) mod explanation;
pub(crate) mod notes;
pub(crate) mod prose;

use chrono::Duration;

use crate::error::{Error, ReportError};
use crate::window::Window;

/// Arguments that every report has.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ReportArgs {
    /// Print the SQL of the report instead of running it
    #[arg(long = "sql", id = "show_sql")]
    pub show_sql: bool,
}

/// Puts values into the `{name}` placeholders of a template. A line that is empty then is removed;
/// the lines of a value are indented like the first.
pub(crate) fn render(template: &str, values: &[(&str, &str)]) -> String {
    let mut sql = String::with_capacity(template.len() * 2);
    for line in template.lines() {
        let mut filled = line.to_owned();
        let indent = &line[..line.len() - line.trim_start().len()];
        for (name, value) in values {
            let value = value.replace('\n', &format!("\n{indent}"));
            filled = filled.replace(&format!("{{{name}}}"), &value);
        }
        if !filled.trim().is_empty() || line.trim().is_empty() {
            sql.push_str(&filled);
            sql.push('\n');
        }
    }
    sql
}

/// `where` with these conditions, or nothing without any.
pub(crate) fn where_clause(conditions: &[String]) -> String {
    if conditions.is_empty() {
        return String::new();
    }
    format!("where {}", conditions.join("\n  and "))
}

/// A text as an SQL literal.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `1, 2, 3`: columns of a select by position.
pub(crate) fn places(count: usize) -> String {
    (1..=count).map(|place| place.to_string()).collect::<Vec<_>>().join(", ")
}

/// A length of time as an SQL interval: `5 minutes`.
pub(crate) fn interval(length: Duration) -> Result<String, Error> {
    let seconds = length.num_seconds();
    if seconds < 1 || length.subsec_nanos() != 0 || length > Duration::days(366) {
        return Err(ReportError::Step.into());
    }
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let unit = units.into_iter().find(|(unit, _)| seconds % unit == 0);
    let (unit, name) = unit.unwrap_or((1, "second"));
    let count = seconds / unit;
    Ok(format!("{count} {name}{}", if count == 1 { "" } else { "s" }))
}

/// Arguments that narrow a report on `resets`.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Narrow {
    /// Only resets of this cause
    #[arg(long, value_name = "CAUSE")]
    pub cause: Option<String>,

    /// Only resets of the container or pod with this name
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
}

impl Narrow {
    /// The conditions in SQL, including those of the window.
    pub(crate) fn conditions(&self, window: &Window) -> Result<Vec<String>, Error> {
        let mut conditions = window.on("time");
        if let Some(cause) = &self.cause {
            explanation::check_cause(cause)?;
            conditions.push(format!("cause = {}", literal(cause)));
        }
        if let Some(name) = &self.container {
            let name = literal(name);
            conditions.push(format!(
                "(container_name = {name} or k8s_container = {name} or k8s_pod = {name})"
            ));
        }
        Ok(conditions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled() {
        let template = "select {columns}\n    {where}\n\nlimit {limit}\n";
        let filled = [("columns", "a, b"), ("where", "where x\n  and y"), ("limit", "3")];
        assert_eq!(render(template, &filled), "select a, b\n    where x\n      and y\n\nlimit 3\n");
        let empty = [("columns", "a"), ("where", ""), ("limit", "3")];
        assert_eq!(render(template, &empty), "select a\n\nlimit 3\n");
    }

    #[test]
    fn text_cannot_leave_its_literal() {
        assert_eq!(literal("a'; drop"), "'a''; drop'");
    }
}
