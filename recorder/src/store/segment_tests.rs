//! Profiles change how rows are kept, not what is in them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tcprst_schema::arrow::by_name;
use tcprst_schema::columns::COLUMNS;
use tcprst_schema::container::{Container, Details};
use tcprst_schema::footer::{ClockAnchor, Footer, Origin};
use tcprst_schema::paths::{SegmentName, spool_dir};
use tcprst_schema::rollup::Rollup;
use tcprst_schema::row::{Named, Owner, Row};
use tcprst_schema::spool;
use tcprst_schema::tables::Table;
use tcprst_schema::wire::{Event, EventHeader, HAS_SOCKET, HAS_TASK};
use tempfile::TempDir;
use zerocopy::{FromZeros, IntoBytes};

use super::*;
use crate::clock::Clock;
use crate::event::decode::Events;
use crate::event::enrich::Enricher;
use crate::event::stacks::Stacks;
use crate::kernel::btf::Names;
use crate::kernel::programs::Programs;
use crate::kernel::symbols::Symbols;
use crate::store::batch::Batch;
use crate::store::full_row::full_row;

const NAME: (&str, i64, u32) = ("web", 1_795_292_299_123_456, 1);

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % most
    }

    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize]
    }

    /// An event in which anything may be anything.
    fn event(&mut self, seq: u64) -> Event {
        let mut event = Event::new_zeroed();
        let mut address = [0; 16];
        address[..3].copy_from_slice(&[10, self.below(3) as u8, 1]);
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
        let frames = self.below(4);
        for frame in 0..frames as usize {
            event.stack[frame] = 0x1000 + self.below(3);
        }
        event.header = EventHeader {
            boot_ns: 60_000_000_000 + seq * 30_000_000,
            seq,
            lost: self.below(9),
            netns_cookie: self.below(2),
            netns_inum: self.of(&[0, 7]) as u32,
            task_cgroup_id: self.below(2),
            socket_cgroup_id: self.below(2),
            cpu: self.below(4) as u32,
            tgid: self.below(9) as u32,
            tid: self.below(9) as u32,
            mntns_inum: self.below(2) as u32,
            socket_uid: self.of(&[u32::MAX, 5]),
            reason: self.of(&[-1, 0, 1, 2]),
            stack_bytes: 8 * frames as i32,
            src_addr: self.of(&[address, mapped, [1; 16]]),
            dst_addr: self.of(&[address, mapped, [2; 16]]),
            comm: self.of(&[*b"one\0............", *b"two\0............"]),
            src_port: self.of(&[80, 443, 40_000]),
            dst_port: self.of(&[81, 40_001]),
            site: self.below(4) as u8,
            family: self.of(&[0, 2, 10, 10]),
            sk_state: self.of(&[0, 1, 7]),
            closed_from: self.of(&[0, 1, 4]),
            flags: self.of(&[0, HAS_TASK, HAS_SOCKET, HAS_TASK | HAS_SOCKET, 0x0f, 0x0f, 0x8f]),
            answered_flags: self.of(&[2, 0x10, 0x18]),
            sk_flags: self.below(2) as u8,
            owner_from: self.below(3) as u8,
            past: self.of(&[0, 0, 0, 0, 0, 1]),
            past_ns: self.below(9),
            past_seq: self.below(9),
            past_cpu: self.below(2) as u32,
            accept_queue: self.below(3) as u32,
            accept_limit: self.below(3) as u32,
            ..event.header
        };
        event.header.socket.act = self.below(4) as u32;
        event.header.socket.tgid = self.below(9) as u32;
        event.header.socket.comm = event.header.comm;
        event
    }
}

fn enricher() -> Enricher {
    let names = |names: &[(i32, &str)]| {
        names.iter().map(|(code, name)| (*code, (*name).to_owned())).collect::<BTreeMap<_, _>>()
    };
    let names = Names {
        reasons: names(&[(1, "NO_SOCKET"), (2, "TCP_ABORT_ON_CLOSE")]),
        states: names(&[(1, "ESTABLISHED"), (4, "FIN_WAIT1")]),
    };
    Enricher::new("web", &names, Stacks::new(Symbols::read(Programs::new(&[]))))
}

fn footer() -> Footer {
    Footer::new(Origin { recorder: "0.1.0", host: "web", boot_id: "b", kernel: "6.18" })
}

fn open(dir: &Path) -> (SegmentName, Segment) {
    fs::create_dir_all(spool_dir(dir)).expect("a folder");
    let name = SegmentName::new(NAME.0, NAME.1, NAME.2);
    let segment = Segment::open(dir, name.clone(), Some(&footer())).expect("opened");
    (name, segment)
}

/// The rows of a sealed file.
fn sealed(dir: &Path, name: &SegmentName, table: Table) -> Vec<RecordBatch> {
    let file = File::open(name.sealed(dir, table)).expect("the file");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("a Parquet file");
    let batches = reader.with_batch_size(1 << 20).build().expect("a reader");
    let batches = batches.map(|batch| by_name(&batch.expect("read"), &table.spool_schema()));
    batches.collect::<std::result::Result<_, _>>().expect("in today's columns")
}

