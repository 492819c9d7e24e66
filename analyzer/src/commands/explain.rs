//! `tcprst-analyze explain`: a cause or one event, in sentences.

use futures::future::LocalBoxFuture;
use tcprst_schema::cause::{CAUSES, Cause, UNKNOWN};

use super::{Context, Report, Request, top};
use crate::error::{EVENT_TIME, Error, ReportError};
use crate::output::numbers::{counted, share, thousands};
use crate::reports::dimension::Mix;
use crate::reports::event::{self, Event};
use crate::reports::notes::Topics;
use crate::reports::prose::Prose;
use crate::reports::{ReportArgs, explanation, literal, render, where_clause};
use crate::window::Window;

const CAUSE_SQL: &str = include_str!("../reports/explain_cause.sql");
const EVENT_SQL: &str = include_str!("../reports/explain_event.sql");

/// Events that are listed where a key matches several.
const MAX_LISTED: usize = 20;

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
WHAT is the name of a cause (`tcprst-analyze summary` lists them) or an event: HOST:CPU:SEQ,
CPU:SEQ, its boot_ns, or its time in RFC 3339, to the second or to the microsecond. Without WHAT,
prints the name and the meaning of every cause.

Examples:
  tcprst-analyze explain app_close_unread
  tcprst-analyze explain web-1:0:17
  tcprst-analyze explain 2026-11-25T14:00:05.123456Z")]
pub(crate) struct Args {
    /// A cause or an event
    #[arg(value_name = "WHAT")]
    what: Option<String>,

    #[command(flatten)]
    report: ReportArgs,
}

/// The subject of an explanation.
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
            None if event::is_like_time(what) => {
                Err(ReportError::EventTime(what.escape_debug().to_string()).into())
            }
            None => Ok(Subject::Cause(explanation::check_cause(what)?)),
        }
    }
}

impl Report for Args {
    fn shared(&self) -> &ReportArgs {
        &self.report
    }

    /// All of it, one query after the other.
    fn sql(&self, request: &Request) -> Result<String, Error> {
        Ok(match self.subject()? {
            Subject::All => String::new(),
            Subject::Event(conditions) => event_sql(&conditions, &request.window),
            Subject::Cause(cause) => cause_sql(cause, &request.window)?.join(";\n\n"),
        })
    }

    fn topics(&self) -> Result<Option<Topics>, Error> {
        Ok(match self.subject()? {
            Subject::All => None,
            Subject::Cause(_) => Some(Topics::ALL),
            Subject::Event(_) => Some(Topics::COVERAGE),
        })
    }

    /// Sentences, made of the rows.
    fn answer<'a>(
        &'a self,
        sql: String,
        context: &'a mut Context<'_>,
    ) -> LocalBoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let prose = match self.subject()? {
                Subject::All => all(),
                Subject::Cause(cause) => explain_cause(cause, context).await?,
                Subject::Event(_) => {
                    let what = self.what.as_deref().unwrap_or_default();
                    explain_event(what, &sql, context).await?
                }
            };
            prose.print(context.request.format, context.out)
        })
    }
}

fn event_sql(conditions: &[String], window: &Window) -> String {
    let conditions: Vec<String> = conditions.iter().cloned().chain(window.on("time")).collect();
    render(
        EVENT_SQL,
        &[
            ("columns", &event::COLUMNS.join(", ")),
            ("where", &where_clause(&conditions)),
            ("limit", &(MAX_LISTED + 1).to_string()),
        ],
    )
}

/// How often a cause occurs, and where most often.
fn cause_sql(cause: Option<&Cause>, window: &Window) -> Result<[String; 2], Error> {
    let name = cause.map_or(UNKNOWN, |cause| cause.name);
    let mut conditions = window.on("time");
    conditions.push(format!("cause = {}", literal(name)));
    let (of_all, narrowed) = (where_clause(&window.on("time")), where_clause(&conditions));
    let mix = Mix::from_names(&["container", "service"])?;
    Ok([
        render(CAUSE_SQL, &[("window", &of_all), ("where", &narrowed)]),
        top::list(&mix, "container, service", 3, &conditions),
    ])
}

/// The explanation of the event that `what` names.
async fn explain_event(what: &str, sql: &str, context: &Context<'_>) -> Result<Prose, Error> {
    let events = Event::from_batches(&context.session.collect(sql).await?)?;
    match &events[..] {
        [] => {
            let shown = what.escape_debug().to_string();
            let place = context.request.window.place();
            let hint = if event::is_like_time(what) { EVENT_TIME } else { "" };
            Err(ReportError::NoEvent { key: shown, place, hint }.into())
        }
        [event] => Ok(event.explain()),
        several => Ok(list(several)),
    }
}

/// All causes with their meaning.
fn all() -> Prose {
    let mut prose = Prose::default();
    let lines = CAUSES.iter().map(Some).chain([None]).map(|cause| {
        let name = cause.map_or(UNKNOWN, |cause| cause.name);
        format!("{name}: {}", explanation::meaning(cause))
    });
    prose.add("Causes", lines.collect());
    prose
}

/// Where a key fits several events.
fn list(events: &[Event]) -> Prose {
    let mut prose = Prose::default();
    let count = if events.len() > MAX_LISTED {
        format!("More than {MAX_LISTED} events match; the first are:")
    } else {
        format!("{} events match. Give the time of one, or --since and --until:", events.len())
    };
    let mut lines = vec![count];
    lines.extend(events.iter().take(MAX_LISTED).map(Event::line));
    prose.add("Several events", lines);
    prose
}

async fn explain_cause(cause: Option<&Cause>, context: &Context<'_>) -> Result<Prose, Error> {
    let [often, places] = cause_sql(cause, &context.request.window)?;
    let mut prose = Prose::default();
    let name = cause.map_or(UNKNOWN, |cause| cause.name);
    prose.add("What happened", vec![format!("{name}: {}", explanation::meaning(cause))]);
    prose.add("Evidence", explanation::evidence(cause));
    prose.add("Who acted", vec![explanation::who(cause.and_then(|cause| cause.blame))]);
    prose.add("Check next", vec![explanation::check(cause).to_owned()]);

    let counts = Event::from_batches(&context.session.collect(&often).await?)?;
    let counts = counts.into_iter().next().unwrap_or_default();
    let resets = counts.int("resets");
    let mut here = Vec::new();
    let title =
        if context.request.window.is_whole() { "In this recording" } else { "In this window" };
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
        for row in Event::from_batches(&context.session.collect(&places).await?)? {
            let container = row.text("container");
            let at = match (container, row.text("service")) {
                ("-", service) => format!("port {service}, no container"),
                (container, "-") => format!("container {container}"),
                (container, service) => format!("container {container}, port {service}"),
            };
            here.push(format!("{} at {at}.", thousands(row.int("resets"))));
        }
    }
    prose.add(title, here);
    Ok(prose)
}
