//! `seen = written + counted + lost`, segment by segment.
//!
//! Each event holds its number on its CPU, and how many resets were lost and counted there before
//! it. The difference between two segments is what the second one saw and lost. The numbers come
//! from different counters (those of the kernel half, the rows, and the table of counts), so that
//! the equation can fail and a test can check it.
//!
//! Counts are read from their table while events still wait in rings. So the account of a CPU has
//! two parts that do not wait for each other: the events (`seq` less what was counted before), and
//! the counts, as far as they were read.

use tcprst_schema::footer::CpuAccount;
use tcprst_schema::wire::CpuTotals;

/// What the kernel half had lost and counted on a CPU before an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Before {
    pub lost: u64,
    pub counted: u64,
}

/// The account of each CPU.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    base: Vec<CpuAccount>,
    now: Vec<CpuNow>,
    /// Events of the segment that were not requested (`--container`).
    passed_over: u64,
    /// Resets of the segment that were counted in place of a row.
    counted: u64,
}

/// The counters of a CPU as far as they are known.
#[derive(Clone, Copy, Debug, Default)]
struct CpuNow {
    /// Resets that were not counted: written or lost.
    events: u64,
    lost: u64,
    /// Counts that were read.
    counted: u64,
}

impl From<&CpuAccount> for CpuNow {
    fn from(base: &CpuAccount) -> Self {
        let CpuAccount { seen, lost, counted } = *base;
        Self { events: seen.saturating_sub(counted), lost, counted }
    }
}

impl From<&CpuNow> for CpuAccount {
    fn from(now: &CpuNow) -> Self {
        Self { seen: now.events + now.counted, lost: now.lost, counted: now.counted }
    }
}

/// Seen, counted and lost since the segment began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) seen: u64,
    pub(crate) counted: u64,
    pub(crate) lost: u64,
}

impl Account {
    fn of_cpu(&mut self, cpu: usize) -> &mut CpuNow {
        if self.now.len() <= cpu {
            self.now.resize(cpu + 1, CpuNow::default());
        }
        &mut self.now[cpu]
    }

    /// Counts an event by its CPU, its number, and what was lost and counted before it.
    pub(crate) fn add(&mut self, cpu: u32, seq: u64, before: Before) {
        let now = self.of_cpu(cpu as usize);
        now.events = now.events.max(seq.saturating_sub(before.counted));
        now.lost = now.lost.max(before.lost);
    }

    /// Counts an event that was not requested: it is neither seen nor lost.
    pub(crate) fn pass_over(&mut self, cpu: u32, seq: u64, before: Before) {
        self.add(cpu, seq, before);
        self.passed_over += 1;
    }

    /// Takes the counts that were read so far since the start, CPU by CPU.
    pub(crate) fn counts_read(&mut self, by_cpu: &[u64]) {
        for (cpu, counted) in by_cpu.iter().enumerate().filter(|(_, counted)| **counted > 0) {
            let now = self.of_cpu(cpu);
            now.counted = now.counted.max(*counted);
        }
    }

    /// Adds counts to the segment: all that were read, unless some were not requested.
    pub(crate) fn add_counted(&mut self, count: u64) {
        self.counted += count;
    }

    /// Takes the kernel half's totals, after the rings are empty and the programs are detached.
    /// This adds the losses after the last event.
    pub(crate) fn close(&mut self, totals: &[CpuTotals]) {
        for (cpu, totals) in totals.iter().enumerate() {
            let before = Before { lost: totals.lost, counted: totals.counted };
            self.add(cpu as u32, totals.seen, before);
        }
    }

    /// The counters at the start of the segment.
    pub(crate) fn base(&self) -> &[CpuAccount] {
        &self.base
    }

