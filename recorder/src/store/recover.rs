//! What a killed recorder left behind becomes sealed segments.

use std::fs;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrowPrimitiveType, PrimitiveArray, RecordBatch};
use tcprst_schema::arrow::{by_name, spool_schema};
use tcprst_schema::columns::{COLUMNS, LOSS_COLUMNS};
use tcprst_schema::footer::Footer;
use tcprst_schema::paths::{PARTIAL, SPOOL, SegmentName, Table, spool_dir};
use tcprst_schema::rollup::Rollup;
use tcprst_schema::writer::PartialFile;

use crate::error::{Error, Result};
use crate::event::losses::unkeyed;
use crate::stderr::say;
use crate::store::account::Account;
use crate::store::segment::write_rollup;
use crate::store::spool::{self, Leftover};
use crate::store::table;

/// What recovery did, for the start message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    pub segments: u64,
    pub rows: u64,
}

/// Seals every spool in the folder and removes half-written files. The folder must be locked.
pub fn recover(dir: &Path) -> Result<Recovered> {
    let folder = spool_dir(dir);
    let mut recovered = Recovered::default();
    // The whole list first: sealing makes and renames files in this folder, and a listing that
    // is still open may or may not show them.
    let entries = fs::read_dir(&folder).map_err(Error::io("read", &folder))?;
    let paths: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(Error::io("read", &folder))?;
    let is_partial = |path: &&PathBuf| path.to_string_lossy().ends_with(PARTIAL);
    for path in paths.iter().filter(is_partial) {
        remove(path)?;
    }
    for path in paths.iter().filter(|path| path.extension().is_some_and(|e| e == SPOOL)) {
        let Some(segment) = SegmentName::of_file(path) else {
            continue;
        };
        // Killed between the rename and the removal: the rows are safe.
        let is_sealed = segment.sealed(dir, Table::Resets).exists();
        // Killed before the first sync: there never was a row.
        let is_empty = fs::metadata(path).is_ok_and(|file| file.len() == 0);
        if !is_sealed && !is_empty {
            match seal(dir, &segment, path) {
                Ok(rows) => {
                    recovered.rows += rows;
                    recovered.segments += 1;
                }
                // A damaged spool must not keep the recorder from starting, now and ever again.
                Err(error) if is_damage(&error) => {
                    set_aside(path, &error)?;
                    continue;
                }
                Err(error) => return Err(error),
            }
        }
        remove(path)?;
    }
    Ok(recovered)
}

/// Whether the spool is at fault, and not the disk.
fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Spool { .. } | Error::Batch(_) | Error::Missing(_) | Error::Footer(_))
}

fn set_aside(path: &Path, error: &Error) -> Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    fs::rename(path, &aside).map_err(Error::io("rename to", &aside))?;
    say!("{error}: set aside as {}", Path::new(&aside).display());
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).map_err(Error::io("remove", path))
}

/// Seals one spool and says how many rows it had.
fn seal(dir: &Path, segment: &SegmentName, path: &Path) -> Result<u64> {
    let Leftover { footer, batches } = spool::read(path)?;
    let mut account = Account::from_base(&footer.account);
    let mut last_us = footer.recorded_from_us;
    let mut written = 0;
    let mut file = PartialFile::create(segment.partial(dir, Table::Resets), COLUMNS)?;
    let mut rollup = Rollup::default();
    let schema = spool_schema(COLUMNS);
    for batch in &batches {
        // The rows carry their number, not the losses before: those follow from the gaps.
        for (cpu, seq, time_us) in numbers(batch)? {
            account.add(cpu, seq, 0);
            last_us = last_us.max(time_us);
        }
        written += batch.num_rows() as u64;
        // In today's columns: the recorder that was killed may have been an older one. The writer
        // of the sealed file knows them without the spool's metadata.
        let batch = by_name(batch, &schema).map_err(Error::Batch)?;
        file.append(&batch)?;
        rollup.add(&batch).map_err(Error::Batch)?;
    }
    // Between rows that a filter by container chose, the others are missing for a reason.
    let seen = if footer.filtered.by_container { written } else { account.sums().seen };
    let footer = Footer {
        recorded_to_us: last_us,
        seen,
        written,
        lost: seen.saturating_sub(written),
        recovered: true,
        ..footer
    };
    if footer.lost > 0 {
        // By what they had in common died with the recorder's maps.
        let host = footer.host.as_str().into();
        let (from, to) = (footer.recorded_from_us, footer.recorded_to_us);
        let row = unkeyed(&host, "ring", footer.lost, from, to);
        table::write(dir, segment, Table::Losses, LOSS_COLUMNS, &[row], footer.clone())?;
    }
    write_rollup(dir, segment, &mut rollup, &footer)?;
    file.seal(&footer, &segment.sealed(dir, Table::Resets))?;
    Ok(written)
}

/// CPU, number and time of each row.
fn numbers(batch: &RecordBatch) -> Result<impl Iterator<Item = (u32, u64, i64)>> {
    fn column<T: ArrowPrimitiveType>(
        batch: &RecordBatch,
        name: &'static str,
    ) -> Result<PrimitiveArray<T>> {
        let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt());
        column.cloned().ok_or(Error::Missing(name))
    }
    let cpu = column::<Int32Type>(batch, "cpu")?;
    let seq = column::<Int64Type>(batch, "seq")?;
    let time = column::<TimestampMicrosecondType>(batch, "time")?;
    Ok((0..cpu.len()).map(move |row| {
        (cpu.value(row).cast_unsigned(), seq.value(row).cast_unsigned(), time.value(row))
    }))
}
