//! `tcprst-analyze explain`: a cause or one event, in sentences.

use tcprst_schema::cause::{CAUSES, Cause, UNKNOWN};

use crate::Outcome;
use crate::commands::{Context, top};
use crate::error::Error;
use crate::notes::{self, Topics};
use crate::reports::dimension::Mix;
use crate::reports::event::{self, Event};
use crate::reports::prose::{Prose, counted, share, thousands};
use crate::reports::{ReportArgs, ReportError, explanation, literal, render, where_clause};
use crate::window::Window;

const CAUSE_SQL: &str = include_str!("../reports/explain_cause.sql");
const EVENT_SQL: &str = include_str!("../reports/explain_event.sql");

/// Events that are told where a key fits several.
const MOST: usize = 20;

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
WHAT is the name of a cause (`tcprst-analyze summary` has them), or an event: HOST:CPU:SEQ, CPU:SEQ,
its boot_ns, or its time in RFC 3339, to the second or to the microsecond. Without it, every cause
is named with what it means.

Examples:
  tcprst-analyze explain app_close_unread
  tcprst-analyze explain web-1:0:17
  tcprst-analyze explain 2026-11-25T14:00:05.123456Z")]
pub struct Args {
    /// A cause or an event
    #[arg(value_name = "WHAT")]
    what: Option<String>,

    #[command(flatten)]
    pub report: ReportArgs,
}

/// What was asked for.
enum Subject {
    All,
    Cause(Option<&'static Cause>),
    Event(Vec<String>),
}

impl Args {
    fn subject(&self) -> Result<Subject, Error> {
        let Some(what) = &self.what else {
            return Ok(Subject::All);
        };
        match event::conditions(what) {
            Some(conditions) => Ok(Subject::Event(conditions)),
            None => Ok(Subject::Cause(explanation::check_cause(what)?)),
        }
    }
}

/// The SQL that answers, its parts one after the other.
pub fn sql(args: &Args, window: &Window) -> Result<String, Error> {
    Ok(match args.subject()? {
        Subject::All => String::new(),
        Subject::Event(conditions) => event_sql(&conditions, window),
        Subject::Cause(cause) => cause_sql(cause, window)?.join(";\n\n"),
    })
}

fn event_sql(conditions: &[String], window: &Window) -> String {
    let conditions: Vec<String> = conditions.iter().cloned().chain(window.on("time")).collect();
    render(
        EVENT_SQL,
        &[
            ("columns", &event::COLUMNS.join(", ")),
            ("where", &where_clause(&conditions)),
            ("limit", &(MOST + 1).to_string()),
        ],
    )
}

/// How often it is, and where it is most often.
fn cause_sql(cause: Option<&Cause>, window: &Window) -> Result<[String; 2], Error> {
    let name = cause.map_or(UNKNOWN, |cause| cause.name);
    let mut conditions = window.on("time");
    conditions.push(format!("cause = {}", literal(name)));
    let (of_all, narrowed) = (where_clause(&window.on("time")), where_clause(&conditions));
    let mix = Mix::of(&["container", "service"])?;
    Ok([
        render(CAUSE_SQL, &[("window", &of_all), ("where", &narrowed)]),
        top::list(&mix, "container, service", 3, &conditions),
    ])
}

pub async fn run(args: &Args, context: &mut Context<'_>) -> Result<Outcome, Error> {
    let format = context.format();
    match args.subject()? {
        Subject::All => {
            all().print(format, context.out)?;
            return Ok(Outcome::Complete);
        }
        Subject::Cause(cause) => {
            let prose = explain_cause(cause, context).await?;
            prose.print(format, context.out)?;
            notes::tell(context, &[context.window], Topics::ALL).await?;
        }
        Subject::Event(conditions) => {
            let sql = event_sql(&conditions, &context.window);
            let events = Event::of(&context.session.collect(&sql).await?)?;
            let prose = match &events[..] {
                [] => {
                    let what = args.what.as_deref().unwrap_or_default();
                    let shown = what.escape_debug().to_string();
                    let place =
                        if context.window.is_whole() { "this recording" } else { "this window" };
                    return Err(ReportError::NoEvent(shown, place).into());
                }
                [event] => event.explain(),
                several => list(several),
            };
            prose.print(format, context.out)?;
            notes::tell(context, &[context.window], Topics::COVERAGE).await?;
        }
    }
    Ok(Outcome::Complete)
}

/// The names of all causes.
fn all() -> Prose {
    let mut prose = Prose::default();
    let told = CAUSES.iter().map(Some).chain([None]).map(|cause| {
        let name = cause.map_or(UNKNOWN, |cause| cause.name);
        format!("{name}: {}", explanation::meaning(cause))
    });
    prose.add("Causes", told.collect());
    prose
}

/// Where a key fits several events.
fn list(events: &[Event]) -> Prose {
    let mut prose = Prose::default();
    let count = if events.len() > MOST {
        format!("More than {MOST} events fit; the first are:")
    } else {
        format!("{} events fit. Give the time of one, or --since and --until:", events.len())
    };
    let mut lines = vec![count];
    lines.extend(events.iter().take(MOST).map(Event::line));
    prose.add("Several events", lines);
    prose
}

async fn explain_cause(cause: Option<&Cause>, context: &mut Context<'_>) -> Result<Prose, Error> {
    let [often, places] = cause_sql(cause, &context.window)?;
    let mut prose = Prose::default();
    let name = cause.map_or(UNKNOWN, |cause| cause.name);
    prose.add("What happened", vec![format!("{name}: {}", explanation::meaning(cause))]);
    prose.add("Evidence", explanation::evidence(cause));
    prose.add("Who acted", vec![explanation::who(cause.map(|cause| cause.blame))]);
    prose.add("Check next", vec![explanation::check(cause).to_owned()]);

    let counts = Event::of(&context.session.collect(&often).await?)?;
    let counts = counts.into_iter().next().unwrap_or_default();
    let resets = counts.int("resets");
    let mut here = Vec::new();
    let place = if context.window.is_whole() { "this recording" } else { "this window" };
    if resets == 0 {
        here.push(format!("None of {}.", counted(counts.int("of_all"), "reset")));
    } else {
        here.push(format!(
            "{} of {} ({}), the first in the minute of {}, the last in that of {}.",
            thousands(resets),
            counted(counts.int("of_all"), "reset"),
            share(resets, counts.int("of_all")),
            counts.text("first"),
            counts.text("last"),
        ));
        for row in Event::of(&context.session.collect(&places).await?)? {
            let container = row.text("container");
            let at = match (container, row.text("service")) {
                ("-", service) => format!("port {service}, no container"),
                (container, "-") => format!("container {container}"),
                (container, service) => format!("container {container}, port {service}"),
            };
            here.push(format!("{} at {at}.", thousands(row.int("resets"))));
        }
    }
    prose.add(if place == "this window" { "In this window" } else { "In this recording" }, here);
    Ok(prose)
}
