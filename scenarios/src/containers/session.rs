//! A recorder and a runtime, from the first scene to the verdict.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value as Json, json};

use super::brief::Briefs;
use super::expect::Expected;
use super::scenes::{ContainerScene, ContainerStage};
use super::verdict::ContainersVerdict;
use crate::judge::{Doctor, ROOMY, Recording, Row};
use crate::runtimes::Runtime;
use crate::stage::netns::Namespace;

/// Port of the containers that live for an instant: nothing listens there.
const BRIEF_PORT: u16 = 22990;
/// After the last reset: what runtimes say of it is still to come.
const SETTLING: Duration = Duration::from_secs(3);

pub(super) struct RuntimeSession<'a> {
    recording: Recording,
    doctor: Doctor,
    ns: &'a Namespace,
    runtime: &'a Runtime,
    expected: Vec<(&'static str, Expected)>,
    faults: Vec<String>,
    briefs: Vec<String>,
}

impl<'a> RuntimeSession<'a> {
    pub(super) fn start(
        recorder: &Path,
        work: &Path,
        ns: &'a Namespace,
        runtime: &'a Runtime,
    ) -> Result<Self> {
        let socket = format!("{}={}", runtime.kind().name(), runtime.socket().display());
        let options: Vec<&str> = ROOMY.into_iter().chain(["--runtime-socket", &socket]).collect();
        let recording = Recording::start_with(recorder, work, None, &options)?;
        Ok(Self {
            recording,
            doctor: Doctor::ask(recorder)?,
            ns,
            runtime,
            expected: Vec::new(),
            faults: Vec::new(),
            briefs: Vec::new(),
        })
    }

    fn name(&self, scene: &str) -> String {
        format!("{}: {scene}", self.runtime.kind().name())
    }

    pub(super) fn play(&mut self, scene: &'static ContainerScene) {
        eprintln!("{}", self.name(scene.name));
        let stage = ContainerStage { runtime: self.runtime, ns: self.ns, port: scene.port };
        match (scene.run)(&stage) {
            Ok(expected) => {
                self.expected.extend(expected.into_iter().map(|one| (scene.name, one)));
            }
            Err(error) => self.faults.push(format!("{}: {error:#}", self.name(scene.name))),
        }
    }

    /// Containers that reset once and are removed at once.
    pub(super) fn play_briefs(&mut self, count: u32) {
        let address = format!("127.0.0.1:{BRIEF_PORT}");
        for number in 1..=count {
            let name = format!("brief-{number}");
            match self.runtime.run_briefly(&name, &["refused", &address]) {
                Ok(()) => self.briefs.push(name),
                Err(error) => self.faults.push(format!("{}: {error:#}", self.name("brief"))),
            }
        }
        eprintln!("{}: {count} brief containers", self.runtime.kind().name());
    }

    /// Ends the recording and holds its rows against what was expected.
    pub(super) fn judge(self, verdict: &mut ContainersVerdict) -> Result<()> {
        thread::sleep(SETTLING);
        let kind = self.runtime.kind();
        let name = |scene: &str| format!("{}: {scene}", kind.name());
        let work = self.recording.out().to_owned();
        for line in self.recording.stop(false)?.said {
            eprintln!("{line}");
        }
        let rows = sealed_rows(&work)?;
        verdict.faults.extend(self.faults);
        for (scene, expected) in &self.expected {
            let what = format!("{} {} at {}", name(scene), expected.cause, expected.port);
            let unhooked = expected.site.and_then(|site| {
                self.doctor.sites.iter().find(|one| one.site == site && one.hook.is_none())
            });
            let found: Vec<&Row> = rows.iter().filter(|row| expected.is_of(row)).collect();
            match (found.as_slice(), unhooked) {
                ([], Some(site)) => verdict.unhooked.push(format!("{what}: {}", site.detail)),
                ([row], None) => {
                    let differences = expected.differences(row);
                    match differences.is_empty() {
                        true => verdict.right.push(what),
                        false => verdict.faults.push(format!("{what}: {}", differences.join("; "))),
                    }
                }
                (found, _) => {
                    verdict.faults.push(format!("{what}: recorded {} times", found.len()))
                }
            }
        }
        if !self.briefs.is_empty() {
            let briefs = count(&rows, kind.name(), &self.briefs);
            verdict.faults.extend(briefs.fault().map(|fault| format!("{}: {fault}", kind.name())));
            verdict.briefs.push((kind, briefs));
        }
        Ok(())
    }
}

/// Each brief container has one row, which is found by its name.
fn count(rows: &[Row], runtime: &str, names: &[String]) -> Briefs {
    let is_brief = |row: &&Row| row.get("src_port") == Some(&json!(BRIEF_PORT));
    let is_owned = |row: &&Row| {
        let has_id = row.get("container_id").is_some_and(|id| !id.is_null());
        has_id && row.get("runtime") == Some(&json!(runtime))
    };
    let owned = rows.iter().filter(is_brief).filter(is_owned);
    let named = owned.clone().filter(|row| {
        row.get("container_name")
            .and_then(Json::as_str)
            .is_some_and(|n| names.iter().any(|m| m == n))
    });
    Briefs {
        count: names.len() as u32,
        owned: owned.clone().count() as u32,
        named: named.count() as u32,
    }
}

/// The rows in the files: they also have names that came after a row was printed.
fn sealed_rows(work: &Path) -> Result<Vec<Row>> {
    let folder = work.join("resets");
    let mut rows = Vec::new();
    for date in std::fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        for file in std::fs::read_dir(date?.path())? {
            rows.extend(crate::judge::rows_of(&file?.path())?);
        }
    }
    Ok(rows)
}
