//! The table `files`: one row per segment of `resets`, from its footer.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringDictionaryBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Int32Type, SchemaRef};
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::physical_plan::ExecutionPlan;
use tcprst_schema::arrow::table_schema;
use tcprst_schema::columns::{Column, Encoding, Kind, Value};
use tcprst_schema::footer::{Footer, SiteStatus};
use tcprst_schema::tables::Table;

use crate::recording::Recording;
use crate::recording::provider::Scan;
use crate::recording::prune::{Times, literal_us};
use crate::recording::scan::{Read, scan_batches};
use crate::recording::sealed::Sealed;
use crate::recording::spool::Live;
use crate::recording::types::as_read;

/// One row of `files`.
#[derive(Debug)]
pub(crate) struct FileRow {
    path: String,
    footer: Footer,
    rows: i64,
    bytes: u64,
    /// `None` for a spool.
    row_groups: Option<usize>,
}

impl FileRow {
    fn is_sealed(&self) -> bool {
        self.row_groups.is_some()
    }

    /// A value of the footer that is known only when the segment is sealed.
    fn at_seal(&self, value: i64) -> Value<'static> {
        if self.is_sealed() { Value::Int(value) } else { Value::Null }
    }
}

impl From<&Sealed> for FileRow {
    fn from(file: &Sealed) -> Self {
        Self {
            path: file.path.display().to_string(),
            footer: file.footer.clone(),
            rows: file.rows,
            bytes: file.bytes,
            row_groups: Some(file.row_groups),
        }
    }
}

impl From<&Live> for FileRow {
    fn from(spool: &Live) -> Self {
        Self {
            path: spool.path.display().to_string(),
            footer: spool.footer.clone(),
            rows: i64::try_from(spool.rows()).unwrap_or(i64::MAX),
            bytes: spool.bytes,
            row_groups: None,
        }
    }
}

const fn column(
    name: &'static str,
    kind: Kind,
    nullable: bool,
    doc: &'static str,
    value: for<'a> fn(&'a FileRow) -> Value<'a>,
) -> Column<FileRow> {
    let (encoding, encoding_reason) = (Encoding::Plain, "made from the footers, not stored");
    Column { name, kind, nullable, encoding, encoding_reason, doc, value }
}

/// The columns of `files`.
#[rustfmt::skip]
pub(crate) const FILE_COLUMNS: &[Column<FileRow>] = &[
    column("path", Kind::Text, false, "Path of the segment.", |f| text(&f.path)),
    column("host", Kind::Text, false, "Name of the host.", |f| text(&f.footer.host)),
    column("boot_id", Kind::Text, false, "Boot of that host: `boot_ns`, cookies and ids are comparable only within one boot.", |f| text(&f.footer.boot_id)),
    column("kernel", Kind::Text, false, "Release of its kernel.", |f| text(&f.footer.kernel)),
    column("recorder", Kind::Text, false, "Version of tcprst-record.", |f| text(&f.footer.recorder)),
    column("schema_version", Kind::Int32, false, "Version of the columns.", |f| Value::Int(f.footer.schema_version.into())),
    column("taxonomy_version", Kind::Int32, false, "Version of the rules that named the causes.", |f| Value::Int(f.footer.taxonomy_version.into())),
    column("recorded_from", Kind::Timestamp, false, "Start of the time that the segment covers, UTC.", |f| Value::Int(f.footer.recorded_from_us)),
    column("recorded_to", Kind::Timestamp, true, "End of that time, UTC; null until the segment is sealed.", |f| f.at_seal(f.footer.recorded_to_us)),
    column("seen", Kind::Int64, true, "Resets that the kernel half saw since the previous segment; null until the segment is sealed.", |f| f.at_seal(f.footer.seen.cast_signed())),
    column("written", Kind::Int64, true, "Resets that the recorder wrote to the segment; null until it is sealed.", |f| f.at_seal(f.footer.written.cast_signed())),
    column("counted", Kind::Int64, true, "Resets of storms, counted in place of a row each; null until the segment is sealed.", |f| f.at_seal(f.footer.counted.cast_signed())),
    column("lost", Kind::Int64, true, "Resets that were seen, but neither written nor counted; null until the segment is sealed.", |f| f.at_seal(f.footer.lost.cast_signed())),
    column("rows", Kind::Int64, false, "Rows in the file now.", |f| Value::Int(f.rows)),
    column("bytes", Kind::Int64, false, "Size of the file.", |f| Value::Int(f.bytes.cast_signed())),
    column("row_groups", Kind::Int32, true, "Parquet row groups; null until the segment is sealed.", |f| f.row_groups.map_or(Value::Null, |n| Value::Int(i64::try_from(n).unwrap_or(i64::MAX)))),
    column("recovered", Kind::Boolean, false, "`true` if the recorder was killed and the next one sealed the segment.", |f| Value::Bool(f.footer.recovered)),
    column("sealed", Kind::Boolean, false, "`false` while the recorder still appends to it.", |f| Value::Bool(f.is_sealed())),
    column("sites", Kind::Text, false, "RST sites of the kernel and the hook of each, `-` without a hook: `SITE=HOOK`, separated by `;`.", |f| Value::Text(Cow::Owned(sites(&f.footer.sites)))),
];

