//! `tcprst-analyze timeline`: resets over time, with the quiet times too.

use chrono::{DateTime, Duration, Utc};

use crate::Outcome;
use crate::commands::Context;
use crate::commands::summary::places;
use crate::error::Error;
use crate::output::format::Format;
use crate::reports::dimension::Mix;
use crate::reports::notes::{self, Topics};
use crate::reports::{Narrow, ReportArgs, render, where_clause};
use crate::window::{self, Window, parse_length};

const SQL: &str = include_str!("../reports/timeline.sql");

/// Width of the longest bar.
const BAR: u32 = 40;

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = crate::reports::dimension::help(""))]
pub struct Args {
    /// Length of a step
    #[arg(long, value_name = "STEP", default_value = "1m")]
    window: String,

    /// Also by these, `,` between; see below
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    by: Vec<String>,

    #[command(flatten)]
    narrow: Narrow,

    #[command(flatten)]
    pub report: ReportArgs,
}

/// The SQL that answers; a bar is drawn where people read it.
pub fn sql(args: &Args, window: &Window, format: Format) -> Result<String, Error> {
    let length = parse_length(&args.window)?;
    let step = super::interval(length)?;
    let mix = Mix::of(&args.by)?;
    let bin = format!("date_bin(interval '{step}', time)");
    let (mut selected, mut grouped) = (format!("{bin} as \"time\""), bin);
    let (mut named, mut shown, mut order) =
        ("\"time\"".to_owned(), String::new(), "\"time\"".to_owned());
    if !args.by.is_empty() {
        selected.push_str(&format!(",\n{}", mix.selected()));
        grouped.push_str(&format!(", {}", mix.grouped()));
        named.push_str(&format!(",\n{}", mix.named()));
        shown =
            mix.name_list().iter().map(|name| format!("n.{name},")).collect::<Vec<_>>().join(" ");
        // Within a step the largest first, as in a summary.
        order.push_str(&format!(", resets desc, {}", mix.names()));
    }
    // A window that was asked for is shown whole, else what was recorded.
    let first = window.since.map(|since| floored(since, length));
    let last = window.until.map(|until| floored(until - Duration::microseconds(1), length));
    let end = |bound: Option<String>, otherwise: &str| {
        bound.unwrap_or_else(|| format!("(select {otherwise}(\"time\") from counted)"))
    };
    let bar = if format == Format::Table {
        format!(
            ",\n    repeat('\u{2588}', cast(ceil({BAR}.0 * coalesce(n.resets, 0) / \
             greatest(max(n.resets) over (), 1)) as bigint)) as bar"
        )
    } else {
        String::new()
    };
    Ok(render(
        SQL,
        &[
            ("step", &step),
            ("selected", &selected),
            ("grouped", &grouped),
            ("named", &named),
            ("places", &places(1 + mix.name_list().len())),
            ("where", &where_clause(&args.narrow.conditions(window)?)),
            ("first", &end(first, "min")),
            ("last", &end(last, "max")),
            ("shown", &shown),
            ("bar", &bar),
            ("order", &order),
        ],
    ))
}

/// The start of the step that holds a moment: steps are counted from 1970, as `date_bin` does.
fn floored(time: DateTime<Utc>, step: Duration) -> String {
    let us = step.num_microseconds().unwrap_or(i64::MAX).max(1);
    let floored = time.timestamp_micros().div_euclid(us) * us;
    window::sql(DateTime::from_timestamp_micros(floored).unwrap_or(time))
}

pub async fn run(args: &Args, context: &mut Context<'_>) -> Result<Outcome, Error> {
    let format = context.format();
    let sql = sql(args, &context.window, format)?;
    context.session.run_sql(&sql, format, context.out).await?;
    notes::tell(context.session, &[context.window], Topics::ALL).await?;
    Ok(Outcome::Complete)
}
