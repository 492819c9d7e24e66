//! `cargo xtask vm`: the same tests on the newest kernel of each line, in guests of qemu, and on
//! the host itself.

mod boot;
mod checks;
mod disk;
mod docs;
mod fetch;
mod guest;
mod initrd;
mod kernels;
mod message;
mod modules;
mod report;

use std::env;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{self, Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::ValueEnum;
use clap::builder::PossibleValuesParser;
use nix::sys::utsname::uname;
use scenarios::scenarios;

use self::boot::Guest;
use self::checks::bench::Bench;
use self::checks::many_cpus;
use self::checks::which::{Boot, Test};
use self::fetch::GuestKernel;
use self::kernels::{HOST, LINES};
use self::report::Examined;
use crate::needs::{self, User};
use crate::{exit, workspace};

pub(crate) use guest::run as run_guest;

/// A boot with all scenarios takes a minute or two.
const BOOT_LIMIT: u64 = 480;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The kernel lines to test, `host` for this machine's own; all of them if none is named
    #[arg(long = "kernel", value_name = "LINE", value_parser = PossibleValuesParser::new(kernels::names()))]
    kernels: Vec<String>,
    /// The tests to run; all of them if none is named
    #[arg(long = "test", value_name = "NAME")]
    tests: Vec<Test>,
    /// The scenarios to play; all of them if none is named
    #[arg(long = "scenario", value_name = "NAME",
          value_parser = PossibleValuesParser::new(scenarios().map(|scenario| scenario.name)))]
    scenarios: Vec<String>,
    /// Where kernels are kept [default: tcprst/vm in $XDG_CACHE_HOME or ~/.cache]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Guests that run at the same time
    #[arg(long, value_name = "N", default_value = "1")]
    jobs: NonZeroUsize,
    /// A boot that takes longer has failed
    #[arg(long, value_name = "SECONDS", default_value_t = BOOT_LIMIT)]
    boot_limit: u64,
    /// Write docs/kernels.md, which takes every kernel, test and scenario
    #[arg(long, conflicts_with_all = ["kernels", "tests", "scenarios"])]
    write_docs: bool,
    /// The programs are built already
    #[arg(long, hide = true)]
    built: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let wanted = |name: &str| args.kernels.is_empty() || args.kernels.iter().any(|k| k == name);
    if wanted(HOST) {
        exit::require_root(
            "recording on the host needs root: without root, name the guests with --kernel",
        )?;
    }
    let lines: Vec<_> = LINES.iter().filter(|line| wanted(line.name)).collect();
    let tests = match &args.tests[..] {
        [] => Test::value_variants().to_vec(),
        tests => tests.to_vec(),
    };
    let chosen: Vec<&str> = kernels::names().filter(|name| wanted(name)).collect();
    if let Some(test) = tests.iter().find(|test| !chosen.iter().any(|line| test.runs_on(line)))
        && !args.tests.is_empty()
    {
        let possible: Vec<&str> = kernels::names().filter(|line| test.runs_on(line)).collect();
        bail!("the test {} runs only on {}", test.name(), possible.join(", "));
    }
    needs::provide(user(&chosen, &tests))?;
    if !args.built {
        build()?;
    }
    let cache = args.cache.clone().map_or_else(fetch::default_cache, Ok)?;
    // Links into it are made from elsewhere.
    let cache = path::absolute(cache).context("the cache's folder")?;
    let lab = Lab::new(&args, tests, &cache, lines.is_empty())?;
    let kernels: Vec<GuestKernel> =
        lines.iter().map(|line| fetch::newest(line, &cache)).collect::<Result<_>>()?;

    // The host first: it takes seconds.
    let mut examined = vec![];
    let host = wanted(HOST).then(|| lab.examine_host()).transpose()?;
    examined.extend(lab.examine_guests(&kernels, args.jobs.get())?);
    examined.extend(host);
    report::print(&examined)?;
    if args.write_docs {
        docs::write(&examined, &workspace::root().join("docs/kernels.md"))?;
    }
    let failed: Vec<&str> =
        examined.iter().filter(|kernel| !kernel.passed()).map(|kernel| kernel.line).collect();
    ensure!(failed.is_empty(), "failed on {}", failed.join(", "));
    Ok(())
}

