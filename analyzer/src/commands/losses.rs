//! `tcprst-analyze losses`: resets that have no row: lost, or counted in a storm.

use super::{Report, Request};
use crate::error::Error;
use crate::reports::notes::Topics;
use crate::reports::{ReportArgs, render, where_clause};

const SQL: &str = include_str!("../reports/losses.sql");

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    report: ReportArgs,
}

impl Report for Args {
    fn shared(&self) -> &ReportArgs {
        &self.report
    }

    /// Every row that overlaps the window.
    fn sql(&self, request: &Request) -> Result<String, Error> {
        let conditions = request.window.overlapping("from_time", "to_time");
        Ok(render(SQL, &[("where", &where_clause(&conditions))]))
    }

    fn topics(&self) -> Result<Option<Topics>, Error> {
        Ok(None)
    }
}
