//! The results on all kernels, as tables on stdout.

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use scenarios::{Balance, Cell, Column, Doctor, Verdict};

use super::checks::which::Test;
use super::message::{Finding, Message};
use crate::print;

/// Everything that is known of one kernel.
#[derive(Debug)]
pub(crate) struct Examined {
    pub(crate) line: &'static str,
    pub(crate) release: String,
    /// Debian's version; none for the host.
    pub(crate) version: Option<String>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) doctor: Option<Doctor>,
    pub(crate) column: Option<Column>,
    pub(crate) notes: Vec<String>,
    /// Modules that this kernel does not have.
    pub(crate) absent: Vec<&'static str>,
    pub(crate) took: Duration,
}

impl Examined {
    pub(crate) fn new(line: &'static str, release: &str, version: Option<&str>) -> Self {
        Self {
            line,
            release: release.to_owned(),
            version: version.map(str::to_owned),
            findings: vec![],
            doctor: None,
            column: None,
            notes: vec![],
            absent: vec![],
            took: Duration::ZERO,
        }
    }

    pub(crate) fn take(&mut self, message: Message) {
        match message {
            Message::Note(note) => self.notes.push(note),
            Message::Finding(finding) => self.findings.push(finding),
            Message::Doctor(doctor) => self.doctor = Some(doctor),
            Message::Column(column) => self.column = Some(column),
        }
    }

    pub(crate) fn finding(&self, test: Test) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.test == test)
    }

    pub(crate) fn passed(&self) -> bool {
        self.findings.iter().all(|finding| finding.passed)
    }

    pub(crate) fn cell(&self, scenario: &str) -> Option<&Cell> {
        self.column.as_ref()?.cells.iter().find(|cell| cell.scenario == scenario)
    }
}

/// The scenarios that were played anywhere, in the order of the table.
pub(crate) fn played(kernels: &[Examined]) -> Vec<&str> {
    let columns = kernels.iter().filter_map(|kernel| kernel.column.as_ref());
    let longest = columns.max_by_key(|column| column.cells.len());
    longest.map_or_else(Vec::new, |column| {
        column.cells.iter().map(|cell| cell.scenario.as_str()).collect()
    })
}

/// One or two words for a cell; a legend below the table explains them.
pub(crate) fn short(cell: &Cell) -> &'static str {
    match cell.verdict {
        Verdict::Ok => "ok",
        Verdict::Unknown => "UNKNOWN",
        Verdict::Unhooked(_) => "unhooked",
        Verdict::Impossible(_) => "impossible",
        Verdict::Wrong(_) => "WRONG",
    }
}

/// Why a cell is not simply right.
pub(crate) fn why(cell: &Cell) -> Option<String> {
    match &cell.verdict {
        Verdict::Ok => None,
        Verdict::Unknown => Some(format!("unknown instead of {}", cell.expected)),
        Verdict::Unhooked(why) | Verdict::Impossible(why) => Some(why.clone()),
        Verdict::Wrong(differences) => Some(differences.join("; ")),
    }
}

pub(crate) fn ledger(column: &Column) -> &'static str {
    match column.ledger {
        Balance::Even => "ok",
        Balance::Uneven(_) => "WRONG",
        Balance::Absent => "ABSENT",
    }
}

/// How many answers of a column were right, unknown and wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Score {
    pub(crate) right: usize,
    pub(crate) unknown: usize,
    /// A cause, but not the right one.
    pub(crate) wrong: usize,
}

impl Score {
    pub(crate) fn with_reason(column: &Column) -> Self {
        let recorded = || column.cells.iter().filter(|cell| cell.cause.is_some());
        let wrong = recorded().filter(|cell| cell.is_confidently_wrong()).count();
        let unknown = recorded().filter(|cell| cell.verdict == Verdict::Unknown).count();
        Self { right: recorded().count() - wrong - unknown, unknown, wrong }
    }

    pub(crate) fn without_reason(column: &Column) -> Self {
        let recorded = || column.cells.iter().filter(|cell| cell.without_reason.is_some());
        let wrong = recorded().filter(|c| c.is_confidently_wrong_without_reason()).count();
        let unknown = recorded().filter(|cell| cell.is_unknown_without_reason()).count();
        Self { right: recorded().count() - wrong - unknown, unknown, wrong }
    }

    pub(crate) fn text(self) -> String {
        format!("{}/{}/{}", self.right, self.unknown, self.wrong)
    }
}

/// The tables, then what is behind each word that is not `ok`.
pub(crate) fn print(kernels: &[Examined]) -> Result<()> {
    for line in tables(kernels) {
        print::line(&line)?;
    }
    Ok(())
}