/// The part of the command that the chosen kernels and tests are.
fn user(chosen: &[&str], tests: &[Test]) -> User {
    let is_system =
        |test: &Test| test.boot() == Boot::System && chosen.iter().any(|line| test.runs_on(line));
    if chosen.iter().all(|line| *line == HOST) {
        User::VmHost
    } else if tests.iter().any(is_system) {
        User::VmSystem
    } else {
        User::Vm
    }
}

/// Only the recorder: this program runs already.
fn build() -> Result<()> {
    let mut cargo = workspace::cargo("build");
    let status = cargo.args(["--bin", "tcprst-record"]).status().context("cannot run cargo")?;
    ensure!(status.success(), "the recorder does not build");
    Ok(())
}

/// Programs, archives and folders that all kernels share.
#[derive(Debug)]
struct Lab {
    tests: Vec<Test>,
    scenarios: Vec<String>,
    recorder: PathBuf,
    /// Initrd archives of tools and of our programs; none without guests.
    archives: Option<(PathBuf, PathBuf)>,
    /// Where kernels and systems are kept.
    cache: PathBuf,
    work: tempfile::TempDir,
    /// Consoles and results stay here.
    logs: PathBuf,
    limit: Duration,
}

impl Lab {
    fn new(args: &Args, tests: Vec<Test>, cache: &Path, no_guests: bool) -> Result<Self> {
        let recorder = workspace::bin_dir().join("tcprst-record");
        ensure!(
            recorder.is_file(),
            "{} is missing: run `cargo build --release`",
            recorder.display()
        );
        let work = tempfile::tempdir().context("make a folder")?;
        let logs = workspace::target_dir().join("vm");
        fs::create_dir_all(&logs).with_context(|| format!("make {}", logs.display()))?;
        let archives = match no_guests {
            true => None,
            false => {
                let me = env::current_exe().context("cannot find this program")?;
                let programs = [me, recorder.clone()];
                Some((initrd::base(work.path())?, initrd::programs(&programs, work.path())?))
            }
        };
        let limit = Duration::from_secs(args.boot_limit);
        Ok(Self {
            tests,
            scenarios: args.scenarios.clone(),
            recorder,
            archives,
            cache: cache.to_owned(),
            work,
            logs,
            limit,
        })
    }

    /// The tests on this machine, without those that would load and unload its modules.
    fn examine_host(&self) -> Result<Examined> {
        let start = Instant::now();
        let work = self.work.path().join(HOST);
        fs::create_dir_all(&work)?;
        let bench = Bench {
            recorder: self.recorder.clone(),
            actor: env::current_exe().context("cannot find this program")?,
            work,
            scenarios: self.scenarios.clone(),
        };
        let release = uname().context("uname")?.release().to_string_lossy().into_owned();
        let mut examined = Examined::new(HOST, &release, None);
        for test in self.tests.iter().filter(|test| test.runs_on(HOST)) {
            eprintln!("{HOST}: {release}: {}", test.name());
            checks::run(*test, &bench, &mut |message| {
                examined.take(message);
                Ok(())
            })?;
        }
        examined.took = start.elapsed();
        Ok(examined)
    }

