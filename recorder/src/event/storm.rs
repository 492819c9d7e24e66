//! Resets of a storm: counted in the kernel half by what they have in common, in place of an event
//! each.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tcprst_schema::cause::{self, Blame, Socket};
use tcprst_schema::classify::{Facts, classify};
use tcprst_schema::columns::{COLUMNS, DIMENSIONS, Value};
use tcprst_schema::hook::{Direction, SITES, Site};
use tcprst_schema::row::{
    LossRow, RollupRow, Row, STAGE_COUNTED, SocketOwner, Stack, service_port_of_local,
};
use tcprst_schema::wire::{NO_REASON, Past, StormKey};

use crate::clock::Clock;
use crate::error::Result;
use crate::event::losses::unkeyed;
use crate::event::storm_table::CountTable;
use crate::kernel::probe::Counters;
use crate::stderr::say;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// A storm is told of again if there was none for this time.
const QUIET: Duration = Duration::from_secs(600);

/// Resets that were counted in place of a row each.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    key: StormKey,
    /// What they have in common, at the time when they were read. Their addresses are not known.
    pub(crate) row: Row,
    count: u64,
}

impl Counted {
    /// They as a group of the rollup: each dimension is what their rows would have had, or null.
    pub(crate) fn rollup(&self) -> RollupRow {
        let port = service_port_of_local(self.key.src_port, self.key.answered_flags);
        let dimension = |name: &str| match name {
            "port" => port.map_or(Value::Null, |port| Value::Int(port.into())),
            _ => COLUMNS
                .iter()
                .find(|column| column.name == name)
                .map_or(Value::Null, |column| (column.value)(&self.row).into_owned()),
        };
        RollupRow {
            minute_us: self.row.time_us,
            dimensions: std::array::from_fn(|at| dimension(DIMENSIONS[at])),
            count: self.count.cast_signed(),
            counted: self.count.cast_signed(),
        }
    }
}

/// Reads the kernel half's counts; each is reported once.
#[derive(Debug)]
pub(crate) struct Storms {
    host: Arc<str>,
    /// Names of the kernel's reset reasons.
    reasons: HashMap<i32, Arc<str>>,
    table: CountTable,
    /// Read, but not yet taken; oldest first.
    waiting: VecDeque<Counted>,
    /// The rate beyond which the kernel half counts.
    rate: u32,
    /// When a storm was last seen.
    told: Option<Instant>,
    /// Written, but not yet reported in `losses`.
    unreported: HashMap<StormKey, u64>,
    reported_at_us: i64,
}

impl Storms {
    pub(crate) fn new(
        host: &str,
        reasons: impl IntoIterator<Item = (i32, Arc<str>)>,
        rate: u32,
        clock: &Clock,
    ) -> Self {
        Self {
            host: host.into(),
            reasons: reasons.into_iter().collect(),
            table: CountTable::default(),
            waiting: VecDeque::new(),
            rate,
            told: None,
            unreported: HashMap::new(),
            reported_at_us: clock.now_us(),
        }
    }

    /// Reads what was counted since the last call; it waits to be taken. Returns all counts that were
    /// read since the start, CPU by CPU, or `None` if none is new. The last call comes when the programs
    /// are detached.
    pub(crate) fn read(
        &mut self,
        counters: &mut Counters,
        clock: &Clock,
        is_last: bool,
    ) -> Result<Option<Vec<u64>>> {
        // The totals first: what they have counted by now is in the table.
        let totals: Vec<u64> = counters.totals()?.iter().map(|cpu| cpu.counted).collect();
        if !self.table.is_behind(&totals) {
            return Ok(None);
        }
        for (key, count) in self.table.take(counters.counted()?, &totals, is_last) {
            self.waiting.push_back(self.counted(key, count, clock));
        }
        for key in self.table.idle(Instant::now()) {
            if counters.forget_storm(&key) {
                self.table.forget(&key);
            }
        }
        self.tell();
        Ok(Some(self.table.by_cpu()))
    }

    /// One line when a storm begins.
    fn tell(&mut self) {
        if self.told.is_none_or(|last| last.elapsed() >= QUIET) {
            say!(
                "a storm: resets without a socket are counted beyond {} a second and CPU, in place \
                 of a row each (--storm-rate)",
                self.rate
            );
        }
        self.told = Some(Instant::now());
    }

    /// Counts that were read and not taken, as rows to attribute.
    pub(crate) fn waiting(&mut self) -> impl Iterator<Item = &mut Row> {
        self.waiting.iter_mut().map(|counted| &mut counted.row)
    }

    /// Takes the counts that were read up to then.
    pub(crate) fn take_until(&mut self, boot_ns: u64) -> Vec<Counted> {
        let due = self.waiting.partition_point(|counted| counted.row.boot_ns <= boot_ns);
        self.waiting.drain(..due).collect()
    }

