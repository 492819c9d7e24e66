//! `cargo xtask simulate`.

use std::num::NonZeroU64;

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use scenarios::{Flood, Namespace, Outcome, allow_host_changes, flood, play, scenarios};
use serde::Serialize;
use serde_json::json;

use crate::{exit, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The scenarios to play; all of them if none is named and no flood is asked for
    #[arg(value_name = "SCENARIO", value_parser = names())]
    scenarios: Vec<String>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Also play the scenarios that change limits of the whole host for moments; connections of
    /// other programs may be reset in these moments
    #[arg(long)]
    whole_host: bool,
    /// List the scenarios with the expected rows, and play none
    #[arg(long)]
    list: bool,
    /// Cause this many resets from a closed port, as fast as possible
    #[arg(long, value_name = "N")]
    flood: Option<u64>,
    /// Flood from this many threads
    #[arg(long, value_name = "N", default_value = "1", requires = "flood")]
    threads: NonZeroU64,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(scenarios().map(|scenario| scenario.name))
}

/// The output of `--json`.
#[derive(Debug, Serialize)]
struct SimulationReport {
    netns_id: u64,
    netns_cookie: u64,
    /// The resets sent in the namespace, by the kernel's own count.
    out_rsts: u64,
    played: Vec<Played>,
    flood: Option<Flood>,
}

/// A scenario and what came of it.
#[derive(Debug, Serialize)]
struct Played {
    scenario: &'static str,
    #[serde(flatten)]
    outcome: Outcome,
}

pub(crate) fn run(args: Args) -> Result<()> {
    if args.list {
        return list(args.json);
    }
    exit::require_root("a new network namespace needs root")?;
    if args.whole_host {
        allow_host_changes();
    }
    let ns = Namespace::new()?;
    let names: Vec<&str> = args.scenarios.iter().map(String::as_str).collect();
    let played = match (&names[..], args.flood) {
        ([], Some(_)) => vec![],
        (names, _) => play(&ns, names)?,
    };
    let played = played
        .into_iter()
        .map(|(scenario, outcome)| Played { scenario: scenario.name, outcome })
        .collect();
    let flood = args.flood.map(|count| flood(&ns, count, args.threads.get())).transpose()?;
    let report = SimulationReport {
        netns_id: ns.inode(),
        netns_cookie: ns.cookie(),
        out_rsts: ns.out_rsts()?,
        played,
        flood,
    };
    match args.json {
        true => print::line(&serde_json::to_string(&report)?),
        false => print_table(&report),
    }
}

fn list(as_json: bool) -> Result<()> {
    if as_json {
        return print::line(&serde_json::to_string(
            &json!({ "scenarios": scenarios().collect::<Vec<_>>() }),
        )?);
    }
    for scenario in scenarios() {
        let expect = &scenario.expect;
        print::line(&format!("{}: {}", scenario.name, scenario.about))?;
        print::line(&format!(
            "    {} < {}, {}, {} -> {} ({})",
            expect.callee,
            expect.caller.join(" or "),
            expect.reason.unwrap_or("no reason"),
            expect.sk_state.unwrap_or("no socket"),
            expect.cause,
            expect.blame.unwrap_or("nobody"),
        ))?;
    }
    Ok(())
}

fn print_table(report: &SimulationReport) -> Result<()> {
    print::line(&format!(
        "network namespace {} (cookie {}): {} resets sent",
        report.netns_id, report.netns_cookie, report.out_rsts
    ))?;
    if !report.played.is_empty() {
        print::line(&row(["SCENARIO", "FROM", "TO", "ACTOR"]))?;
    }
    for Played { scenario, outcome } in &report.played {
        let reset = match outcome {
            Outcome::Caused(reset) => reset,
            Outcome::Impossible(why) => {
                print::line(&row([scenario, "-", "-", why]))?;
                continue;
            }
        };
        let actor = match (&reset.comm, reset.pid) {
            (Some(comm), Some(pid)) => format!("{comm} ({pid})"),
            _ => "-".to_owned(),
        };
        print::line(&row([
            scenario,
            &std::net::SocketAddr::new(reset.src_addr, reset.src_port).to_string(),
            &std::net::SocketAddr::new(reset.dst_addr, reset.dst_port).to_string(),
            &actor,
        ]))?;
    }
    if let Some(flood) = &report.flood {
        print::line(&format!(
            "flood: {} of {} requested resets in {:.3} s, {:.0} per second",
            flood.resets,
            flood.requested,
            flood.elapsed.as_secs_f64(),
            flood.per_second()
        ))?;
    }
    Ok(())
}

fn row(cells: [&str; 4]) -> String {
    let [scenario, from, to, actor] = cells;
    format!("{scenario:<26} {from:<24} {to:<24} {actor}")
}
