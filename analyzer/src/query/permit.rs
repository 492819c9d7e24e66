//! The permissions of SQL. The user may have found the SQL anywhere, and the files belong to the
//! recorder: without `--allow-files`, only statements that read the recording run.

use std::path::Path;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement;

use crate::error::Error;
use crate::query::engine::Engine;

/// Refuses a statement before it is planned. Planning would open other files already, or complain
/// about details of a statement that is refused anyway.
pub(crate) fn check_statement(
    statement: &Statement,
    state: &SessionState,
    engine: &Engine,
) -> Result<(), Error> {
    let is_recorded = |place: &str| {
        let local = ListingTableUrl::parse(place)
            .ok()
            .filter(|url| url.scheme() == "file")
            .and_then(|url| url.get_url().to_file_path().ok());
        engine.recorded().holds(local.as_deref().unwrap_or(Path::new(place)))
    };
    if !engine.allows_files() {
        return match statement {
            Statement::CopyTo(_) => Err(Error::ReadOnly { what: "COPY".into() }),
            Statement::CreateExternalTable(_) => {
                Err(Error::ReadOnly { what: "CREATE EXTERNAL TABLE".into() })
            }
            other => {
                match state.resolve_table_references(other)?.iter().find(|r| names_file(r.table()))
                {
                    Some(file) => Err(Error::OtherFile { path: file.table().to_owned() }),
                    None => Ok(()),
                }
            }
        };
    }
    match statement {
        Statement::Explain(explain) => check_statement(&explain.statement, state, engine),
        Statement::CopyTo(copy) if is_recorded(&copy.target) => {
            Err(Error::Recorded { what: "COPY", path: copy.target.clone() })
        }
        // INSERT would write to such a table, and the recording has its tables already.
        Statement::CreateExternalTable(table) => {
            match table.locations.iter().find(|place| is_recorded(place)) {
                Some(place) => {
                    Err(Error::Recorded { what: "CREATE EXTERNAL TABLE", path: place.clone() })
                }
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Whether the name of a table is the path of a file.
fn names_file(name: &str) -> bool {
    const EXTENSIONS: [&str; 9] =
        ["parquet", "csv", "tsv", "json", "ndjson", "jsonl", "arrow", "arrows", "avro"];
    let extension = Path::new(name).extension().and_then(|found| found.to_str());
    name.contains('/') || extension.is_some_and(|found| EXTENSIONS.contains(&found))
}

/// Refuses a plan that does anything but read, at any depth (`explain analyze copy ...` would
/// write).
pub(crate) fn check_plan(plan: &LogicalPlan) -> Result<(), Error> {
    let mut refused = None;
    plan.apply_with_subqueries(|node| {
        refused = match node {
            LogicalPlan::Ddl(ddl) => Some(ddl.name().to_owned()),
            LogicalPlan::Dml(dml) => Some(dml.op.name().to_owned()),
            LogicalPlan::Copy(_) => Some("COPY".to_owned()),
            LogicalPlan::Statement(statement) => Some(statement.name().to_owned()),
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        Ok(TreeNodeRecursion::Stop)
    })?;
    refused.map_or(Ok(()), |what| Err(Error::ReadOnly { what }))
}

/// Whether a statement prints rows, judged by its first word.
pub(crate) fn has_result(statement: &Statement) -> bool {
    const SILENT: [&str; 6] = ["CREATE", "DROP", "SET", "RESET", "PREPARE", "DEALLOCATE"];
    let text = statement.to_string();
    let first = text.split_whitespace().next().unwrap_or_default();
    !SILENT.contains(&first.to_uppercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::names_file;

    #[test]
    fn a_file_is_told_from_a_table() {
        for name in ["x.parquet", "/tmp/x", "./x.csv", "https://host/x.json", "dir/"] {
            assert!(names_file(name), "{name}");
        }
        for name in ["resets", "reset", "information_schema", "a.b"] {
            assert!(!names_file(name), "{name}");
        }
    }
}
