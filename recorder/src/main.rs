//! Arguments to exit code.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM};
use tcprst_recorder::app::cli::{Cli, Command, Record};
use tcprst_recorder::app::doctor;
use tcprst_recorder::app::print::Printer;
use tcprst_recorder::app::recorder::Recorder;
use tcprst_recorder::error::{Error, Result};
use tcprst_recorder::say;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match &cli.command {
        Some(Command::Doctor { json }) => doctor::examine().and_then(|report| report.print(*json)),
        None => record(&cli.record),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn record(args: &Record) -> Result<()> {
    // clap has asked for it; only a subcommand comes without.
    let Some(dir) = args.out.clone() else {
        return Ok(());
    };
    if let Err(message) = args.check() {
        return Err(Error::Usage(message));
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|source| Error::System("catch signals", source))?;
    }
    let printer = args.print.map(Printer::new).transpose()?;
    let recorder = Recorder::start(args.options(dir.clone()), printer)?;
    let recovered = recorder.recovered();
    if recovered.segments > 0 {
        say!(
            "recovered {} resets in {} segments from a recorder that was killed",
            recovered.rows,
            recovered.segments
        );
    }
    for site in recorder.sites() {
        if site.hook.is_none() {
            say!("{} is not seen: {}", site.site, site.detail);
        } else if let Some(module) = &site.waiting {
            say!("{} waits for module {module}: attached as soon as that loads", site.site);
        }
    }
    for missing in &recorder.owner_hooks().missing {
        say!("owners are not always known: {missing}");
    }
    say!("recording to {}", dir.display());
    let totals = recorder.run(&stop)?;
    say!(
        "{} resets seen, {} written, {} lost, {} segments",
        totals.seen,
        totals.written,
        totals.lost,
        totals.segments
    );
    Ok(())
}
