//! `tcprst-analyze losses`: what was seen and not recorded.

use crate::Outcome;
use crate::commands::Context;
use crate::error::Error;
use crate::reports::{ReportArgs, render, where_clause};
use crate::window::Window;

const SQL: &str = include_str!("../reports/losses.sql");

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub report: ReportArgs,
}

/// The SQL that answers: whatever overlaps the window.
pub fn sql(window: &Window) -> String {
    let conditions = window.overlapping("from_time", "to_time");
    render(SQL, &[("where", &where_clause(&conditions))])
}

pub async fn run(_: &Args, context: &mut Context<'_>) -> Result<Outcome, Error> {
    let sql = sql(&context.window);
    let format = context.format();
    context.session.run_sql(&sql, format, context.out).await?;
    Ok(Outcome::Complete)
}