fn spooled(dir: &Path, name: &SegmentName) -> Vec<RecordBatch> {
    let spool = spool::read(&name.spool(dir)).expect("read").expect("a schema");
    let schema = Table::Resets.spool_schema();
    let batches = spool.batches().map(|batch| by_name(&batch.expect("unpacked"), &schema));
    batches.collect::<std::result::Result<_, _>>().expect("in today's columns")
}

fn assert_equal(found: &RecordBatch, expected: &RecordBatch) {
    assert_eq!(found.num_rows(), expected.num_rows());
    for (field, expected) in expected.schema().fields().iter().zip(expected.columns()) {
        assert_eq!(&found[field.name().as_str()], expected, "{}", field.name());
    }
}

#[test]
fn rows_are_what_the_columns_say_of_each_event() {
    let dir = TempDir::new().expect("a folder");
    let (name, mut segment) = open(dir.path());
    let clock =
        Clock::from_anchor(ClockAnchor { boot_ns: 0, realtime_ns: 1_795_292_299_000_000_000 });
    let mut dice = Dice(7);
    let (mut ours, mut one_by_one) = (enricher(), enricher());
    let mut all = Batch::<Row>::new(COLUMNS);
    let mut profiles = std::collections::HashSet::new();
    for flush in 0..3 {
        let mut events = Events::default();
        for seq in 0..1000 {
            events.push(dice.event(flush * 1000 + seq).as_bytes());
        }
        let mut batch = Batch::<Row>::new(COLUMNS);
        for event in events.iter() {
            let row = one_by_one.row(&event, &clock);
            batch.append(&row);
            all.append(&row);
            let (profile, own) = ours.take(&event, &clock);
            profiles.insert(Arc::as_ptr(&profile));
            segment.append(&profile, &own);
        }
        segment.flush().expect("flushed");
        assert_equal(&spooled(dir.path(), &name)[flush as usize], &batch.finish().expect("rows"));
    }
    assert!((100..3000).contains(&profiles.len()), "{} profiles", profiles.len());
    segment.seal(dir.path(), &footer()).expect("sealed");
    let all = all.finish().expect("rows");
    let [found] = &sealed(dir.path(), &name, Table::Resets)[..] else { panic!("one batch") };
    assert_equal(found, &all);

    let mut rollup = Rollup::default();
    rollup.add(&all).expect("counted");
    let lines = |batch: &RecordBatch| {
        let mut lines: Vec<String> = (0..batch.num_rows())
            .map(|row| format!("{:?}", batch.slice(row, 1).columns()))
            .collect();
        lines.sort();
        lines
    };
    let schema = Table::ResetsPerMinute.schema();
    let plain = |batch: &RecordBatch| by_name(batch, &schema).expect("plain");
    let expected = plain(&rollup.finish().expect("counts"));
    let [found] = &sealed(dir.path(), &name, Table::ResetsPerMinute)[..] else { panic!("one") };
    assert!(expected.num_rows() > 100);
    assert_eq!(lines(&plain(found)), lines(&expected));
}

#[test]
fn a_name_that_comes_after_the_row_is_in_the_sealed_file() {
    let dir = TempDir::new().expect("a folder");
    let (name, mut segment) = open(dir.path());
    let container = Arc::new(Container::new(None, "id"));
    let owner = Owner {
        named: Named::container(Arc::clone(&container)),
        attribution: "socket",
        node: "node".into(),
    };
    let row = Arc::new(Row { owner: Some(owner), peer: None, ..full_row() });
    segment.append(&row, &row.own());
    segment.flush().expect("flushed");
    container.resolve(Details { name: Some("late".into()), ..Details::default() }, true);
    segment.append(&row, &row.own());
    segment.flush().expect("flushed");
    let names = |batches: &[RecordBatch]| -> Vec<Option<String>> {
        let texts = batches.iter().flat_map(|batch| {
            let column = by_name(batch, &Table::Resets.schema()).expect("plain");
            let column = column["container_name"].as_string::<i32>().clone();
            column.iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>()
        });
        texts.collect()
    };
    let late = Some("late".to_owned());
    assert_eq!(names(&spooled(dir.path(), &name)), [None, late.clone()]);
    segment.seal(dir.path(), &footer()).expect("sealed");
    assert_eq!(names(&sealed(dir.path(), &name, Table::Resets)), [late.clone(), late]);
}

#[test]
fn a_segment_of_too_many_profiles_is_due() {
    let dir = TempDir::new().expect("a folder");
    let (_, mut segment) = open(dir.path());
    let never = SealPolicy { age: std::time::Duration::MAX, bytes: u64::MAX };
    for number in 0..MAX_PROFILES {
        assert!(!segment.is_due(never).expect("known"), "{number} profiles");
        let row = Arc::new(full_row());
        segment.append(&row, &row.own());
    }
    assert!(segment.is_due(never).expect("known"));
}