fn text(value: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(value))
}

fn sites(sites: &[SiteStatus]) -> String {
    sites
        .iter()
        .map(|status| format!("{}={}", status.site, status.hook.as_deref().unwrap_or("-")))
        .collect::<Vec<_>>()
        .join(";")
}

/// The table `files`. A query of it reads the footers.
#[derive(Debug)]
pub(crate) struct FilesTable {
    schema: SchemaRef,
    recording: Arc<Recording>,
}

impl FilesTable {
    pub(crate) fn new(recording: Arc<Recording>) -> Self {
        Self { schema: as_read(&table_schema(FILE_COLUMNS)), recording }
    }
}

impl Scan for FilesTable {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn scan(&self, _: &dyn Session, read: &Read<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        // A name bounds the day of a segment only from below: a quiet host starts no new segment.
        let from_us = read.filters.iter().filter_map(ended_since).max().unwrap_or(i64::MIN);
        let times = Times { from_us, ..Times::ALL };
        let sealed = self.recording.sealed_within(Table::Resets, times);
        let rows: Vec<FileRow> = (sealed.iter().map(|segment| FileRow::from(&**segment)))
            .chain(self.recording.live().iter().map(FileRow::from))
            .collect();
        let columns = FILE_COLUMNS.iter().map(|column| array(column, &rows)).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        scan_batches(&self.schema, &[vec![batch]], read.projection)
    }
}

/// For `recorded_to is null or recorded_to >= T`: one hour before T, because a segment is sealed
/// shortly after the end of its day.
fn ended_since(filter: &Expr) -> Option<i64> {
    const LATE_US: i64 = 3_600_000_000;
    let is_end = |expr: &Expr| matches!(expr, Expr::Column(column) if column.name == "recorded_to");
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let is_open = |expr: &Expr| matches!(expr, Expr::IsNull(of) if is_end(of));
            match (is_open(left), is_open(right)) {
                (true, _) => ended_since(right),
                (_, true) => ended_since(left),
                _ => None,
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::GtEq, right }) if is_end(left) => {
            literal_us(right).map(|us| us.saturating_sub(LATE_US))
        }
        _ => None,
    }
}

/// One column, with the type from [`as_read`].
fn array(column: &Column<FileRow>, rows: &[FileRow]) -> ArrayRef {
    let values = rows.iter().map(column.value);
    match column.kind {
        Kind::Int32 => Arc::new(
            values.map(|v| int(&v).and_then(|v| i32::try_from(v).ok())).collect::<Int32Array>(),
        ),
        Kind::Int64 => Arc::new(values.map(|v| int(&v)).collect::<Int64Array>()),
        Kind::Timestamp => Arc::new(
            values.map(|v| int(&v)).collect::<TimestampMicrosecondArray>().with_timezone("UTC"),
        ),
        Kind::Boolean => Arc::new(
            values
                .map(|v| if let Value::Bool(v) = v { Some(v) } else { None })
                .collect::<BooleanArray>(),
        ),
        Kind::Text => {
            let mut texts = StringDictionaryBuilder::<Int32Type>::new();
            values.for_each(|v| texts.append_option(v.as_text()));
            Arc::new(texts.finish())
        }
    }
}

fn int(value: &Value<'_>) -> Option<i64> {
    if let Value::Int(value) = value { Some(*value) } else { None }
}

#[cfg(test)]
mod tests {
    use datafusion::common::ScalarValue;
    use datafusion::prelude::{col, lit};

    use super::*;

    #[test]
    fn footers_of_what_ended_before_are_spared() {
        let at = |us| lit(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())));
        let hour = 3_600_000_000;
        let since = col("recorded_to").gt_eq(at(2 * hour));
        assert_eq!(ended_since(&since), Some(hour));
        let or_open = col("recorded_to").is_null().or(since.clone());
        assert_eq!(ended_since(&or_open), Some(hour));
        assert_eq!(ended_since(&since.clone().or(col("host").is_null())), None);
        assert_eq!(ended_since(&col("recorded_from").gt_eq(at(hour))), None);
    }
}
