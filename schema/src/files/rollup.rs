//! `resets_per_minute`: how many resets had what in common, minute by minute.
//!
//! A segment of `resets` has a file of the same name here, written when it is sealed. A question
//! that only counts by [`DIMENSIONS`] can be answered from it, exactly: the analyzer does so by
//! itself.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{
    Int32Builder, Int64Builder, StringDictionaryBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, PrimitiveArray, RecordBatch};
use arrow_schema::ArrowError;

use crate::arrow::{convert, spool_schema};
use crate::columns::{DIMENSIONS, Kind, ROLLUP_COLUMNS, Value};
use crate::row::RollupRow;

/// Length of a minute in the unit of `time`.
pub const MINUTE_US: i64 = 60_000_000;
pub const HOUR_US: i64 = 60 * MINUTE_US;
pub const DAY_US: i64 = 24 * HOUR_US;

/// What the rows of one group have in common: the minute, and a number for each dimension.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    start_us: i64,
    dimensions: [u32; DIMENSIONS.len()],
}

/// Counts rows of `resets`, minute by minute or in longer steps.
#[derive(Debug)]
pub struct Rollup {
    step_us: i64,
    /// Number of each text; 0 is null.
    numbers: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
    counts: HashMap<Key, i64>,
    /// How many of `counts` have no row; only groups that have some.
    counted: HashMap<Key, i64>,
    /// Neighbours are mostly alike: a run is counted before it is looked up.
    run: Option<(Key, i64)>,
    rows: u64,
}

impl Default for Rollup {
    fn default() -> Self {
        Self::with_step(MINUTE_US)
    }
}

impl Rollup {
    /// In steps of this length, from midnight UTC.
    pub fn with_step(step_us: i64) -> Self {
        Self {
            step_us,
            numbers: HashMap::new(),
            texts: Vec::new(),
            counts: HashMap::new(),
            counted: HashMap::new(),
            run: None,
            rows: 0,
        }
    }

