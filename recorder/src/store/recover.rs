//! Seals the spools that a killed recorder left behind.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrowPrimitiveType, PrimitiveArray, RecordBatch};
use tcprst_schema::arrow::by_name;
use tcprst_schema::columns::LOSS_COLUMNS;
use tcprst_schema::footer::Footer;
use tcprst_schema::paths::{COUNTS, PARTIAL, SPOOL, SegmentName, spool_dir};
use tcprst_schema::rollup::Rollup;
use tcprst_schema::row::{LossRow, STAGE_COUNTED};
use tcprst_schema::spool::{self, Spool, SpoolError};
use tcprst_schema::tables::Table;
use tcprst_schema::writer::PartialFile;

use crate::error::{Error, Result};
use crate::event::losses::unkeyed;
use crate::stderr::say;
use crate::store::account::{Account, Before};
use crate::store::segment::write_rollup;
use crate::store::table;

/// Counts of a recovery, for the start message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    pub(crate) segments: u64,
    pub(crate) rows: u64,
}

/// Seals every spool in the folder and removes half-written files. The folder must be locked.
pub(crate) fn recover(dir: &Path) -> Result<Recovered> {
    let folder = spool_dir(dir);
    let mut recovered = Recovered::default();
    // Read the whole list first: sealing creates and renames files in this folder, and a listing
    // that is still open may or may not show them.
    let entries = fs::read_dir(&folder).map_err(Error::io("read", &folder))?;
    let paths: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(Error::io("read", &folder))?;
    let is_partial = |path: &&PathBuf| path.to_string_lossy().ends_with(PARTIAL);
    for path in paths.iter().filter(is_partial) {
        remove(path)?;
    }
    let with = |extension: &'static str| {
        paths.iter().filter(move |path| path.extension().is_some_and(|found| found == extension))
    };
    for path in with(SPOOL) {
        let Some(segment) = SegmentName::of_file(path) else {
            continue;
        };
        // Killed between the rename and the removal: the rows are in the sealed file.
        let is_sealed = segment.sealed(dir, Table::Resets).exists();
        if !is_sealed {
            match seal(dir, &segment) {
                Ok(Sealed::Rows { rows, damage }) => {
                    recovered.rows += rows;
                    recovered.segments += 1;
                    if let Some(error) = damage {
                        // The rows before the damage are sealed; the rest may still be of use.
                        set_aside(path, &error)?;
                        continue;
                    }
                }
                // Killed before the first sync: there are no rows.
                Ok(Sealed::NoSchema) => {}
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
    for path in with(COUNTS) {
        let Some(segment) = SegmentName::of_file(path) else {
            continue;
        };
        // Its rows could not be read.
        if !segment.sealed(dir, Table::Resets).exists()
            && let Sealed::Rows { .. } = seal(dir, &segment)?
        {
            recovered.segments += 1;
        }
        if path.exists() {
            remove(path)?;
        }
    }
    Ok(recovered)
}

/// Whether the spool is damaged, as opposed to a failure of the disk.
fn is_damage(error: &Error) -> bool {
    matches!(
        error,
        Error::DamagedSpool { .. } | Error::Batch(_) | Error::MissingColumn(_) | Error::Footer(_)
    )
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

/// What became of a spool.
enum Sealed {
    /// It ends before its schema does.
    NoSchema,
    /// Its whole batches are a segment now, up to the damage if there is any.
    Rows { rows: u64, damage: Option<Error> },
}

/// Seals the spools of a segment.
fn seal(dir: &Path, segment: &SegmentName) -> Result<Sealed> {
    let path = segment.spool(dir);
    let (mut rows, counts) = (read(&path)?, read_counts(&segment.counts(dir))?);
    // A segment without a row has counts alone.
    let Some(footer) = rows.as_ref().or(counts.as_ref()).map(|spool| spool.footer.clone()) else {
        return Ok(Sealed::NoSchema);
    };
    let damage = rows.as_mut().and_then(|rows| rows.damage.take());
    let damage = damage.map(|source| Error::DamagedSpool { path, source });
    let mut account = Account::from_base(&footer.account);
    let mut last_us = footer.recorded_from_us;
    let mut written = 0;
    let mut file = PartialFile::create(segment.partial(dir, Table::Resets), Table::Resets)?;
    let mut rollup = Rollup::default();
    let schema = Table::Resets.spool_schema();
    for batch in rows.iter().flat_map(Spool::batches) {
        let batch = &batch.map_err(Error::Batch)?;
        // The rows hold their number, not what was lost and counted before them: that follows from
        // the gaps. What the kernel half counted, and the recorder had not written, is told as lost.
        for (cpu, seq, time_us) in numbers(batch)? {
            let counted = footer.account.get(cpu as usize).map_or(0, |base| base.counted);
            account.add(cpu, seq, Before { lost: 0, counted });
            last_us = last_us.max(time_us);
        }
        written += batch.num_rows() as u64;
        // Convert to today's columns: the recorder that was killed may have been an older one. The
        // sealed file's schema has no metadata of the spool.
        let batch = by_name(batch, &schema).map_err(Error::Batch)?;
        file.append(&batch)?;
        rollup.add(&batch).map_err(Error::Batch)?;
    }
    let schema = Table::ResetsPerMinute.spool_schema();
    for batch in counts.iter().flat_map(Spool::batches) {
        let batch = by_name(&batch.map_err(Error::Batch)?, &schema).map_err(Error::Batch)?;
        rollup.add(&batch).map_err(Error::Batch)?;
        last_us = last_us.max(last_time(&batch)?);
    }
    let counted = rollup.rows() - written;
    // With a filter by container, gaps between rows are resets that were not requested.
    let seen = match footer.filtered.by_container {
        true => written + counted,
        // Counts are read ahead of rows: some are of the time after the last row.
        false => account.sums().seen.max(written + counted),
    };
    let footer = Footer {
        recorded_to_us: last_us,
        seen,
        written,
        counted,
        lost: seen - written - counted,
        recovered: true,
        ..footer
    };
    // Their keys were lost with the recorder's maps.
    let host = footer.host.as_str().into();
    let (from, to) = (footer.recorded_from_us, footer.recorded_to_us);
    let losses: Vec<LossRow> = [("ring", footer.lost), (STAGE_COUNTED, footer.counted)]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(stage, count)| unkeyed(&host, stage, count, from, to))
        .collect();
    if !losses.is_empty() {
        table::write(dir, segment, Table::Losses, LOSS_COLUMNS, &losses, &footer)?;
    }
    write_rollup(dir, segment, &mut rollup, &footer)?;
    file.seal(&footer, &segment.sealed(dir, Table::Resets))?;
    Ok(Sealed::Rows { rows: written, damage })
}

/// Reads the whole batches of a spool. The last one may be cut off: that is what a crash leaves.
fn read(path: &Path) -> Result<Option<Spool>> {
    match spool::read(path) {
        Err(SpoolError::Io(source)) if source.kind() == ErrorKind::NotFound => return Ok(None),
        read => read,
    }
    .map_err(|error| match error {
        SpoolError::Io(source) => Error::Io { action: "read", path: path.to_owned(), source },
        SpoolError::Damaged(source) => Error::DamagedSpool { path: path.to_owned(), source },
        SpoolError::Footer(source) => Error::Footer(source),
    })
}

/// Reads a spool of counts. Where it is damaged, the batches before the damage are used and the rest is
/// set aside.
fn read_counts(path: &Path) -> Result<Option<Spool>> {
    match read(path) {
        Ok(Some(mut spool)) => {
            if let Some(source) = spool.damage.take() {
                set_aside(path, &Error::DamagedSpool { path: path.to_owned(), source })?;
            }
            Ok(Some(spool))
        }
        Err(error) if is_damage(&error) => set_aside(path, &error).map(|()| None),
        read => read,
    }
}

/// The last time in a batch of counts.
fn last_time(batch: &RecordBatch) -> Result<i64> {
    let time = batch.column_by_name("time").ok_or(Error::MissingColumn("time"))?;
    let time = time.as_primitive_opt::<TimestampMicrosecondType>();
    let time = time.ok_or(Error::MissingColumn("time"))?;
    Ok(time.values().iter().copied().max().unwrap_or(i64::MIN))
}

/// CPU, number and time of each row.
fn numbers(batch: &RecordBatch) -> Result<impl Iterator<Item = (u32, u64, i64)>> {
    fn column<T: ArrowPrimitiveType>(
        batch: &RecordBatch,
        name: &'static str,
    ) -> Result<PrimitiveArray<T>> {
        let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt());
        column.cloned().ok_or(Error::MissingColumn(name))
    }
    let cpu = column::<Int32Type>(batch, "cpu")?;
    let seq = column::<Int64Type>(batch, "seq")?;
    let time = column::<TimestampMicrosecondType>(batch, "time")?;
    Ok((0..cpu.len()).map(move |row| {
        (cpu.value(row).cast_unsigned(), seq.value(row).cast_unsigned(), time.value(row))
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tcprst_schema::footer::{CpuAccount, Origin};
    use tcprst_schema::profile::pack;
    use tcprst_schema::row::Row;
    use tempfile::TempDir;

    use super::*;
    use crate::store::full_row::full_row;
    use crate::store::own::OwnBatch;
    use crate::store::profiles::SegmentProfiles;
    use crate::store::spool::Spool;

    /// The bytes of a spool with so many batches of one row.
    fn spool_of(batches: u64) -> Vec<u8> {
        let dir = TempDir::new().expect("a folder");
        let path = dir.path().join("spool");
        let origin = Origin { recorder: "0.1.0", host: "web", boot_id: "b", kernel: "6.18" };
        let account = vec![CpuAccount::default(); 64];
        let footer = Footer { account, ..Footer::new(origin) };
        let mut spool = Spool::create(path.clone(), &footer).expect("a spool");
        let (mut own, mut profiles) = (OwnBatch::new(), SegmentProfiles::new());
        for seq in 1..=batches {
            let row = Arc::new(Row { cpu: 0, seq, ..full_row() });
            let number = profiles.number(&row);
            own.append(&row);
            let columns = profiles.columns().expect("profiles");
            let batch = pack(&own.finish().expect("a batch"), &[number], &columns).expect("packed");
            spool.append(&batch).expect("appended");
        }
        spool.sync().expect("synced");
        fs::read(path).expect("the bytes")
    }

    /// What recovery leaves of a spool with these bytes: rows that are sealed, and the names in the
    /// folder of spools.
    fn recovered(bytes: &[u8]) -> (u64, Vec<String>) {
        let dir = TempDir::new().expect("a folder");
        let folder = spool_dir(dir.path());
        fs::create_dir(&folder).expect("made");
        let name = SegmentName::new("web", 1_795_292_299_123_456, 1);
        fs::write(name.spool(dir.path()), bytes).expect("written");
        let rows = recover(dir.path()).expect("recovered").rows;
        let left = fs::read_dir(&folder).expect("read").flatten();
        let left = left.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let is_sealed = name.sealed(dir.path(), Table::Resets).exists();
        assert_eq!(is_sealed, rows > 0, "a segment for the rows, and none without");
        (rows, left.collect())
    }

    const ASIDE: &str = "web-20261121T201819.123456Z-000001.arrows.damaged";

    #[test]
    fn a_whole_and_a_cut_spool_are_sealed_and_removed() {
        let bytes = spool_of(3);
        assert_eq!(recovered(&bytes), (3, vec![]));
        assert_eq!(recovered(&bytes[..bytes.len() - 5]), (2, vec![]));
    }

    #[test]
    fn a_spool_without_a_whole_schema_is_removed() {
        assert_eq!(recovered(&spool_of(0)[..200]), (0, vec![]));
        assert_eq!(recovered(&[]), (0, vec![]));
    }

    #[test]
    fn the_rows_before_the_damage_are_sealed_and_the_spool_is_kept() {
        let second = spool_of(1).len();
        let mut bytes = spool_of(3);
        // The message of the second batch, behind its length.
        bytes[second + 8..second + 40].fill(0xff);
        assert_eq!(recovered(&bytes), (1, vec![ASIDE.to_owned()]));
    }

    #[test]
    fn a_foreign_file_and_a_damaged_length_are_set_aside() {
        assert_eq!(recovered(b"PAR1 and something else"), (0, vec![ASIDE.to_owned()]));
        let mut bytes = spool_of(2);
        bytes[7] = 0x7f;
        assert_eq!(recovered(&bytes), (0, vec![ASIDE.to_owned()]));
    }
}
