//! `tcprst-analyze diff`: what changed between two windows, such as before and after a deploy.

use chrono::{DateTime, Duration, Utc};

use super::{Report, Request};
use crate::error::Error;
use crate::error::ReportError;
use crate::output::numbers::parse_count;
use crate::reports::dimension::Mix;
use crate::reports::{Narrow, ReportArgs, interval, places, render, where_clause};
use crate::window::{Window, parse_length, parse_time};

const SQL: &str = include_str!("../reports/diff.sql");

const HELP: &str = "\
Verdicts: new (none before), gone (none after), up, down, burst (the counts differ, but the resets
came in bursts that may be chance), same (no change is proven). `confidence`, in percent, is
100 * (1 - p) of an exact test of two Poisson rates (conditional binomial, two-sided). p is
corrected for the number of rows compared (Holm). Counts are first divided by their index of
dispersion per minute, so that a burst proves no more than one reset. The verdicts up and down need
a confidence of at least 95.

Examples:
  tcprst-analyze diff yesterday..today today..now
  tcprst-analyze diff --at '2026-11-25 14:00' --span 30m --by cause,container";

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = crate::reports::dimension::help(HELP))]
pub(crate) struct Args {
    /// The first window, SINCE..UNTIL
    #[arg(value_name = "A")]
    a: Option<String>,

    /// The second window, SINCE..UNTIL
    #[arg(value_name = "B")]
    b: Option<String>,

    /// Compare the time before and after this moment, such as a deploy
    #[arg(long, value_name = "TIME", conflicts_with_all = ["a", "b"])]
    at: Option<String>,

    /// Length of each window of --at
    #[arg(long, value_name = "LENGTH", default_value = "1h", requires = "at")]
    span: String,

    /// Dimensions to compare by, separated by `,`; see below
    #[arg(long, value_name = "WHAT", value_delimiter = ',', default_value = "cause")]
    by: Vec<String>,

    /// Print at most N rows
    #[arg(long, value_name = "N", value_parser = parse_count)]
    limit: Option<u32>,

    #[command(flatten)]
    narrow: Narrow,

    #[command(flatten)]
    report: ReportArgs,
}

impl Args {
    /// The two windows.
    fn both(&self, request: &Request) -> Result<[Window; 2], Error> {
        let now = request.now;
        if !request.window.is_whole() {
            return Err(ReportError::OwnWindows.into());
        }
        match (&self.a, &self.b, &self.at) {
            (Some(a), Some(b), None) => {
                Ok([Window::parse_span(a, now)?, Window::parse_span(b, now)?])
            }
            (None, None, Some(at)) => {
                let at = parse_time(at, now)?;
                let span = parse_length(&self.span)?;
                interval(span)?;
                let a = Window { since: Some(at - span), until: Some(at) };
                Ok([a, Window { since: Some(at), until: Some(at + span) }])
            }
            _ => Err(ReportError::TwoWindows.into()),
        }
    }
}

impl Report for Args {
    fn shared(&self) -> &ReportArgs {
        &self.report
    }

    fn sql(&self, request: &Request) -> Result<String, Error> {
        let mix = Mix::from_names(&self.by)?;
        let [a, b] = &self.both(request)?;
        let seconds = [seconds(a), seconds(b)];
        let minutes = [minutes(a), minutes(b)];
        let total = minutes[0] + minutes[1];
        let limit = self.limit.map_or(String::new(), |limit| format!("limit {limit}"));
        Ok(render(
            SQL,
            &[
                ("title", &mix.names()),
                ("selected", &mix.selected()),
                ("grouped", &mix.grouped()),
                ("named", &mix.named()),
                ("names", &mix.names()),
                ("places", &places(mix.name_list().len())),
                ("where_a", &where_clause(&self.narrow.conditions(a)?)),
                ("where_b", &where_clause(&self.narrow.conditions(b)?)),
                ("seconds_a", &number(seconds[0])),
                ("seconds_b", &number(seconds[1])),
                ("minutes_a", &number(minutes[0])),
                ("minutes_b", &number(minutes[1])),
                ("minutes", &number(total)),
                // Two means are estimated: two minutes would leave no degree of freedom.
                ("freedom", &number((total - 2.0).max(1.0))),
                ("limit", &limit),
            ],
        ))
    }

    fn windows(&self, request: &Request) -> Result<Vec<Window>, Error> {
        Ok(self.both(request)?.to_vec())
    }
}

fn seconds(window: &Window) -> f64 {
    let length = window.until.zip(window.since).map_or(Duration::zero(), |(to, from)| to - from);
    length.as_seconds_f64()
}

/// Number of clock minutes that a window touches.
fn minutes(window: &Window) -> f64 {
    let minute = |time: DateTime<Utc>| time.timestamp().div_euclid(60);
    let last = window.until.map(|until| minute(until - Duration::microseconds(1)));
    let count = last.zip(window.since).map_or(1, |(last, since)| last - minute(since) + 1);
    count as f64
}

/// With a fraction: SQL divides whole numbers without one.
fn number(value: f64) -> String {
    format!("{value:?}")
}
