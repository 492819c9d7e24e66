//! `tcprst-analyze summary`: how many resets, by whatever mix of dimensions.

use crate::Outcome;
use crate::commands::Context;
use crate::error::Error;
use crate::reports::dimension::Mix;
use crate::reports::notes::{self, Topics};
use crate::reports::{Narrow, ReportArgs, render, where_clause};
use crate::window::{Window, parse_length};

const SQL: &str = include_str!("../reports/summary.sql");

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = crate::reports::dimension::help(""))]
pub struct Args {
    /// What to count by, `,` between; see below
    #[arg(long, value_name = "WHAT", value_delimiter = ',', default_value = "cause")]
    by: Vec<String>,

    /// Also by steps of this length: `5m`, `1h`
    #[arg(long, value_name = "STEP")]
    window: Option<String>,

    /// At most so many rows
    #[arg(long, value_name = "N")]
    limit: Option<u32>,

    #[command(flatten)]
    narrow: Narrow,

    #[command(flatten)]
    pub report: ReportArgs,
}

/// The SQL that answers.
pub fn sql(args: &Args, window: &Window) -> Result<String, Error> {
    let mix = Mix::of(&args.by)?;
    let step = args.window.as_deref().map(parse_length).transpose()?;
    let step = step.map(super::interval).transpose()?;
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
    let limit = args.limit.map_or(String::new(), |limit| format!("limit {limit}"));
    Ok(render(
        SQL,
        &[
            ("title", &title),
            ("selected", &selected),
            ("grouped", &grouped),
            ("named", &named),
            ("names", &names),
            ("places", &places(names.split(", ").count())),
            ("where", &where_clause(&args.narrow.conditions(window)?)),
            ("order", &order),
            ("limit", &limit),
        ],
    ))
}

/// `1, 2, 3`.
pub(super) fn places(count: usize) -> String {
    (1..=count).map(|place| place.to_string()).collect::<Vec<_>>().join(", ")
}

pub async fn run(args: &Args, context: &mut Context<'_>) -> Result<Outcome, Error> {
    let sql = sql(args, &context.window)?;
    let format = context.format();
    context.session.run_sql(&sql, format, context.out).await?;
    notes::tell(context.session, &[context.window], Topics::ALL).await?;
    Ok(Outcome::Complete)
}