    /// Seen, counted and lost in the segment.
    pub(crate) fn sums(&self) -> Sums {
        let base = |cpu: usize| self.base.get(cpu).map(CpuNow::from).unwrap_or_default();
        let (events, lost) =
            self.now.iter().enumerate().fold((0, 0), |(events, lost), (cpu, now)| {
                (events + (now.events - base(cpu).events), lost + (now.lost - base(cpu).lost))
            });
        // By its number, an event that was passed over may belong to the segment before.
        let events = events.saturating_sub(self.passed_over);
        Sums { seen: events + self.counted, counted: self.counted, lost }
    }

    /// Losses of all segments so far.
    pub(crate) fn lost_in_all(&self) -> u64 {
        self.now.iter().map(|cpu| cpu.lost).sum()
    }

    /// Starts the account of the next segment.
    pub(crate) fn next_segment(&mut self) {
        self.base = self.now.iter().map(CpuAccount::from).collect();
        self.passed_over = 0;
        self.counted = 0;
    }

    /// An account that starts where a segment's footer says.
    pub(crate) fn from_base(base: &[CpuAccount]) -> Self {
        Self {
            base: base.to_vec(),
            now: base.iter().map(CpuNow::from).collect(),
            passed_over: 0,
            counted: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn lost(lost: u64) -> Before {
        Before { lost, counted: 0 }
    }

    const fn sums(seen: u64, counted: u64, lost: u64) -> Sums {
        Sums { seen, counted, lost }
    }

    #[test]
    fn gaps_and_the_tail_are_lost() {
        let mut account = Account::default();
        account.add(1, 1, lost(0));
        account.add(1, 5, lost(3));
        assert_eq!(account.sums(), sums(5, 0, 3));
        account.next_segment();
        assert_eq!(account.sums(), Sums::default());
        let totals = |seen, lost| CpuTotals { seen, lost, counted: 0 };
        account.close(&[totals(2, 2), totals(6, 4)]);
        assert_eq!(account.sums(), sums(3, 0, 3));
        account.next_segment();
        account.pass_over(1, 7, lost(4));
        account.add(1, 8, lost(4));
        assert_eq!(account.sums(), sums(1, 0, 0));
    }

    #[test]
    fn counts_are_seen_when_they_are_read_and_only_once() {
        let mut account = Account::default();
        // Numbers 1 and 2 are rows, 3 to 10 were counted, 11 is lost, 12 is a row.
        account.add(0, 1, lost(0));
        account.add(0, 2, lost(0));
        assert_eq!(account.sums(), sums(2, 0, 0));
        // All eight are read before the event 12 came out of the ring.
        account.counts_read(&[8, 0]);
        account.add_counted(8);
        assert_eq!(account.sums(), sums(10, 8, 0));
        account.next_segment();
        assert_eq!(account.base(), [CpuAccount { seen: 10, lost: 0, counted: 8 }]);
        account.add(0, 12, Before { lost: 1, counted: 8 });
        assert_eq!(account.sums(), sums(2, 0, 1), "one row, one loss");
    }

    #[test]
    fn counts_that_were_read_ahead_of_an_event_are_not_missing_behind_it() {
        let mut account = Account::default();
        account.add(0, 10, lost(0));
        // 11 to 1000 and 1002 to 2000 were counted; the event 1001 is still in the ring.
        account.counts_read(&[1989]);
        account.add_counted(1989);
        account.next_segment();
        account.add(0, 1001, Before { lost: 0, counted: 990 });
        assert_eq!(account.sums(), sums(1, 0, 0));
        account.close(&[CpuTotals { seen: 2003, lost: 1, counted: 1990 }]);
        account.counts_read(&[1990]);
        account.add_counted(1);
        // The row, another one that is not in this test, a loss and the last count.
        assert_eq!(account.sums(), sums(4, 1, 1));
    }

    #[test]
    fn counts_that_were_not_requested_are_not_seen() {
        let mut account = Account::default();
        account.counts_read(&[5]);
        account.add_counted(2);
        account.add(0, 6, Before { lost: 0, counted: 5 });
        assert_eq!(account.sums(), sums(3, 2, 0));
    }
}
