//! Hostile values through every format: nothing executes, nothing breaks a table, and a program
//! that reads the data gets the recorded text.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use arrow::ipc::reader::StreamReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use tcprst_schema::columns::COLUMNS;

use crate::common::{Recording, batch, row_by, stderr};

const EVENTS: usize = 100;

/// Hostile texts; the recording repeats them with different prefixes.
const HOSTILE: [&str; 34] = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)//",
    "\"><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "&lt;b&gt; &amp; &#60;",
    "<!-- --> ]]> <![CDATA[",
    "{{7*7}} ${7*7} <%= 7*7 %> `id` $(id)",
    "=HYPERLINK(\"http://x/\",\"y\")",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1+1)",
    "\t=1+1",
    "\u{1b}[2J\u{1b}[H\u{1b}]0;owned\u{7}",
    "\u{1b}]52;c;ZXZpbA==\u{7}\u{1b}P+q544e\u{1b}\\",
    "\u{9b}31m\u{9d}0;x\u{9c}",
    "a\rb\u{8}\u{8}\u{b}\u{c}\u{7f}",
    "line one\nline two\r\nline three\n\n",
    "\u{85}\u{2028}\u{2029}",
    "\u{202e}gpj.exe\u{2066}\u{200f}\u{61c}",
    "\u{feff}\u{200b}\u{200d}\u{2060}\u{e0041}",
    "nul\0in the middle\0",
    "\u{fffd}\u{fffd} was not UTF-8",
    "a,b;c\td|e",
    "\"quoted\" 'twice' \"\"\"",
    "\\ \\n \\N \\\" \\u0000 \\",
    "'; drop table resets; --",
    "$1 %s %n {0} {} %00 ..%2f../etc/passwd",
    "| a | b |\n|---|---|\n",
    "**bold** _it_ ~~no~~ [x](javascript:alert(1)) ![y](http://z/) <http://z/> # h\n- l",
    "https://example.com www.example.com a@example.com",
    "e\u{301}\u{301}\u{301}\u{301}\u{301} 漢字 👩‍👩‍👧",
    "",
    " leading and trailing ",
    "null",
];

/// A recording with a different hostile value in every nullable text.
fn recording() -> (Recording, RecordBatch) {
    let rows: Vec<_> = (0..EVENTS as u64).map(|seq| row_by(seq + 1, "x")).collect();
    let plain = batch(COLUMNS, &rows);
    let columns: Vec<ArrayRef> = plain
        .schema()
        .fields()
        .iter()
        .zip(plain.columns())
        .enumerate()
        .map(|(column, (field, values))| match field.data_type() {
            DataType::Utf8 => {
                let text = |row: usize| {
                    let base = HOSTILE[(row + column) % HOSTILE.len()];
                    match row / HOSTILE.len() {
                        0 => base.to_owned(),
                        1 => format!("{row}{base}"),
                        // Longer than any buffer along the way.
                        _ => base.repeat(20_000 / base.len().max(1)),
                    }
                };
                Arc::new((0..EVENTS).map(|row| Some(text(row))).collect::<StringArray>()) as _
            }
            _ => Arc::clone(values),
        })
        .collect();
    let hostile = RecordBatch::try_new(plain.schema(), columns).unwrap();
    let recording = Recording::new();
    recording.seal_columns(1, &hostile);
    (recording, hostile)
}

const SQL: &str = "select *, comm as \"<b>|\u{1b}[2J,\n\t\"\"\" from resets order by seq";

fn printed(recording: &Recording, format: &str) -> Vec<u8> {
    let output = recording.analyze(&["--format", format, SQL]);
    assert_eq!((stderr(&output), output.status.code()), (String::new(), Some(0)), "{format}");
    output.stdout
}

fn text(recording: &Recording, format: &str) -> String {
    String::from_utf8(printed(recording, format)).unwrap()
}

/// The texts of a batch, row by row; the last column is `comm` again.
fn texts(batch: &RecordBatch) -> Vec<Vec<Option<String>>> {
    let comm = batch.column_by_name("comm").unwrap();
    let columns = batch.columns().iter().take(COLUMNS.len()).chain([comm]);
    let columns: Vec<_> = columns.map(|column| column.as_string_opt::<i32>()).collect();
    (0..batch.num_rows())
        .map(|row| {
            let value =
                |texts: &&StringArray| texts.is_valid(row).then(|| texts.value(row).to_owned());
            columns.iter().map(|column| column.as_ref().and_then(value)).collect()
        })
        .collect()
}

/// Characters that affect a terminal or its layout.
fn acts(c: char) -> bool {
    c.is_control() || "\u{61c}\u{200b}\u{200d}\u{200f}\u{2028}\u{2029}\u{202e}\u{2060}\u{2066}\u{feff}\u{e0041}".contains(c)
}

#[test]
fn a_table_is_lines_of_plain_text() {
    let (recording, _) = recording();
    let shown = text(&recording, "table");
    assert_eq!(shown.split('\n').count(), EVENTS + 3);
    assert_eq!(shown.chars().find(|c| *c != '\n' && acts(*c)), None);
}

