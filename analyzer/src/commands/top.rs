//! `tcprst-analyze top`: who has the most resets.

use crate::Outcome;
use crate::commands::Context;
use crate::commands::summary::places;
use crate::error::Error;
use crate::reports::dimension::Mix;
use crate::reports::notes::{self, Topics};
use crate::reports::{Narrow, ReportArgs, render, where_clause};
use crate::window::Window;

const SQL: &str = include_str!("../reports/top.sql");

/// What somebody on call asks first, a short list each.
const LISTS: [&str; 5] = ["container", "service", "peer", "process", "caller"];
const LIST_LENGTH: u32 = 5;
const LENGTH: u32 = 10;

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = crate::reports::dimension::help(""))]
pub struct Args {
    /// One list by this mix; without it, a short list by container, service, peer, process and
    /// caller each
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    by: Vec<String>,

    /// Length of a list; 10, or 5 where there are several
    #[arg(short, long, value_name = "N")]
    n: Option<u32>,

    #[command(flatten)]
    narrow: Narrow,

    #[command(flatten)]
    pub report: ReportArgs,
}

/// The SQL that answers.
pub fn sql(args: &Args, window: &Window) -> Result<String, Error> {
    let conditions = args.narrow.conditions(window)?;
    if !args.by.is_empty() {
        let mix = Mix::of(&args.by)?;
        return Ok(list(&mix, &mix.names(), args.n.unwrap_or(LENGTH), &conditions));
    }
    let length = args.n.unwrap_or(LIST_LENGTH);
    let mut lists = Vec::new();
    for (place, name) in LISTS.iter().enumerate() {
        let mix = Mix::of(&[name])?;
        let shown = format!("{place} as place, '{name}' as list, {} as name", mix.joined());
        let sql = list(&mix, &shown, length, &conditions);
        lists.push(format!("(\n    {}\n)", sql.trim_end().replace('\n', "\n    ")));
    }
    Ok(format!(
        "select list, name, resets, percent, mostly\nfrom (\n{}\n)\n\
         order by place, resets desc, name\n",
        lists.join(" union all ")
    ))
}

/// The first `length` of one list.
pub(super) fn list(mix: &Mix, shown: &str, length: u32, conditions: &[String]) -> String {
    let present = mix.name_list().into_iter().map(|name| format!("{name} is not null"));
    render(
        SQL,
        &[
            ("title", &mix.names()),
            ("selected", &mix.selected()),
            ("grouped", &mix.grouped()),
            ("named", &mix.named()),
            ("names", &mix.names()),
            ("places", &places(mix.name_list().len())),
            ("where", &where_clause(conditions)),
            ("shown", shown),
            ("present", &present.collect::<Vec<_>>().join(" or ")),
            ("limit", &length.to_string()),
        ],
    )
}

pub async fn run(args: &Args, context: &mut Context<'_>) -> Result<Outcome, Error> {
    let sql = sql(args, &context.window)?;
    let format = context.format();
    context.session.run_sql(&sql, format, context.out).await?;
    notes::tell(context.session, &[context.window], Topics::ALL).await?;
    Ok(Outcome::Complete)
}
