//! Small recordings, written with the schema crate as by the recorder.
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::writer::StreamWriter;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use tcprst_schema::arrow::{by_name, spool_schema, table_schema};
use tcprst_schema::columns::{COLUMNS, Column, Kind, LOSS_COLUMNS, Value};
use tcprst_schema::footer::{CpuAccount, Footer, Origin, SiteStatus};
use tcprst_schema::paths::SegmentName;
use tcprst_schema::profile::{own_schema, pack, packed_schema, profile_fields};
use tcprst_schema::rollup::Rollup;
use tcprst_schema::row::{LossRow, Row, SocketOwner, Stack, Task};
use tcprst_schema::tables::Table;
use tempfile::TempDir;

/// 2026-11-21T20:18:19Z.
pub(crate) const START_US: i64 = 1_795_292_299_000_000;

/// A folder as a recorder leaves it.
pub(crate) struct Recording {
    pub(crate) dir: TempDir,
}

impl Recording {
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::new().expect("a temporary folder") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A sealed segment of `resets`, with its rollup.
    pub(crate) fn seal(&self, seq: u32, rows: &[Row]) -> PathBuf {
        let batch = batch(COLUMNS, rows);
        let mut rollup = Rollup::default();
        rollup.add(&batch).expect("counted");
        let (written, counts) = (rollup.rows(), rollup.finish().expect("a rollup"));
        let path = name(seq).sealed(self.path(), Table::ResetsPerMinute);
        let footer = footer(0).for_companion(written);
        write_parquet(&path, &counts, Table::ResetsPerMinute, Some(&footer));
        self.seal_columns(seq, &batch)
    }

    /// A sealed segment from a batch, which may have other columns.
    pub(crate) fn seal_columns(&self, seq: u32, batch: &RecordBatch) -> PathBuf {
        let path = name(seq).sealed(self.path(), Table::Resets);
        write_parquet(&path, batch, Table::Resets, Some(&footer(batch.num_rows())));
        path
    }

    /// A sealed segment of `losses`.
    pub(crate) fn lose(&self, seq: u32, rows: &[LossRow]) -> PathBuf {
        let path = name(seq).sealed(self.path(), Table::Losses);
        write_parquet(&path, &batch(LOSS_COLUMNS, rows), Table::Losses, Some(&footer(0)));
        path
    }

    /// A spool with one batch per entry of `batches`, as today's recorder writes it; its last `cut`
    /// bytes are not written yet.
    pub(crate) fn spool(&self, seq: u32, batches: &[Vec<Row>], cut: usize) -> PathBuf {
        let packed = batches.iter().map(|rows| {
            let table = batch(COLUMNS, rows);
            let own = by_name(&table, &own_schema()).expect("own columns");
            let fields = profile_fields();
            let schema: SchemaRef = Arc::new(Schema::new(fields));
            let profiles = StructArray::from(by_name(&table, &schema).expect("profiles"));
            // Each row has a profile to itself.
            let numbers: Vec<u32> = (0..rows.len() as u32).collect();
            pack(&own, &numbers, &Arc::new(profiles)).expect("packed")
        });
        self.spool_of(seq, &packed_schema(), packed, cut)
    }

    /// The same as recorders before 0.2 wrote it, with a column for everything.
    pub(crate) fn old_spool(&self, seq: u32, batches: &[Vec<Row>]) -> PathBuf {
        let schema = spool_schema(COLUMNS);
        let plain =
            batches.iter().map(|rows| by_name(&batch(COLUMNS, rows), &schema).expect("a batch"));
        self.spool_of(seq, &schema, plain, 0)
    }

    fn spool_of(
        &self,
        seq: u32,
        schema: &SchemaRef,
        batches: impl Iterator<Item = RecordBatch>,
        cut: usize,
    ) -> PathBuf {
        let pairs = footer(0).to_pairs().expect("a footer").into_iter().collect();
        let schema = Schema::new_with_metadata(schema.fields().clone(), pairs);
        let mut bytes = Vec::new();
        let mut writer = StreamWriter::try_new(&mut bytes, &schema).expect("a stream");
        batches.for_each(|batch| writer.write(&batch).expect("written"));
        // The recorder is still running: no end-of-stream message.
        writer.flush().expect("flushed");
        drop(writer);
        bytes.truncate(bytes.len() - cut);
        let path = name(seq).spool(self.path());
        put(&path, &bytes);
        path
    }

    /// Runs the program on this folder.
    pub(crate) fn analyze(&self, arguments: &[&str]) -> Output {
        analyze(&[&["--data", self.path().to_str().expect("UTF-8")], arguments].concat(), "")
    }

    /// Result of a query as CSV, without its header; the program must succeed.
    pub(crate) fn query(&self, sql: &str) -> String {
        let output = self.analyze(&["--format", "csv", sql]);
        assert_eq!(stderr(&output), "", "{sql}");
        assert_eq!(output.status.code(), Some(0), "{sql}");
        stdout(&output).split_once('\n').expect("a header").1.to_owned()
    }
}

