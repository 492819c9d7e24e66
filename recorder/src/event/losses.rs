//! Lost resets, counted by what they have in common.

use std::collections::HashMap;
use std::sync::Arc;

use tcprst_schema::row::LossRow;
use tcprst_schema::wire::{LostKey, NO_REASON};

use crate::clock::Clock;
use crate::error::Result;
use crate::event::enrich::Enricher;
use crate::kernel::probe::Counters;

/// From this number of keys in the kernel's table on, reported keys are removed: three quarters of
/// its 1024, so that new keys find room.
const CROWDED: usize = 768;

/// Reports each loss once.
#[derive(Debug)]
pub(crate) struct Losses {
    host: Arc<str>,
    /// The kernel's counters at the last report.
    reported: HashMap<LostKey, u64>,
    /// Reported under a key and without one.
    keyed: u64,
    unkeyed: u64,
    recursion: u64,
    reported_at_us: i64,
}

impl Losses {
    pub(crate) fn new(host: &str, clock: &Clock) -> Self {
        Self {
            host: host.into(),
            reported: HashMap::new(),
            keyed: 0,
            unkeyed: 0,
            recursion: 0,
            reported_at_us: clock.now_us(),
        }
    }

    /// How often the kernel refused to run a program since the last call.
    pub(crate) fn new_recursion_misses(&mut self, counters: &Counters) -> u64 {
        let now = counters.recursion_misses();
        let new = now.saturating_sub(self.recursion);
        self.recursion = now;
        new
    }

    /// Rows for the losses since the last report. `lost` is the account's number of losses in rings
    /// up to now; losses that the keys do not explain get a row without a key.
    pub(crate) fn report(
        &mut self,
        counters: &mut Counters,
        lost: u64,
        recursion: u64,
        enricher: &mut Enricher,
        clock: &Clock,
    ) -> Result<Vec<LossRow>> {
        let mut rows = Vec::new();
        // The keys are read after `lost` was summed up, so they may be ahead of it but never behind.
        let entries = counters.lost()?;
        let crowded = entries.len() >= CROWDED;
        for (key, count) in entries {
            let before = self.reported.insert(key, count).unwrap_or(0);
            let new = count.saturating_sub(before);
            if new > 0 {
                self.keyed += new;
                rows.push(self.keyed_row(&key, new, enricher, clock));
            }
            if crowded {
                counters.forget(&key);
                self.reported.remove(&key);
            }
        }
        let unexplained = lost.saturating_sub(self.keyed + self.unkeyed);
        if unexplained > 0 {
            self.unkeyed += unexplained;
            rows.push(self.row("ring", unexplained, clock));
        }
        if recursion > 0 {
            rows.push(self.row("recursion", recursion, clock));
        }
        self.reported_at_us = clock.now_us();
        Ok(rows)
    }

    fn row(&self, stage: &'static str, count: u64, clock: &Clock) -> LossRow {
        unkeyed(&self.host, stage, count, self.reported_at_us, clock.now_us())
    }

    fn keyed_row(
        &self,
        key: &LostKey,
        count: u64,
        enricher: &mut Enricher,
        clock: &Clock,
    ) -> LossRow {
        let stack = enricher.stacks().name(&key.stack);
        let reason_code = (key.reason != NO_REASON).then_some(key.reason);
        LossRow {
            netns_id: (key.netns_inum != 0).then_some(key.netns_inum),
            netns_cookie: (key.netns_cookie != 0).then_some(key.netns_cookie),
            callee: stack.callee.clone(),
            caller: stack.caller.clone(),
            reason: reason_code.and_then(|code| enricher.reason(code)),
            reason_code,
            family: match key.family {
                2 => Some("ipv4"),
                10 => Some("ipv6"),
                _ => None,
            },
            src_port: Some(key.src_port),
            ..self.row("ring", count, clock)
        }
    }
}

/// A row for losses of which only the number is known.
pub fn unkeyed(
    host: &Arc<str>,
    stage: &'static str,
    count: u64,
    from_us: i64,
    to_us: i64,
) -> LossRow {
    LossRow {
        from_us,
        to_us,
        host: Arc::clone(host),
        stage,
        count,
        netns_id: None,
        netns_cookie: None,
        callee: None,
        caller: None,
        reason: None,
        reason_code: None,
        family: None,
        src_port: None,
    }
}
