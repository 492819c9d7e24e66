//! `tcprst-analyze diff`: what changed between two windows, as before and after a deploy.

use chrono::{DateTime, Duration, Utc};

use crate::Outcome;
use crate::commands::Context;
use crate::commands::summary::places;
use crate::error::Error;
use crate::error::ReportError;
use crate::reports::dimension::Mix;
use crate::reports::notes::{self, Topics};
use crate::reports::{Narrow, ReportArgs, render, where_clause};
use crate::window::{Window, parse_length, parse_time};

const SQL: &str = include_str!("../reports/diff.sql");

const HELP: &str = "\
Verdicts: new (none before), gone (none after), up, down, burst (the counts differ, but they came in
bursts that may be chance), same (no change is proven). `confidence`, in percent, is 100 * (1 - p)
of an exact test of two Poisson rates (conditional binomial, two-sided); p is corrected for the
number of rows compared (Holm), and counts are divided by their index of dispersion per minute
first, so that a burst proves no more than a reset. up and down are said from 95 on.

Examples:
  tcprst-analyze diff yesterday..today today..now
  tcprst-analyze diff --at '2026-11-25 14:00' --span 30m --by cause,container";

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = crate::reports::dimension::help(HELP))]
pub struct Args {
    /// The window before, SINCE..UNTIL
    #[arg(value_name = "A")]
    a: Option<String>,

    /// The window after
    #[arg(value_name = "B")]
    b: Option<String>,

    /// Compare before and after this time, such as that of a deploy
    #[arg(long, value_name = "TIME", conflicts_with_all = ["a", "b"])]
    at: Option<String>,

    /// How long before and after
    #[arg(long, value_name = "LENGTH", default_value = "1h", requires = "at")]
    span: String,

    /// What to compare by, `,` between; see below
    #[arg(long, value_name = "WHAT", value_delimiter = ',', default_value = "cause")]
    by: Vec<String>,

    /// At most so many rows
    #[arg(long, value_name = "N")]
    limit: Option<u32>,

    #[command(flatten)]
    narrow: Narrow,

    #[command(flatten)]
    pub report: ReportArgs,
}

/// The two windows.
pub fn windows(args: &Args, given: &Window, now: DateTime<Utc>) -> Result<[Window; 2], Error> {
    if !given.is_whole() {
        return Err(ReportError::OwnWindows.into());
    }
    match (&args.a, &args.b, &args.at) {
        (Some(a), Some(b), None) => Ok([Window::parse_span(a, now)?, Window::parse_span(b, now)?]),
        (None, None, Some(at)) => {
            let at = parse_time(at, now)?;
            let span = parse_length(&args.span)?;
            super::interval(span)?;
            let a = Window { since: Some(at - span), until: Some(at) };
            Ok([a, Window { since: Some(at), until: Some(at + span) }])
        }
        _ => Err(ReportError::TwoWindows.into()),
    }
}

/// The SQL that answers.
pub fn sql(args: &Args, windows: &[Window; 2]) -> Result<String, Error> {
    let mix = Mix::of(&args.by)?;
    let [a, b] = windows;
    let seconds = [seconds(a), seconds(b)];
    let minutes = [minutes(a), minutes(b)];
    let total = minutes[0] + minutes[1];
    let limit = args.limit.map_or(String::new(), |limit| format!("limit {limit}"));
    Ok(render(
        SQL,
        &[
            ("title", &mix.names()),
            ("selected", &mix.selected()),
            ("grouped", &mix.grouped()),
            ("named", &mix.named()),
            ("names", &mix.names()),
            ("places", &places(mix.name_list().len())),
            ("where_a", &where_clause(&args.narrow.conditions(a)?)),
            ("where_b", &where_clause(&args.narrow.conditions(b)?)),
            ("seconds_a", &number(seconds[0])),
            ("seconds_b", &number(seconds[1])),
            ("minutes_a", &number(minutes[0])),
            ("minutes_b", &number(minutes[1])),
            ("minutes", &number(total)),
            // Two means are taken out; of two minutes nothing would be left.
            ("freedom", &number((total - 2.0).max(1.0))),
            ("limit", &limit),
        ],
    ))
}

fn seconds(window: &Window) -> f64 {
    let length = window.until.zip(window.since).map_or(Duration::zero(), |(to, from)| to - from);
    length.as_seconds_f64()
}

/// Minutes of the clock that a window touches.
fn minutes(window: &Window) -> f64 {
    let minute = |time: DateTime<Utc>| time.timestamp().div_euclid(60);
    let last = window.until.map(|until| minute(until - Duration::microseconds(1)));
    let count = last.zip(window.since).map_or(1, |(last, since)| last - minute(since) + 1);
    count as f64
}

/// With a fraction, so that SQL does not divide whole numbers.
fn number(value: f64) -> String {
    format!("{value:?}")
}

pub async fn run(args: &Args, context: &mut Context<'_>) -> Result<Outcome, Error> {
    let windows = windows(args, &context.window, Utc::now())?;
    let sql = sql(args, &windows)?;
    let format = context.format();
    context.session.run_sql(&sql, format, context.out).await?;
    notes::tell(context.session, &windows, Topics::ALL).await?;
    Ok(Outcome::Complete)
}
