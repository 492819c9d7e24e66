//! One file of a table other than `resets`.

use std::path::Path;

use tcprst_schema::columns::Column;
use tcprst_schema::footer::Footer;
use tcprst_schema::paths::SegmentName;
use tcprst_schema::tables::Table;
use tcprst_schema::writer::PartialFile;

use crate::error::Result;
use crate::store::batch::Batch;

/// Writes it. Its own account is empty: losses are counted in the footers of `resets`, and must
/// not be counted twice.
pub(crate) fn write<R>(
    dir: &Path,
    name: &SegmentName,
    table: Table,
    columns: &'static [Column<R>],
    rows: &[R],
    footer: &Footer,
) -> Result<()> {
    let mut batch = Batch::new(columns);
    rows.iter().for_each(|row| batch.append(row));
    let mut file = PartialFile::create(name.partial(dir, table), table)?;
    file.append(&batch.finish()?)?;
    let footer = footer.for_companion(rows.len() as u64);
    Ok(file.seal(&footer, &name.sealed(dir, table))?)
}