pub(crate) fn analyze(arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tcprst-analyze"))
        .args(arguments)
        .env_remove("TCPRST_DATA")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // The program may have ended without reading stdin.
    let _ = child.stdin.take().expect("a pipe").write_all(stdin.as_bytes());
    child.wait_with_output().expect("the program ends")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// Expects one line of the program on stderr, an empty stdout and this exit code; returns the line.
pub(crate) fn one_line(output: &Output, code: i32) -> String {
    let text = stderr(output);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("tcprst-analyze: "), "{text}");
    assert_eq!(stdout(output), "", "{text}");
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

pub(crate) fn put(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, bytes).expect("written");
}

pub(crate) fn name(seq: u32) -> SegmentName {
    SegmentName::new("web-1", START_US + i64::from(seq), seq)
}

/// `count` resets, the first with number `from`.
pub(crate) fn rows(from: u64, count: u64) -> Vec<Row> {
    (from..from + count).map(row).collect()
}

pub(crate) fn row(seq: u64) -> Row {
    let callers = ["tcp_disconnect", "__tcp_close", "tcp_v4_rcv"];
    let caller: Arc<str> = callers[(seq % 3) as usize].into();
    Row {
        time_us: START_US + (seq as i64) * 60_000_000,
        boot_ns: seq * 1000,
        cpu: 0,
        seq,
        host: "web-1".into(),
        direction: "sent",
        netns_id: Some(4_026_531_840),
        netns_cookie: Some(1),
        stack: Arc::new(Stack {
            callee: Some("tcp_send_active_reset".into()),
            caller: Some(Arc::clone(&caller)),
            folded: Some(format!("entry;{caller};tcp_send_active_reset").into()),
            frames: Vec::new(),
            ..Stack::default()
        }),
        cause: "unknown",
        blame: None,
        reason: None,
        reason_code: None,
        sk_state: Some("ESTABLISHED".into()),
        context: Some("task"),
        answered_flags: None,
        sk_flags: None,
        past: None,
        past_us: None,
        first: None,
        accept_queue: None,
        icmp: None,
        src: Some((IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 80)),
        dst: Some((IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 40_000)),
        task: None,
        socket: SocketOwner::default(),
        owner_from: None,
        owner: None,
        peer: None,
    }
}

/// A reset by a process of that name.
pub(crate) fn row_by(seq: u64, comm: &str) -> Row {
    let task =
        Task { pid: 7, tid: 7, uid: 0, gid: 0, comm: comm.into(), mntns_id: None, cgroup_id: None };
    Row { task: Some(task), ..row(seq) }
}

pub(crate) fn loss(count: u64) -> LossRow {
    LossRow {
        from_us: START_US,
        to_us: START_US + 1_000_000,
        host: "web-1".into(),
        stage: "ring",
        count,
        netns_id: None,
        netns_cookie: None,
        callee: None,
        caller: Some("tcp_v4_rcv".into()),
        reason: None,
        reason_code: None,
        family: Some("ipv4"),
        src_port: Some(80),
    }
}

pub(crate) fn footer(rows: usize) -> Footer {
    let origin = Origin { recorder: "0.1.0", host: "web-1", boot_id: "b", kernel: "6.18" };
    Footer {
        recorded_from_us: START_US,
        recorded_to_us: START_US + 300_000_000,
        sites: vec![SiteStatus {
            site: "nf_send_reset".into(),
            hook: Some("kprobe".into()),
            detail: "attached".into(),
            ..SiteStatus::default()
        }],
        seen: rows as u64 + 2,
        written: rows as u64,
        lost: 2,
        account: vec![CpuAccount::default()],
        ..Footer::new(origin)
    }
}

/// Rows as columns, in the table's schema.
pub(crate) fn batch<R>(columns: &[Column<R>], rows: &[R]) -> RecordBatch {
    let arrays = columns.iter().map(|column| array(column, rows)).collect();
    RecordBatch::try_new(table_schema(columns), arrays).expect("a batch")
}

fn array<R>(column: &Column<R>, rows: &[R]) -> ArrayRef {
    let ints = || {
        rows.iter().map(|row| if let Value::Int(v) = (column.value)(row) { Some(v) } else { None })
    };
    match column.kind {
        Kind::Int32 => Arc::new(ints().map(|v| v.map(|v| v as i32)).collect::<Int32Array>()),
        Kind::Int64 => Arc::new(ints().collect::<Int64Array>()),
        Kind::Timestamp => {
            Arc::new(ints().collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        }
        Kind::Boolean => Arc::new(BooleanArray::from(vec![None; rows.len()])),
        Kind::Text => Arc::new(
            rows.iter()
                .map(|row| if let Value::Text(v) = (column.value)(row) { Some(v) } else { None })
                .collect::<StringArray>(),
        ),
    }
}

/// A Parquet file as the recorder writes it, or without a footer as other programs write it.
pub(crate) fn write_parquet(
    path: &Path,
    batch: &RecordBatch,
    table: Table,
    footer: Option<&Footer>,
) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    let pairs = footer.map(|footer| footer.to_key_values().expect("a footer"));
    let options = ArrowWriterOptions::new()
        .with_skip_arrow_metadata(true)
        .with_properties(table.writer_properties().set_key_value_metadata(pairs).build());
    let file = File::create(path).expect("created");
    let mut writer =
        ArrowWriter::try_new_with_options(file, batch.schema(), options).expect("a writer");
    writer.write(batch).expect("written");
    writer.close().expect("closed");
}
