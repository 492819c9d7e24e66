//! `tcprst-analyze flame`: the kernel stacks as folded lines, or as a picture.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use inferno::flamegraph;

use crate::Outcome;
use crate::commands::Context;
use crate::error::Error;
use crate::output;
use crate::reports::notes::{self, Topics};
use crate::reports::{Narrow, ReportArgs, render, where_clause};
use crate::window::Window;

const SQL: &str = include_str!("../reports/flame.sql");

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Without --svg, prints a line a stack, `frame;frame;callee COUNT`, root first, whatever the format:
what flamegraph.pl, inferno and speedscope read.")]
pub struct Args {
    /// Draw them into this file, for a browser
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    #[command(flatten)]
    narrow: Narrow,

    #[command(flatten)]
    pub report: ReportArgs,
}

/// The SQL that answers.
pub fn sql(args: &Args, window: &Window) -> Result<String, Error> {
    let conditions = args.narrow.conditions(window)?;
    Ok(render(SQL, &[("where", &where_clause(&conditions))]))
}

pub async fn run(args: &Args, context: &mut Context<'_>) -> Result<Outcome, Error> {
    let sql = sql(args, &context.window)?;
    let lines = folded(&context.session.collect(&sql).await?)?;
    match &args.svg {
        Some(path) => {
            let failed = |source| Error::WriteFile { path: path.clone(), source };
            write_whole(path, &draw(&lines, args).map_err(failed)?).map_err(failed)?;
        }
        None => {
            for line in &lines {
                writeln!(context.out, "{line}").map_err(Error::Output)?;
            }
            context.out.flush().map_err(Error::Output)?;
        }
    }
    notes::tell(context.session, &[context.window], Topics::ALL).await?;
    Ok(Outcome::Complete)
}

/// `stack count` of each row. Files may come from anywhere: a name must not end its line.
fn folded(batches: &[RecordBatch]) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    for batch in batches {
        let stacks = cast(batch.column(0), &DataType::Utf8View)?;
        let counts = cast(batch.column(1), &DataType::Int64)?;
        let counts = counts.as_primitive::<Int64Type>();
        for (stack, count) in stacks.as_string_view().iter().zip(counts) {
            let stack = output::escape(stack.unwrap_or_default(), output::Cells::OneLine);
            lines.push(format!("{stack} {}", count.unwrap_or_default()));
        }
    }
    Ok(lines)
}

/// The picture.
fn draw(lines: &[String], args: &Args) -> std::io::Result<Vec<u8>> {
    let mut options = flamegraph::Options::default();
    let of = |name: &Option<String>| name.as_ref().map(|name| format!(", {name}"));
    let narrowed: String =
        of(&args.narrow.cause).into_iter().chain(of(&args.narrow.container)).collect();
    options.title = format!("Kernel stacks of TCP resets{narrowed}");
    options.count_name = "resets".to_owned();
    let mut svg = Vec::new();
    if lines.is_empty() {
        // Inferno takes no stacks for an error, and its picture of it says so.
        let nothing = ["(no resets) 1".to_owned()];
        flamegraph::from_lines(&mut options, nothing.iter().map(String::as_str), &mut svg)?;
    } else {
        flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut svg)?;
    }
    Ok(svg)
}

/// A reader sees the old file or the new one, never a part.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    // A temporary file is private; this one is a result like any other.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
