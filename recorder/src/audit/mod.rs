//! `--audit`: compares the RST packets that leave with the resets that were recorded.
//!
//! A packet socket sees every RST at every device of the recorder's own network namespace. Each
//! packet that left is paired with a recorded event of its flow. The table `ledger` reports
//! unmatched ones. A packet without an event is `crafted` (built outside of the kernel functions
//! that we know: by a raw socket, tc, a packet socket) or `forwarded` (it came in before it left).
//! An event without a packet is `unsent`: a rule dropped it, there was no route, or a hook at the
//! entry of a function fired and the function gave up.
//!
//! ```text
//! socket    a filter in the kernel passes RSTs only; packet: bytes -> flow, key, TTL
//! capture   the thread that reads it
//! sightings one packet at several devices; packets that came in before they left
//! ledger    packets against events
//! excuse    names a difference, unless losses may explain it
//! ```
//!
//! Limits:
//! - Where addresses are translated on the way out, the packet has another flow than its event. If
//!   one end is the same, this gives one `missed` and one `unknown`, else one `unsent` and one
//!   `crafted`. A forwarded packet is recognized by its sequence and acknowledgement numbers, which
//!   translation does not change.
//! - A native XDP program sends (`XDP_TX`, redirects) and drops below the packet socket. IPsec
//!   hides the RST in another packet. RSTs behind IPv6 extension headers are not looked for.
//! - Where a function that builds RSTs has no hook (netfilter's on a kernel without kprobes), it
//!   may have built any packet without an event: `unknown`, never `crafted`.
//! - A RST with the same flow as a recorded one is distinguished by count only.
//! - If the recorder is killed, the part of the ledger that it had not yet written is lost.

mod capture;
mod devices;
mod excuse;
mod ledger;
mod packet;
mod sightings;
mod socket;

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tcprst_schema::cause::Blame;
use tcprst_schema::footer::SiteStatus;
use tcprst_schema::hook::Direction;
use tcprst_schema::row::{LedgerRow, LossRow, Row, STAGE_COUNTED};

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::stderr::{counted, say};
use capture::Capture;
use devices::Devices;
use excuse::entry;
use ledger::Entry;
use packet::Flow;
use socket::Tap;

/// Maximum number of flows that are named at the end.
const EXAMPLES: usize = 10;
const OWN_NETNS: &str = "/proc/thread-self/ns/net";

/// The audit of the recorder's own network namespace.
#[derive(Debug)]
pub(crate) struct Audit {
    capture: Capture,
    host: Arc<str>,
    netns_id: u32,
    netns_cookie: Option<u64>,
    /// Boot clock time range of the events that are compared.
    from_ns: u64,
    to_ns: u64,
    reported_at_us: i64,
    reported: Instant,
    losses: AuditLosses,
    totals: Totals,
    examples: Vec<String>,
}

/// Losses of events so far, by the namespace that they belong to.
#[derive(Debug, Default)]
struct AuditLosses {
    elsewhere: u64,
    own: u64,
    unkeyed: u64,
}

/// Sums over all reports.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    seen: u64,
    crafted: u64,
    forwarded: u64,
    unknown: u64,
    unsent: u64,
    missed: u64,
}

impl Audit {
    /// Opens the socket. Call it before the probe is loaded, so that packets wait for their events
    /// and not the other way round.
    pub(crate) fn start(host: &str, clock: &Clock) -> Result<Self> {
        let netns = std::fs::metadata(OWN_NETNS).map_err(Error::io("read", OWN_NETNS))?;
        let tap = Tap::open()?;
        Ok(Self {
            host: host.into(),
            // The kernel's inode numbers of namespaces are 32 bits wide.
            netns_id: netns.ino() as u32,
            netns_cookie: tap.netns_cookie(),
            capture: Capture::start(tap)?,
            from_ns: u64::MAX,
            to_ns: u64::MAX,
            reported_at_us: clock.now_us(),
            reported: Instant::now(),
            losses: AuditLosses::default(),
            totals: Totals::default(),
            examples: Vec::new(),
        })
    }

    /// Starts the comparison: from now on the probe sees every reset, except at sites without a
    /// hook.
    pub(crate) fn open(&mut self, sites: &[SiteStatus]) -> Result<()> {
        let sent = Direction::Sent.name();
        if sites.iter().any(|site| site.direction == sent && site.hook.is_none()) {
            say!(
                "audit: not every function that builds RSTs is seen here, so no packet is \
                 reported as `crafted`"
            );
            self.capture.ledger().expect_unhooked();
        }
        self.capture.open();
        self.from_ns = Clock::now()?.anchor().boot_ns;
        Ok(())
    }

    /// Ends the compared time: the probe may be detached.
    pub(crate) fn shut(&mut self) -> Result<()> {
        self.capture.shut();
        self.to_ns = Clock::now()?.anchor().boot_ns;
        Ok(())
    }

    /// Reads the remaining packets and settles everything that is open.
    pub(crate) fn finish(&mut self) {
        self.capture.finish();
        self.capture.ledger().settle_all();
    }