    fn counted(&self, key: StormKey, count: u64, clock: &Clock) -> Counted {
        let stack = stack(&key);
        let reason_code = (key.reason != NO_REASON).then_some(key.reason);
        let reason = reason_code.and_then(|code| self.reasons.get(&code).cloned());
        // A key without a family is one of which nothing is known.
        let answered_flags = (key.family != 0).then_some(key.answered_flags);
        let past = Past::name_of(key.past);
        let cause = classify(&Facts {
            frames: &stack.frames,
            reason: reason.as_deref(),
            socket: Socket::None,
            sk_state: None,
            sk_flags: None,
            answered_flags,
            past,
            queue_full: None,
        });
        let address: Option<IpAddr> = match key.family {
            AF_INET => Some(Ipv4Addr::UNSPECIFIED.into()),
            AF_INET6 => Some(Ipv6Addr::UNSPECIFIED.into()),
            _ => None,
        };
        let row = Row {
            time_us: clock.now_us(),
            boot_ns: clock.boot_ns(),
            cpu: 0,
            seq: 0,
            host: Arc::clone(&self.host),
            direction: Direction::of_site(key.site).name(),
            netns_id: (key.netns_inum != 0).then_some(key.netns_inum),
            netns_cookie: (key.netns_cookie != 0).then_some(key.netns_cookie),
            stack: Arc::new(stack),
            cause: cause.map_or(cause::UNKNOWN, |cause| cause.name),
            blame: cause.and_then(|cause| cause.blame).map(Blame::name),
            reason,
            reason_code,
            sk_state: None,
            // Without a socket it answers a packet.
            context: Some("packet"),
            answered_flags,
            sk_flags: None,
            past,
            past_us: None,
            first: None,
            accept_queue: None,
            icmp: None,
            src: address.map(|address| (address, key.src_port)),
            dst: None,
            task: None,
            socket: SocketOwner::default(),
            owner_from: None,
            owner: None,
            peer: None,
        };
        Counted { key, row, count }
    }

    /// Remembers written counts for the next report.
    pub(crate) fn written(&mut self, counted: &[Counted]) {
        for Counted { key, count, .. } in counted {
            // `losses` tells neither the flags nor the past apart.
            let key = StormKey { answered_flags: 0, past: 0, ..*key };
            *self.unreported.entry(key).or_default() += count;
        }
    }

    /// The counts written since the last report, as rows of `losses`.
    pub(crate) fn report(&mut self, clock: &Clock) -> Vec<LossRow> {
        let (from_us, to_us) = (self.reported_at_us, clock.now_us());
        self.reported_at_us = to_us;
        let mut counts: Vec<(StormKey, u64)> = self.unreported.drain().collect();
        counts.sort_unstable_by_key(|(key, count)| (std::cmp::Reverse(*count), key.src_port));
        counts
            .into_iter()
            .map(|(key, count)| {
                let Counted { row, .. } = self.counted(key, count, clock);
                LossRow {
                    netns_id: row.netns_id,
                    netns_cookie: row.netns_cookie,
                    callee: row.stack.callee.clone(),
                    caller: row.stack.caller.clone(),
                    reason: row.reason,
                    reason_code: row.reason_code,
                    family: row.src.map(|(address, _)| tcprst_schema::row::family_text(address)),
                    src_port: (key.src_port != 0).then_some(key.src_port),
                    ..unkeyed(&self.host, STAGE_COUNTED, count, from_us, to_us)
                }
            })
            .collect()
    }
}

/// The frames that a key proves. Without a socket, TCP's own functions are called from one place.
fn stack(key: &StormKey) -> Stack {
    const UNTOLD: u8 = 0;
    const V4: u8 = Site::PassiveV4 as u8;
    const V6: u8 = Site::PassiveV6 as u8;
    let frames: &[&str] = match (key.site, key.family) {
        (V4, _) | (UNTOLD, AF_INET) => &["tcp_v4_send_reset", "tcp_v4_rcv"],
        (V6, _) | (UNTOLD, AF_INET6) => &["tcp_v6_send_reset", "tcp_v6_rcv"],
        (site, _) => match SITES.iter().find(|info| info.site as u8 == site) {
            Some(info) => &[info.function],
            None => &[],
        },
    };
    let frames: Vec<Arc<str>> = frames.iter().map(|frame| Arc::from(*frame)).collect();
    Stack {
        callee: frames.first().cloned(),
        caller: frames.get(1).cloned(),
        folded: None,
        frames,
        ..Stack::default()
    }
}

#[cfg(test)]
mod tests {
    use tcprst_schema::footer::ClockAnchor;
    use tcprst_schema::rollup::Rollup;