    /// The tests on each kernel, `jobs` kernels at a time; in the order of the kernels.
    fn examine_guests(&self, kernels: &[GuestKernel], jobs: usize) -> Result<Vec<Examined>> {
        let next = AtomicUsize::new(0);
        let done = Mutex::new(vec![]);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs.min(kernels.len()))
                .map(|_| {
                    scope.spawn(|| {
                        while let Some((index, kernel)) = {
                            let index = next.fetch_add(1, Ordering::Relaxed);
                            kernels.get(index).map(|kernel| (index, kernel))
                        } {
                            let examined = self.examine_guest(kernel)?;
                            if let Ok(mut done) = done.lock() {
                                done.push((index, examined));
                            }
                        }
                        anyhow::Ok(())
                    })
                })
                .collect();
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().map_err(|_| anyhow!("a worker panicked"))?)
        })?;
        let mut done = done.into_inner().map_err(|_| anyhow!("a worker panicked"))?;
        done.sort_by_key(|(index, _)| *index);
        Ok(done.into_iter().map(|(_, examined)| examined).collect())
    }

    fn examine_guest(&self, kernel: &GuestKernel) -> Result<Examined> {
        let work = self.work.path().join(kernel.line);
        fs::create_dir_all(work.join("depmod"))?;
        let modules = modules::choose(kernel, &work.join("depmod"))?;
        let mut examined = Examined::new(kernel.line, &kernel.release, Some(&kernel.version));
        examined.absent = modules.absent.clone();
        let initrd = work.join("initrd");
        let (base, programs) = self.archives.as_ref().context("no initrd")?;
        initrd::join(&[base, &initrd::modules(&modules, &work)?, programs], &initrd)?;
        let disk_initrd = work.join("starter-initrd");
        for boot in Boot::ALL {
            let is_here = |test: &Test| test.boot() == boot && test.runs_on(kernel.line);
            let tests: Vec<Test> = self.tests.iter().copied().filter(is_here).collect();
            if tests.is_empty() {
                continue;
            }
            if boot == Boot::System {
                let disk = disk::system(kernel, &self.cache)?;
                initrd::join(&[&initrd::starter(&modules, &work)?, programs], &disk_initrd)?;
                self.boot(kernel, boot, &tests, &disk_initrd, Some(&disk), &mut examined)?;
            } else {
                self.boot(kernel, boot, &tests, &initrd, None, &mut examined)?;
            }
        }
        Ok(examined)
    }

    fn boot(
        &self,
        kernel: &GuestKernel,
        boot: Boot,
        tests: &[Test],
        initrd: &Path,
        disk: Option<&Path>,
        examined: &mut Examined,
    ) -> Result<()> {
        let names: Vec<_> = tests.iter().map(|test| test.name()).collect();
        eprintln!("{}: {}: {}", kernel.line, kernel.release, names.join(", "));
        let name = format!("{}{}", kernel.line, boot.suffix());
        let (cpus, memory) = match boot {
            Boot::Usual | Boot::NoModules => (2, 1024),
            Boot::ManyCpus => (many_cpus::CPUS, 3072),
            Boot::System => (2, 3072),
        };
        let guest = Guest {
            name: &name,
            image: &kernel.image,
            initrd,
            disk,
            cpus,
            memory,
            arguments: &guest::arguments(tests, &self.scenarios),
            // Systemd, three runtimes and a hundred containers.
            limit: if disk.is_some() { 3 * self.limit } else { self.limit },
            logs: &self.logs,
        };
        let booted = guest.boot()?;
        for message in message::parse(&booted.results)? {
            examined.take(message);
        }
        if let Some(why) = booted.retried {
            examined.notes.push(format!("booted twice: {why}"));
        }
        examined.took += booted.took;
        for test in tests {
            ensure!(
                examined.finding(*test).is_some(),
                "{name}: no result of the test {}. The end of its console:\n{}",
                test.name(),
                guest.tail()
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_test_needs_the_tools_of_a_system() {
        let all = Test::value_variants();
        let every: Vec<&str> = kernels::names().collect();
        assert_eq!(user(&every, all), User::VmSystem);
        assert_eq!(user(&every, &[Test::Causes]), User::Vm);
        assert_eq!(user(&["5.10", HOST], all), User::Vm);
        assert_eq!(user(&[HOST], all), User::VmHost);
    }

    #[test]
    fn every_test_runs_somewhere() {
        for test in Test::value_variants() {
            assert!(kernels::names().any(|line| test.runs_on(line)), "{}", test.name());
        }
    }
}