fn tables(kernels: &[Examined]) -> Vec<String> {
    let mut rows = vec![];
    let row = |name: &str, cell: &dyn Fn(&Examined) -> String| {
        let mut row = vec![name.to_owned()];
        row.extend(kernels.iter().map(cell));
        row
    };
    let of_column = |text: fn(&Column) -> String| {
        move |kernel: &Examined| kernel.column.as_ref().map_or_else(|| "-".to_owned(), text)
    };
    rows.push(row("SCENARIO", &|kernel| kernel.line.to_owned()));
    for scenario in played(kernels) {
        rows.push(row(scenario, &|kernel| kernel.cell(scenario).map_or("-", short).to_owned()));
    }
    if kernels.iter().any(|kernel| kernel.column.is_some()) {
        rows.push(row("ledger", &of_column(|column| ledger(column).to_owned())));
        rows.push(row(
            "right/unknown/wrong",
            &of_column(|column| Score::with_reason(column).text()),
        ));
        rows.push(row(
            "  without the reason",
            &of_column(|column| Score::without_reason(column).text()),
        ));
    }
    let mut tests = vec![row("TEST", &|kernel| kernel.line.to_owned())];
    for test in Test::value_variants() {
        tests.push(row(&test.name(), &|kernel| {
            match kernel.finding(*test) {
                None => "-",
                Some(finding) if finding.passed => "pass",
                Some(_) => "FAIL",
            }
            .to_owned()
        }));
    }
    tests.push(row("seconds", &|kernel| format!("{:.0}", kernel.took.as_secs_f64())));

    let mut lines = vec![];
    if rows.len() > 1 {
        lines.extend(aligned(&rows));
        lines.push(String::new());
    }
    lines.extend(aligned(&tests));
    for kernel in kernels {
        lines.push(String::new());
        lines.extend(details(kernel));
    }
    lines
}

fn details(kernel: &Examined) -> Vec<String> {
    let mut lines = vec![match &kernel.version {
        Some(version) => format!("{}: {} ({version})", kernel.line, kernel.release),
        None => format!("{}: {}", kernel.line, kernel.release),
    }];
    if !kernel.absent.is_empty() {
        lines.push(format!("  no module {}", kernel.absent.join(", ")));
    }
    lines.extend(kernel.notes.iter().map(|note| format!("  {note}")));
    for cell in kernel.column.iter().flat_map(|column| &column.cells) {
        if let (Verdict::Unhooked(_) | Verdict::Impossible(_), Some(why)) =
            (&cell.verdict, why(cell))
        {
            lines.push(format!("  {} {}: {why}", short(cell), cell.scenario));
        }
    }
    for site in kernel.doctor.iter().flat_map(|doctor| &doctor.sites) {
        let hook = site.hook.as_deref().unwrap_or("NOT seen");
        lines.push(format!("  {:<28} {hook} {}", site.site, site.detail));
    }
    for finding in kernel.findings.iter().filter(|finding| !finding.passed) {
        lines.push(format!("  FAIL {}", finding.test.name()));
        lines.extend(finding.details.iter().map(|detail| format!("    {detail}")));
    }
    lines
}

/// Columns as wide as their widest cell.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(String::len).max())
        .map(Option::unwrap_or_default)
        .collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn cell(scenario: &str, verdict: Verdict) -> Cell {
        Cell {
            scenario: scenario.to_owned(),
            expected: "app_linger0".to_owned(),
            cause: (verdict == Verdict::Ok).then(|| "app_linger0".to_owned()),
            without_reason: (verdict == Verdict::Ok).then(|| "unknown".to_owned()),
            verdict,
        }
    }

    pub(crate) fn examined() -> Examined {
        let mut kernel = Examined::new("5.10", "5.10.0-46-cloud-amd64", Some("5.10.262-1"));
        kernel.take(Message::Column(Column {
            cells: vec![
                cell("linger0_close", Verdict::Ok),
                cell("mptcp", Verdict::Impossible("no MPTCP before 5.19".to_owned())),
                cell("broken", Verdict::Wrong(vec!["recorded 2 times".to_owned()])),
            ],
            ledger: Balance::Even,
        }));
        kernel.take(Message::Finding(Finding {
            test: Test::Causes,
            passed: false,
            details: vec!["broken: recorded 2 times".to_owned()],
        }));
        kernel
    }

    #[test]
    fn every_cell_is_told() {
        let kernel = examined();
        assert!(!kernel.passed());
        let text = tables(&[kernel]).join("\n");
        for wanted in [
            "linger0_close         ok\n",
            "mptcp                 impossible\n",
            "broken                WRONG\n",
            "right/unknown/wrong   1/0/0\n",
            "  without the reason  0/1/0\n",
            "causes      FAIL\n",
            "modules     -\n",
            "impossible mptcp: no MPTCP before 5.19\n",
            "    broken: recorded 2 times",
        ] {
            assert!(text.contains(wanted), "{wanted:?} in\n{text}");
        }
    }
}
