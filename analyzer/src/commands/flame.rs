//! `tcprst-analyze flame`: the kernel stacks as folded lines, or as a picture.

use std::path::PathBuf;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use futures::future::LocalBoxFuture;
use inferno::flamegraph;

use super::{Context, Report, Request};
use crate::error::Error;
use crate::output::file;
use crate::output::{Cells, escape};
use crate::reports::{Narrow, ReportArgs, render, where_clause};

const SQL: &str = include_str!("../reports/flame.sql");

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Without --svg, prints one line for each stack, `frame;frame;callee COUNT`, root first, whatever the
format. flamegraph.pl, inferno and speedscope read such lines.")]
pub(crate) struct Args {
    /// Draw a flame graph into this file, for a browser
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    #[command(flatten)]
    narrow: Narrow,

    #[command(flatten)]
    report: ReportArgs,
}

impl Report for Args {
    fn shared(&self) -> &ReportArgs {
        &self.report
    }

    fn sql(&self, request: &Request) -> Result<String, Error> {
        let conditions = self.narrow.conditions(&request.window)?;
        Ok(render(SQL, &[("where", &where_clause(&conditions))]))
    }

    /// Folded lines or a picture, whatever the format.
    fn answer<'a>(
        &'a self,
        sql: String,
        context: &'a mut Context<'_>,
    ) -> LocalBoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let lines = folded(&context.session.collect(&sql).await?)?;
            if let Some(path) = &self.svg {
                let failed = |source| Error::WriteFile { path: path.clone(), source };
                return file::write(path, &draw(&lines, &self.title()).map_err(failed)?);
            }
            for line in &lines {
                writeln!(context.out, "{line}").map_err(Error::Output)?;
            }
            context.out.flush().map_err(Error::Output)
        })
    }
}

impl Args {
    /// Title of the picture: it names what the stacks are narrowed to.
    fn title(&self) -> String {
        let mut title = "Kernel stacks of TCP resets".to_owned();
        for name in [&self.narrow.cause, &self.narrow.container].into_iter().flatten() {
            title.push_str(", ");
            title.push_str(name);
        }
        title
    }
}

/// `stack count` of each row. Recorded names are untrusted: none must end its line.
fn folded(batches: &[RecordBatch]) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    for batch in batches {
        let stacks = cast(batch.column(0), &DataType::Utf8View)?;
        let counts = cast(batch.column(1), &DataType::Int64)?;
        let counts = counts.as_primitive::<Int64Type>();
        for (stack, count) in stacks.as_string_view().iter().zip(counts) {
            let stack = escape(stack.unwrap_or_default(), Cells::OneLine);
            lines.push(format!("{stack} {}", count.unwrap_or_default()));
        }
    }
    Ok(lines)
}

/// The flame graph as SVG.
fn draw(lines: &[String], title: &str) -> std::io::Result<Vec<u8>> {
    let mut options = flamegraph::Options::default();
    options.title = title.to_owned();
    options.count_name = "resets".to_owned();
    let mut svg = Vec::new();
    if lines.is_empty() {
        // Inferno treats no stacks as an error. Its own picture of that says so.
        let nothing = ["(no resets) 1".to_owned()];
        flamegraph::from_lines(&mut options, nothing.iter().map(String::as_str), &mut svg)?;
    } else {
        flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut svg)?;
    }
    Ok(svg)
}
