//! Compares statements of files about each other.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use tcprst_schema::paths::SegmentName;
use tcprst_schema::tables::{Content, Table};

use super::file::{Checked, FileKind, Status};
use crate::output::numbers::counted;

pub(super) fn compare(checked: &mut Vec<Checked>) {
    compare_rollups(checked);
    let found = compare_losses(checked);
    checked.extend(found);
}

/// The recording folder that contains a file.
fn recording(path: &Path) -> PathBuf {
    // DIR/TABLE/date=.../FILE
    path.ancestors().nth(3).unwrap_or(path).to_owned()
}

/// Each rollup, by the minute, hour or day, must count the resets of the segment with its name.
fn compare_rollups(checked: &mut [Checked]) {
    let key = |file: &Checked| Some((recording(&file.path), file.name()?));
    let segments: HashMap<(PathBuf, SegmentName), Option<i64>> = checked
        .iter()
        .filter(|file| file.kind == FileKind::Sealed(Table::Resets))
        .filter_map(|file| {
            let counted = file.footer.as_ref().map_or(0, |footer| footer.counted.cast_signed());
            let resets = file.rows.map(|rows| rows + counted);
            Some((key(file)?, resets.filter(|_| file.status != Status::Broken)))
        })
        .collect();
    for file in checked.iter_mut() {
        let is_rollup =
            matches!(file.kind, FileKind::Sealed(table) if table.row().content == Content::Rollup);
        if !is_rollup || file.status == Status::Broken {
            continue;
        }
        let Some(of) = key(file) else { continue };
        match segments.get(&of) {
            Some(Some(of_segment)) if *of_segment != file.sum => {
                let resets = counted(file.sum, "reset");
                file.wrong(format_args!("counts {resets}, but its segment has {of_segment}"));
            }
            Some(_) => {}
            // A rollup is written just before its segment, which may exist by now.
            None if is_coming(&of) => {}
            None => file.wrong("resets has no segment of this name"),
        }
    }
}

fn is_coming((dir, name): &(PathBuf, SegmentName)) -> bool {
    name.spool(dir).exists() || name.sealed(dir, Table::Resets).exists()
}

/// Resets by the footers of `resets`, and by the rows of `losses`.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    footers: u64,
    losses: u64,
}

/// The files of one boot of one host.
#[derive(Debug, Default)]
struct Boot {
    dir: PathBuf,
    /// How often each file number occurs: once for each run of the recorder.
    numbers: BTreeMap<u32, u32>,
    lost: Sums,
    /// Resets of storms.
    counted: Sums,
    is_recovered: bool,
    /// Some files are missing or unfinished, so that the two sums cannot be compared.
    is_partial: bool,
}

impl Boot {
    /// Whether all files are present. A recorder numbers its files from 1, so a gap shows a missing
    /// file (retention removes the oldest).
    fn is_whole(&self) -> bool {
        let runs: Vec<u32> = self.numbers.values().copied().collect();
        let has_all = self.numbers.keys().copied().eq(1..=self.numbers.len() as u32);
        has_all && runs.is_sorted_by(|one, next| one >= next) && !self.is_partial
    }
}

/// `losses` must report as many resets as the footers of `resets`.
fn compare_losses(checked: &[Checked]) -> Vec<Checked> {
    let mut boots: BTreeMap<(PathBuf, String, String), Boot> = BTreeMap::new();
    let mut names: HashMap<(PathBuf, SegmentName), u32> = HashMap::new();
    let is_damaged = checked.iter().any(|file| file.status == Status::Broken);
    for file in checked {
        let (Some(footer), Some(name)) = (&file.footer, file.name()) else { continue };
        let dir = match file.kind {
            FileKind::Sealed(_) => recording(&file.path),
            FileKind::Spool | FileKind::SetAside => {
                file.path.ancestors().nth(2).unwrap_or(&file.path).to_owned()
            }
        };
        let key = (dir.clone(), footer.host.clone(), footer.boot_id.clone());
        let boot = boots.entry(key).or_default();
        boot.dir.clone_from(&dir);
        let is_merged = !footer.merged.is_empty();
        boot.is_partial |= is_damaged || is_merged || file.kind == FileKind::Spool;
        match file.kind {
            FileKind::Sealed(Table::Resets) => {
                boot.lost.footers += footer.lost;
                boot.counted.footers += footer.counted;
                boot.is_recovered |= footer.recovered;
            }
            FileKind::Sealed(Table::Losses) => {
                boot.lost.losses += (file.sum - file.counted).cast_unsigned();
                boot.counted.losses += file.counted.cast_unsigned();
            }
            _ => {}
        }
        // The rollup of a segment has its name, and so has the losses file of its recovery.
        let seq = name.seq();
        let times = names.entry((dir, name)).or_default();
        *times += 1;
        if *times == 1 {
            *boot.numbers.entry(seq).or_default() += 1;
        }
    }
    let mut found = Vec::new();
    for ((_, host, _), boot) in boots {
        // What was reported before a recorder was killed may be reported again on recovery.
        let agrees = |Sums { footers, losses }: Sums| {
            losses == footers || (boot.is_recovered && losses > footers)
        };
        for (sums, what) in [(boot.lost, "lost reset"), (boot.counted, "counted reset")] {
            if !boot.is_whole() || agrees(sums) {
                continue;
            }
            let mut file =
                Checked::new(FileKind::Sealed(Table::Losses), &boot.dir.join(Table::Losses.name()));
            file.wrong(format_args!(
                "reports {} of {host}, but the footers report {}",
                counted(sums.losses, what),
                sums.footers
            ));
            found.push(file);
        }
    }
    found
}
