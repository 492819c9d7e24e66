//! `tcprst-analyze timeline`: resets over time, including times without any.

use chrono::{DateTime, Duration, Utc};

use super::{Report, Request};
use crate::error::Error;
use crate::output::format::Format;
use crate::reports::dimension::Mix;
use crate::reports::{Narrow, ReportArgs, interval, places, render, where_clause};
use crate::window::{self, parse_length};

const SQL: &str = include_str!("../reports/timeline.sql");

/// Width of the longest bar.
const BAR: u32 = 40;

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = crate::reports::dimension::help(""))]
pub(crate) struct Args {
    /// Length of a step: `30s`, `5m`, `1h`
    #[arg(long, value_name = "STEP", default_value = "1m")]
    window: String,

    /// Also count by these dimensions, separated by `,`; see below
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    by: Vec<String>,

    #[command(flatten)]
    narrow: Narrow,

    #[command(flatten)]
    report: ReportArgs,
}

impl Report for Args {
    fn shared(&self) -> &ReportArgs {
        &self.report
    }

    /// A bar is drawn where people read it.
    fn sql(&self, request: &Request) -> Result<String, Error> {
        let window = &request.window;
        let length = parse_length(&self.window)?;
        let step = interval(length)?;
        let mix = Mix::from_names(&self.by)?;
        let bin = format!("date_bin(interval '{step}', time)");
        let (mut selected, mut grouped) = (format!("{bin} as \"time\""), bin);
        let (mut named, mut shown, mut order) =
            ("\"time\"".to_owned(), String::new(), "\"time\"".to_owned());
        if !self.by.is_empty() {
            selected.push_str(&format!(",\n{}", mix.selected()));
            grouped.push_str(&format!(", {}", mix.grouped()));
            named.push_str(&format!(",\n{}", mix.named()));
            shown = mix
                .name_list()
                .iter()
                .map(|name| format!("n.{name},"))
                .collect::<Vec<_>>()
                .join(" ");
            // Within a step, the largest count first, as in a summary.
            order.push_str(&format!(", resets desc, {}", mix.names()));
        }
        // A requested window is shown from end to end, otherwise the time that has resets.
        let first = window.since.map(|since| floored(since, length));
        let last = window.until.map(|until| floored(until - Duration::microseconds(1), length));
        let end = |bound: Option<String>, otherwise: &str| {
            bound.unwrap_or_else(|| format!("(select {otherwise}(\"time\") from counted)"))
        };
        let bar = if request.format == Format::Table {
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
                ("where", &where_clause(&self.narrow.conditions(window)?)),
                ("first", &end(first, "min")),
                ("last", &end(last, "max")),
                ("shown", &shown),
                ("bar", &bar),
                ("order", &order),
            ],
        ))
    }
}

/// The start of the step that holds a moment: steps are counted from 1970, as `date_bin` does.
fn floored(time: DateTime<Utc>, step: Duration) -> String {
    let us = step.num_microseconds().unwrap_or(i64::MAX).max(1);
    let floored = time.timestamp_micros().div_euclid(us) * us;
    window::sql(DateTime::from_timestamp_micros(floored).unwrap_or(time))
}
