//! Runs what the command line asks for, and reports on stderr how it went.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use tcprst_schema::footer::SiteStatus;

use crate::app::cli::{Cli, Command, Record};
use crate::app::doctor;
use crate::app::print::Printer;
use crate::app::recorder::Recorder;
use crate::error::{Error, Result};
use crate::memory;
use crate::stderr::{counted, say};
use crate::store::{Recovered, Totals};
use crate::wake::Waker;

/// Runs the command and returns the exit code of the process. Errors go to stderr.
pub fn run(cli: &Cli) -> ExitCode {
    memory::set_up();
    let outcome = match (&cli.command, &cli.record.out) {
        (Some(Command::Doctor { json }), _) => {
            doctor::examine().and_then(|report| report.print(*json))
        }
        (None, Some(dir)) => record(&cli.record, dir),
        // clap demands --out unless there is a subcommand.
        (None, None) => Ok(()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn record(args: &Record, dir: &Path) -> Result<()> {
    args.check().map_err(Error::Usage)?;
    let stop = stop_on_signals()?;
    let printer = args.print.map(Printer::new).transpose()?;
    let recorder = Recorder::start(args.options(dir.to_owned()), printer)?;
    report_recovered(recorder.recovered());
    recorder.sites().iter().for_each(report_site);
    for missing in &recorder.owner_hooks().missing {
        say!("some owners will be unknown: {missing}");
    }
    if let Some(waker) = recorder.waker() {
        wake_on_signals(waker)?;
    }
    say!("recording to {}", dir.display());
    report_totals(recorder.run(&stop)?);
    Ok(())
}

/// A flag that SIGINT and SIGTERM set.
fn stop_on_signals() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|source| Error::System("catch signals", source))?;
    }
    Ok(stop)
}

/// Lets SIGINT and SIGTERM wake the recorder too, which then looks at the flag: handlers run in the
/// order in which they were registered.
fn wake_on_signals(waker: &Waker) -> Result<()> {
    for signal in [SIGINT, SIGTERM] {
        signal_hook::low_level::pipe::register(signal, waker.descriptor()?)
            .map_err(|source| Error::System("catch signals", source))?;
    }
    Ok(())
}

fn report_recovered(recovered: Recovered) {
    if recovered.segments > 0 {
        say!(
            "recovered {} in {} from a recorder that was killed",
            counted(recovered.rows, "reset"),
            counted(recovered.segments, "segment")
        );
    }
}

fn report_site(status: &SiteStatus) {
    if status.hook.is_none() {
        say!("{} is not seen: {}", status.site, status.detail);
    } else if let Some(module) = &status.waiting {
        say!("{} waits for module {module}: attached as soon as it is loaded", status.site);
    }
}

fn report_totals(totals: Totals) {
    // Most recordings have no storm.
    let storms = match totals.counted {
        0 => String::new(),
        counted => format!("{counted} counted, "),
    };
    say!(
        "{} seen, {} written, {storms}{} lost, {}",
        counted(totals.seen, "reset"),
        totals.written,
        totals.lost,
        counted(totals.segments, "segment")
    );
}
