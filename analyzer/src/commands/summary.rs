//! `tcprst-analyze summary`: how many resets, by any combination of dimensions.

use super::{Report, Request};
use crate::error::Error;
use crate::output::numbers::parse_count;
use crate::reports::dimension::Mix;
use crate::reports::{Narrow, ReportArgs, interval, places, render, where_clause};
use crate::window::parse_length;

const SQL: &str = include_str!("../reports/summary.sql");

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = crate::reports::dimension::help(""))]
pub(crate) struct Args {
    /// Dimensions to count by, separated by `,`; see below
    #[arg(long, value_name = "WHAT", value_delimiter = ',', default_value = "cause")]
    by: Vec<String>,

    /// Also count by steps of this length: `5m`, `1h`
    #[arg(long, value_name = "STEP")]
    window: Option<String>,

    /// Print at most N rows
    #[arg(long, value_name = "N", value_parser = parse_count)]
    limit: Option<u32>,

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
        let mix = Mix::from_names(&self.by)?;
        let step = self.window.as_deref().map(parse_length).transpose()?;
        let step = step.map(interval).transpose()?;
        let (mut selected, mut grouped) = (mix.selected(), mix.grouped());
        let (mut named, mut names, mut order) = (mix.named(), mix.names(), String::new());
        let mut title = format!("{names}, most first");
        if let Some(step) = step {
            let bin = format!("date_bin(interval '{step}', time)");
            selected = format!("{bin} as \"time\",\n{selected}");
            grouped = format!("{bin}, {grouped}");
            named = format!("\"time\",\n{named}");
            title = format!("time (steps of {step}) and {names}");
            names = format!("\"time\", {names}");
            order = "\"time\", ".to_owned();
        }
        order.push_str(&format!("resets desc, {}", mix.names()));
        let limit = self.limit.map_or(String::new(), |limit| format!("limit {limit}"));
        Ok(render(
            SQL,
            &[
                ("title", &title),
                ("selected", &selected),
                ("grouped", &grouped),
                ("named", &named),
                ("names", &names),
                ("places", &places(names.split(", ").count())),
                ("where", &where_clause(&self.narrow.conditions(&request.window)?)),
                ("order", &order),
                ("limit", &limit),
            ],
        ))
    }
}