    /// Adds recorded events to the ledger.
    pub(crate) fn take<'a>(&mut self, rows: impl Iterator<Item = &'a Row>) {
        let netns_id = self.netns_id;
        let now = Instant::now();
        let mut ledger = None;
        let ours = rows.filter(|row| {
            row.direction == "sent" && row.netns_id.is_none_or(|netns| netns == netns_id)
        });
        for row in ours {
            let ledger = ledger.get_or_insert_with(|| self.capture.ledger());
            match (row.netns_id, row.src, row.dst) {
                (Some(_), Some(src), Some(dst)) => {
                    let is_edge = !(self.from_ns..=self.to_ns).contains(&row.boot_ns);
                    ledger.event(Flow { src, dst }, is_edge, now);
                }
                // It may be an event of any of our flows, and cannot be compared.
                (_, src, _) => ledger.lost(src.map(|(_, port)| port), 1),
            }
        }
    }

    /// Adds the losses since the last call. `in_rings` is the kernel half's total of losses in
    /// rings so far, read after the rows: it exceeds their sum if the key table was full.
    pub(crate) fn take_losses(&mut self, rows: &[LossRow], in_rings: u64) {
        let mut ledger = self.capture.ledger();
        for row in rows {
            match (row.stage, row.netns_id) {
                ("ring", Some(netns)) if netns == self.netns_id => {
                    self.losses.own += row.count;
                    ledger.lost(row.src_port, row.count);
                }
                ("ring", Some(_)) => self.losses.elsewhere += row.count,
                // Counted by the total, below.
                ("ring", None) => {}
                // Of these nothing is known but the port: they excuse packets as losses do.
                (STAGE_COUNTED, Some(netns)) if netns == self.netns_id => {
                    ledger.lost(row.src_port, row.count);
                }
                (STAGE_COUNTED, Some(_)) => {}
                _ => ledger.lost(None, row.count),
            }
        }
        let AuditLosses { elsewhere, own, unkeyed } = self.losses;
        let new = in_rings.saturating_sub(elsewhere + own + unkeyed);
        self.losses.unkeyed += new;
        ledger.lost(None, new);
    }

    /// Whether the last report is at least this old.
    pub(crate) fn is_due(&self, age: Duration) -> bool {
        self.reported.elapsed() >= age
    }

    /// The account since the last report; no rows if no packet left and no reset was recorded.
    pub(crate) fn report(&mut self, clock: &Clock) -> Vec<LedgerRow> {
        self.reported = Instant::now();
        let mut ledger = self.capture.ledger();
        let mut entries = ledger.report(self.reported);
        // Sums first, then flows from the largest count down.
        entries.sort_by_key(|entry| (entry.flow.is_some(), entry.name, u64::MAX - entry.count));
        let to_us = clock.now_us();
        let devices = ledger.devices();
        let rows: Vec<LedgerRow> =
            entries.iter().map(|entry| self.row(entry, devices, to_us)).collect();
        drop(ledger);
        self.reported_at_us = to_us;
        for row in &rows {
            self.totals.add(row);
            if row.cause.is_some() && row.src.is_some() && self.examples.len() < EXAMPLES {
                self.examples.push(describe(row));
            }
        }
        rows
    }

    fn row(&self, entry: &Entry, devices: &Devices, to_us: i64) -> LedgerRow {
        let cause = [entry::CRAFTED, entry::FORWARDED].contains(&entry.name).then_some(entry.name);
        LedgerRow {
            from_us: self.reported_at_us,
            to_us,
            host: Arc::clone(&self.host),
            netns_id: Some(self.netns_id),
            netns_cookie: self.netns_cookie,
            entry: entry.name,
            count: entry.count,
            cause,
            blame: cause.map(|cause| match cause {
                entry::CRAFTED => Blame::Operator.name(),
                _ => Blame::Network.name(),
            }),
            src: entry.flow.map(|flow| flow.src),
            dst: entry.flow.map(|flow| flow.dst),
            device: entry.seen_at.map(|seen_at| devices.name(seen_at.device)),
            in_device: entry
                .seen_at
                .and_then(|seen_at| seen_at.in_device)
                .map(|device| devices.name(device)),
            ttl: entry.seen_at.map(|seen_at| seen_at.ttl),
        }
    }

    /// The findings for people: a summary, and one line for each of the first flows.
    pub(crate) fn summary(&self) -> Vec<String> {
        let Totals { seen, crafted, forwarded, unknown, unsent, missed } = self.totals;
        let recorded = seen - crafted - forwarded - unknown;
        let doubt = match unknown {
            0 => String::new(),
            unknown => format!(
                ", {unknown} unknown (lost events, translated addresses, functions without a hook)"
            ),
        };
        let first = format!(
            "audit: {} left this namespace: {recorded} recorded, {crafted} crafted, \
             {forwarded} forwarded{doubt}; {unsent} recorded but not seen leaving, \
             {missed} missed by the audit",
            counted(seen, "RST")
        );
        let examples = self.examples.iter().map(|example| format!("audit: {example}"));
        std::iter::once(first).chain(examples).collect()
    }
}

impl Totals {
    fn add(&mut self, row: &LedgerRow) {
        match row.entry {
            entry::SEEN => self.seen += row.count,
            entry::CRAFTED => self.crafted += row.count,
            entry::FORWARDED => self.forwarded += row.count,
            entry::UNKNOWN => self.unknown += row.count,
            entry::UNSENT => self.unsent += row.count,
            entry::DROPPED | entry::OVERFLOW => self.missed += row.count,
            _ => {}
        }
    }
}

/// Describes a crafted or forwarded flow in one line.
pub(crate) fn describe(row: &LedgerRow) -> String {
    let end = |end: Option<(std::net::IpAddr, u16)>| {
        end.map_or_else(|| "?".to_owned(), |end| std::net::SocketAddr::from(end).to_string())
    };
    let mut text = format!("{} {}: {} -> {}", row.count, row.entry, end(row.src), end(row.dst));
    if let Some(device) = &row.in_device {
        text.push_str(&format!(", came in through {device}"));
    }
    if let Some(device) = &row.device {
        text.push_str(&format!(", left through {device}"));
    }
    if let Some(ttl) = row.ttl {
        text.push_str(&format!(" with TTL {ttl}"));
    }
    text
}