    use super::*;
    use crate::event::decode::Event;
    use crate::event::enrich::Enricher;
    use crate::event::stacks::Stacks;
    use crate::event::storm_table::NO_KEY;
    use crate::kernel::btf::Names;
    use crate::kernel::programs::Programs;
    use crate::kernel::symbols::Symbols;
    use tcprst_schema::wire::{EventHeader, FROM_PACKET};
    use zerocopy::FromZeros;

    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;
    const NO_SOCKET: i32 = 4;

    fn key(src_port: u16, answered_flags: u8) -> StormKey {
        StormKey {
            netns_cookie: 9,
            netns_inum: 8,
            reason: NO_SOCKET,
            src_port,
            family: AF_INET,
            answered_flags,
            ..NO_KEY
        }
    }

    fn clock() -> Clock {
        let (boot_ns, realtime_ns) = (5_000_000_000, 1_795_292_299_000_000_000);
        Clock::from_anchor(ClockAnchor { boot_ns, realtime_ns })
    }

    fn storms() -> Storms {
        Storms::new("web", [(NO_SOCKET, "NO_SOCKET".into())], 100, &clock())
    }

    fn text<'a>(row: &'a RollupRow, name: &str) -> Option<&'a str> {
        let at = DIMENSIONS.iter().position(|known| *known == name).expect("a dimension");
        row.dimensions[at].as_text()
    }

    /// An event with the same facts as a key.
    fn header(key: &StormKey) -> EventHeader {
        let mut header = EventHeader::new_zeroed();
        header.reason = key.reason;
        header.family = key.family;
        header.src_port = key.src_port;
        header.dst_port = 40_000;
        header.answered_flags = key.answered_flags;
        header.netns_inum = key.netns_inum;
        header.netns_cookie = key.netns_cookie;
        header.flags = FROM_PACKET;
        header
    }

    #[test]
    fn a_group_of_counts_is_the_group_that_their_rows_would_be_in() {
        let names =
            Names { reasons: [(NO_SOCKET, "NO_SOCKET".to_owned())].into(), ..Names::default() };
        let mut enricher =
            Enricher::new("web", &names, Stacks::new(Symbols::read(Programs::new(&[]))));
        for key in [key(80, SYN), key(50_000, SYN), key(443, ACK)] {
            let counted = storms().counted(key, 1, &clock());
            // The stack is walked for rows only.
            let mut row = enricher.row(&Event { header: &header(&key), stack: &[] }, &clock());
            row.stack = Arc::clone(&counted.row.stack);
            (row.cause, row.blame) = (counted.row.cause, counted.row.blame);
            let own = counted.rollup();
            for (at, name) in DIMENSIONS.iter().enumerate() {
                let column = COLUMNS.iter().find(|column| column.name == *name).expect("a column");
                assert_eq!(own.dimensions[at], (column.value)(&row), "{name} of {key:?}");
            }
        }
    }

    #[test]
    fn the_key_proves_the_cause() {
        let rollup = |key| storms().counted(key, 5, &clock()).rollup();
        let syn = rollup(key(80, SYN));
        assert_eq!(text(&syn, "cause"), Some("closed_port"));
        assert_eq!(text(&syn, "callee"), Some("tcp_v4_send_reset"));
        assert_eq!(text(&syn, "caller"), Some("tcp_v4_rcv"));
        assert_eq!(text(&syn, "reason"), Some("NO_SOCKET"));
        assert_eq!((text(&syn, "family"), syn.count), (Some("ipv4"), 5));
        let stale = rollup(StormKey { family: AF_INET6, reason: NO_REASON, ..key(80, ACK) });
        assert_eq!(text(&stale, "cause"), Some("stale_flow"));
        assert_eq!(text(&stale, "caller"), Some("tcp_v6_rcv"));
        assert_eq!((text(&stale, "family"), text(&stale, "reason")), (Some("ipv6"), None));
        let unknown = rollup(NO_KEY);
        assert_eq!(text(&unknown, "cause"), Some("unknown"));
        assert_eq!((text(&unknown, "callee"), text(&unknown, "family")), (None, None));
        let several = rollup(key(0, SYN));
        assert_eq!(text(&several, "cause"), Some("closed_port"));
        let mut counts = Rollup::default();
        counts.add_counts(&[syn, stale, unknown, several]);
        assert_eq!(counts.rows(), 20);
    }

    #[test]
    fn losses_report_what_was_written_once_and_without_flags() {
        let mut storms = storms();
        let counted = |key, count| storms.counted(key, count, &clock());
        let written = [counted(key(80, SYN), 3), counted(key(80, ACK), 4), counted(key(0, SYN), 9)];
        storms.written(&written);
        let rows = storms.report(&clock());
        let told: Vec<_> = rows.iter().map(|row| (row.stage, row.src_port, row.count)).collect();
        assert_eq!(told, [("counted", None, 9), ("counted", Some(80), 7)]);
        assert_eq!(rows[0].caller.as_deref(), Some("tcp_v4_rcv"));
        assert!(storms.report(&clock()).is_empty());
    }
}