#[test]
fn markdown_is_rows_without_markup() {
    let (recording, _) = recording();
    let shown = text(&recording, "markdown");
    assert_eq!(shown.split('\n').count(), EVENTS + 3);
    assert_eq!(shown.chars().find(|c| *c != '\n' && (acts(*c) || "<>".contains(*c))), None);
    for line in shown.lines() {
        // A character after a backslash is text.
        let mut bare = String::new();
        let mut rest = line.chars();
        while let Some(c) = rest.next() {
            if c == '\\' {
                rest.next();
            } else {
                bare.push(c);
            }
        }
        assert_eq!(bare.matches('|').count(), COLUMNS.len() + 2, "{line}");
        assert!(!bare.contains(['`', '*', '[', ']', '!', '~', '$']), "{bare}");
        assert!(!bare.contains("://") && !bare.contains("www."), "{bare}");
        for part in bare.split('&').skip(1) {
            assert!(["lt;", "gt;", "amp;"].iter().any(|name| part.starts_with(name)), "{bare}");
        }
    }
}

#[test]
fn json_is_read_back_as_it_was() {
    let (recording, hostile) = recording();
    let expected = texts(&hostile);
    let array: Vec<Value> = serde_json::from_str(&text(&recording, "json")).unwrap();
    let lines = text(&recording, "ndjson");
    assert_eq!(lines.split('\n').count(), EVENTS + 1);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(array == lines, "both have the same objects");
    for (row, expected) in array.iter().zip(&expected) {
        for (column, expected) in COLUMNS.iter().zip(expected) {
            if expected.is_some() {
                assert_eq!(row[column.name].as_str(), expected.as_deref(), "{}", column.name);
            }
        }
    }
}

#[test]
fn csv_is_read_back_as_it_was() {
    let (recording, hostile) = recording();
    let script = "import csv, io, json, sys\n\
                  csv.field_size_limit(10**9)\n\
                  text = io.TextIOWrapper(sys.stdin.buffer, encoding='utf-8', newline='')\n\
                  json.dump(list(csv.reader(text, strict=True)), sys.stdout)";
    let mut python = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let csv = printed(&recording, "csv");
    let mut stdin = python.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&csv));
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let read: Vec<Vec<String>> = serde_json::from_slice(&output.stdout).unwrap();
    compare(&read, &hostile);
}

#[test]
fn tsv_is_read_back_as_it_was() {
    let (recording, hostile) = recording();
    let tsv = text(&recording, "tsv");
    let unescape = |value: &str| {
        let mut text = String::new();
        let mut rest = value.chars();
        while let Some(c) = rest.next() {
            text.push(match c {
                '\\' => match rest.next().unwrap() {
                    't' => '\t',
                    'n' => '\n',
                    'r' => '\r',
                    '\\' => '\\',
                    other => panic!("\\{other}"),
                },
                c => c,
            });
        }
        text
    };
    let lines = tsv.strip_suffix('\n').unwrap().split('\n');
    let read: Vec<Vec<String>> =
        lines.map(|line| line.split('\t').map(unescape).collect()).collect();
    compare(&read, &hostile);
}

/// A header and a record for each event.
fn compare(read: &[Vec<String>], hostile: &RecordBatch) {
    assert_eq!(read.len(), EVENTS + 1);
    assert_eq!(read[0].last().unwrap(), "<b>|\u{1b}[2J,\n\t\"");
    for (record, expected) in read[1..].iter().zip(texts(hostile)) {
        assert_eq!(record.len(), COLUMNS.len() + 1);
        for (value, expected) in record.iter().zip(expected) {
            if let Some(expected) = expected {
                assert_eq!(*value, expected);
            }
        }
    }
}

#[test]
fn parquet_and_arrow_are_read_back_as_they_were() {
    let (recording, hostile) = recording();
    let bytes = printed(&recording, "parquet");
    let file = tempfile::tempfile().unwrap();
    (&file).write_all(&bytes).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let parquet: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    let bytes = printed(&recording, "arrow");
    let reader = StreamReader::try_new(bytes.as_slice(), None).unwrap();
    let arrow: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    for batches in [parquet, arrow] {
        let read = concat_batches(&batches[0].schema(), &batches).unwrap();
        assert!(texts(&read) == texts(&hostile));
        for (column, expected) in read.columns().iter().zip(hostile.columns()) {
            assert_eq!(column.data_type(), expected.data_type());
            assert!(column == expected);
        }
    }
}

#[test]
fn errors_are_one_line_of_plain_text() {
    let (recording, _) = recording();
    for sql in ["select cast(comm as int) from resets", "select \"\u{1b}[2J\n\" from resets"] {
        let output = recording.analyze(&[sql]);
        let told = stderr(&output);
        assert_eq!((told.lines().count(), output.status.code()), (1, Some(1)), "{told:?}");
        assert_eq!(told.trim_end().chars().find(|c| acts(*c)), None, "{told:?}");
    }
}