    /// Rows that were counted.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Counts the rows of a batch of `resets`, or, with a column `count`, adds up those of a
    /// batch of this table. A dimension that the batch does not have is null.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let missing = || ArrowError::SchemaError("no column `time`".into());
        let time = batch.column_by_name("time").ok_or_else(missing)?;
        let time = time.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(missing)?;
        let whole =
            |name| batch.column_by_name(name).map(|column| column.as_primitive::<Int64Type>());
        // A rollup from before there were counts without rows has no such column.
        let (counts, without_rows) = (whole("count"), whole("counted"));
        let columns = DIMENSIONS
            .iter()
            .map(|name| batch.column_by_name(name).map(|column| self.numbered(column)).transpose())
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let key = Key {
                start_us: time.value(row).div_euclid(self.step_us) * self.step_us,
                dimensions: std::array::from_fn(|at| columns[at].as_ref().map_or(0, |c| c.at(row))),
            };
            let count = counts.map_or(1, |counts| counts.value(row));
            if let Some(without_rows) = without_rows
                && without_rows.is_valid(row)
                && without_rows.value(row) > 0
            {
                *self.counted.entry(key.clone()).or_default() += without_rows.value(row);
            }
            match &mut self.run {
                Some((last, sum)) if *last == key => *sum += count,
                _ => {
                    self.end_run();
                    self.run = Some((key, count));
                }
            }
            self.rows += count.cast_unsigned();
        }
        Ok(())
    }

    /// Adds resets that have no rows: the kernel half counted them.
    pub fn add_counts(&mut self, counts: &[RollupRow]) {
        for counted in counts {
            let key = Key {
                start_us: counted.minute_us.div_euclid(self.step_us) * self.step_us,
                dimensions: std::array::from_fn(|at| match &counted.dimensions[at] {
                    Value::Text(text) => self.number(text),
                    // As `numbered` does it with a port.
                    Value::Int(port) => u32::try_from(*port).map_or(0, |port| port + 1),
                    Value::Null | Value::Bool(_) => 0,
                }),
            };
            *self.counted.entry(key.clone()).or_default() += counted.counted;
            *self.counts.entry(key).or_default() += counted.count;
            self.rows += counted.count.cast_unsigned();
        }
    }

    fn end_run(&mut self) {
        if let Some((key, count)) = self.run.take() {
            *self.counts.entry(key).or_default() += count;
        }
    }

    /// A column as numbers: a text's from the table, a port's is one above it.
    fn numbered(&mut self, column: &ArrayRef) -> Result<Numbered, ArrowError> {
        if let Some(ports) = column.as_primitive_opt::<Int32Type>() {
            let numbers = ports.iter().map(|port| port.map_or(0, |port| port.cast_unsigned() + 1));
            return Ok(Numbered::Rows(numbers.collect()));
        }
        let column = convert(column, &Kind::Text.spool_type())?;
        let column = column.as_dictionary::<Int32Type>();
        let values = column.values().as_string::<i32>();
        let of_value = values.iter().map(|text| text.map_or(0, |text| self.number(text))).collect();
        Ok(Numbered::Dictionary { keys: column.keys().clone(), of_value })
    }

    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let text: Arc<str> = text.into();
        self.texts.push(Arc::clone(&text));
        // A segment has fewer rows than this has numbers.
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.numbers.insert(text, number);
        number
    }

    /// The groups, by minute, as rows of this table. The rollup is empty then.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.end_run();
        let mut groups: Vec<(Key, i64)> = self.counts.drain().collect();
        groups.sort_unstable();
        let mut time = TimestampMicrosecondBuilder::new().with_timezone("UTC");
        let (mut count, mut counted) = (Int64Builder::new(), Int64Builder::new());
        for (key, n) in &groups {
            time.append_value(key.start_us);
            count.append_value(*n);
            counted.append_value(self.counted.get(key).copied().unwrap_or(0));
        }
        let mut columns: Vec<ArrayRef> = vec![Arc::new(time.finish())];
        for at in 0..DIMENSIONS.len() {
            let numbers = groups.iter().map(|(key, _)| key.dimensions[at]);
            // The time comes before the dimensions.
            columns.push(match ROLLUP_COLUMNS[at + 1].kind {
                Kind::Text => self.text_column(numbers),
                _ => {
                    let mut ports = Int32Builder::new();
                    numbers
                        .for_each(|n| ports.append_option(n.checked_sub(1).map(u32::cast_signed)));
                    Arc::new(ports.finish())
                }
            });
        }
        columns.push(Arc::new(count.finish()));
        columns.push(Arc::new(counted.finish()));
        *self = Self::with_step(self.step_us);
        RecordBatch::try_new(spool_schema(ROLLUP_COLUMNS), columns)
    }

    fn text_column(&self, numbers: impl Iterator<Item = u32>) -> ArrayRef {
        let mut column = StringDictionaryBuilder::<Int32Type>::new();
        for number in numbers {
            column.append_option(number.checked_sub(1).map(|at| &*self.texts[at as usize]));
        }
        Arc::new(column.finish())
    }
}

/// A column of a batch as numbers.
enum Numbered {
    Rows(Vec<u32>),
    Dictionary { keys: PrimitiveArray<Int32Type>, of_value: Vec<u32> },
}

