//! `tcprst-analyze top`: where most resets are.

use super::{Report, Request};
use crate::error::Error;
use crate::output::numbers::parse_count;
use crate::reports::dimension::Mix;
use crate::reports::{Narrow, ReportArgs, places, render, where_clause};

const SQL: &str = include_str!("../reports/top.sql");

/// The questions of somebody on call: a short list for each.
const LISTS: [&str; 5] = ["container", "service", "peer", "process", "caller"];
const LIST_LENGTH: u32 = 5;
const LENGTH: u32 = 10;

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = crate::reports::dimension::help(""))]
pub(crate) struct Args {
    /// Print one list by these dimensions, separated by `,`; without it, a short list each by
    /// container, service, peer, process and caller
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    by: Vec<String>,

    /// Rows of a list [default: 10, or 5 for each of several lists]
    #[arg(short, long, value_name = "N", value_parser = parse_count)]
    n: Option<u32>,

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
        let conditions = self.narrow.conditions(&request.window)?;
        if !self.by.is_empty() {
            let mix = Mix::from_names(&self.by)?;
            return Ok(list(&mix, &mix.names(), self.n.unwrap_or(LENGTH), &conditions));
        }
        let length = self.n.unwrap_or(LIST_LENGTH);
        let mut lists = Vec::new();
        for (place, name) in LISTS.iter().enumerate() {
            let mix = Mix::from_names(&[name])?;
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
}

/// The SQL of one list: its first `length` rows.
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