impl Numbered {
    fn at(&self, row: usize) -> u32 {
        match self {
            Self::Rows(rows) => rows[row],
            Self::Dictionary { keys, .. } if keys.is_null(row) => 0,
            // Arrow checks that each key has a value.
            Self::Dictionary { keys, of_value } => {
                of_value[keys.value(row).cast_unsigned() as usize]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int32Array, StringArray, TimestampMicrosecondArray};

    use super::*;

    fn resets(rows: &[(i64, &str, Option<i32>)]) -> RecordBatch {
        let times: Vec<i64> = rows.iter().map(|row| row.0).collect();
        let time = TimestampMicrosecondArray::from(times).with_timezone("UTC");
        let cause: StringArray =
            rows.iter().map(|row| Some(row.1).filter(|c| !c.is_empty())).collect();
        let port: Int32Array = rows.iter().map(|row| row.2).collect();
        RecordBatch::try_from_iter([
            ("time", Arc::new(time) as ArrayRef),
            ("cause", Arc::new(cause)),
            ("port", Arc::new(port)),
        ])
        .expect("a batch")
    }

    fn rows(batch: &RecordBatch) -> Vec<(i64, Option<String>, Option<i32>, i64)> {
        let time = batch["time"].as_primitive::<TimestampMicrosecondType>();
        let cause = convert(&batch["cause"], &Kind::Text.data_type()).expect("text");
        let cause = cause.as_string::<i32>();
        let port = batch["port"].as_primitive::<Int32Type>();
        let count = batch["count"].as_primitive::<Int64Type>();
        (0..batch.num_rows())
            .map(|row| {
                let cause = cause.is_valid(row).then(|| cause.value(row).to_owned());
                let port = port.is_valid(row).then(|| port.value(row));
                (time.value(row), cause, port, count.value(row))
            })
            .collect()
    }

    #[test]
    fn rows_are_counted_by_minute_and_dimension() {
        let mut rollup = Rollup::default();
        let minute = MINUTE_US;
        rollup
            .add(&resets(&[
                (minute, "a", Some(80)),
                (minute + 1, "a", Some(80)),
                (minute, "", None),
            ]))
            .expect("counted");
        rollup
            .add(&resets(&[(2 * minute - 1, "a", Some(80)), (-1, "b", Some(0))]))
            .expect("counted");
        assert_eq!(rollup.rows(), 5);
        let batch = rollup.finish().expect("a batch");
        let mut found = rows(&batch);
        found.sort();
        let a = Some("a".to_owned());
        let expected = [
            (-minute, Some("b".to_owned()), Some(0), 1),
            (minute, None, None, 1),
            (minute, a, Some(80), 3),
        ];
        assert_eq!(found, expected);
        assert_eq!(rollup.rows(), 0, "it is empty again");
    }

    #[test]
    fn counts_without_rows_join_the_groups_of_rows() {
        let counted = |minute_us, cause: &'static str, port: Value<'static>, count| {
            let mut dimensions = [const { Value::Null }; DIMENSIONS.len()];
            let at =
                |name| DIMENSIONS.iter().position(|known| *known == name).expect("a dimension");
            dimensions[at("cause")] = Value::Text(cause.into());
            dimensions[at("port")] = port;
            RollupRow { minute_us, dimensions, count, counted: count }
        };
        let mut rollup = Rollup::default();
        rollup.add(&resets(&[(0, "a", Some(80)), (1, "a", None)])).expect("counted");
        rollup.add_counts(&[
            counted(5, "a", Value::Int(80), 40),
            counted(0, "a", Value::Null, 2),
            counted(MINUTE_US, "b", Value::Int(65_535), 7),
        ]);
        assert_eq!(rollup.rows(), 51);
        let once = rollup.finish().expect("a batch");
        let mut found = rows(&once);
        found.sort();
        let cause = |name: &str| Some(name.to_owned());
        let expected = [
            (0, cause("a"), None, 3),
            (0, cause("a"), Some(80), 41),
            (MINUTE_US, cause("b"), Some(65_535), 7),
        ];
        assert_eq!(found, expected);
        let without_rows = |batch: &RecordBatch| -> Vec<i64> {
            batch["counted"].as_primitive::<Int64Type>().values().to_vec()
        };
        assert_eq!(without_rows(&once).iter().sum::<i64>(), 49);
        // Rollups of rollups keep the two apart.
        let mut hours = Rollup::with_step(HOUR_US);
        hours.add(&once).expect("counted");
        hours.add(&once).expect("counted");
        let hours = hours.finish().expect("a batch");
        let both: Vec<_> = rows(&hours).iter().map(|row| row.3).zip(without_rows(&hours)).collect();
        assert_eq!(both.len(), 3, "groups");
        for pair in [(6, 4), (82, 80), (14, 14)] {
            assert!(both.contains(&pair), "{both:?}");
        }
    }

    #[test]
    fn rollups_add_up() {
        let mut once = Rollup::default();
        once.add(&resets(&[(0, "a", Some(1)), (1, "a", Some(1)), (0, "b", None)]))
            .expect("counted");
        let once = once.finish().expect("a batch");
        let mut twice = Rollup::default();
        twice.add(&once).expect("counted");
        twice.add(&once).expect("counted");
        assert_eq!(twice.rows(), 6);
        let sums: Vec<i64> =
            rows(&twice.finish().expect("a batch")).iter().map(|row| row.3).collect();
        assert_eq!(sums, [4, 2]);
    }

    #[test]
    fn each_dimension_is_a_column_of_resets() {
        use crate::columns::COLUMNS;
        assert_eq!(ROLLUP_COLUMNS.len(), DIMENSIONS.len() + 3);
        for (column, name) in ROLLUP_COLUMNS[1..].iter().zip(DIMENSIONS) {
            assert_eq!(&column.name, name);
            let source = COLUMNS.iter().find(|source| source.name == *name).expect("a column");
            assert_eq!(source.kind, column.kind);
        }
    }
}
