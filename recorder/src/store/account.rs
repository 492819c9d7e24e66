//! `seen = written + lost`, segment by segment.
//!
//! Each event holds its number on its CPU and the number of events lost there before it. The
//! difference between two segments is what the second one saw and lost. The three numbers come
//! from three counters (two of the kernel half, and the rows), so that the equation can fail
//! and a test can check it.

use tcprst_schema::footer::CpuAccount;
use tcprst_schema::wire::CpuTotals;

/// The account of each CPU.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    base: Vec<CpuAccount>,
    now: Vec<CpuAccount>,
    /// Events of the segment that were not requested (`--container`).
    passed_over: u64,
}

/// Seen and lost since the segment began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) seen: u64,
    pub(crate) lost: u64,
}

impl Account {
    /// Counts an event by its CPU, its number and the losses before it.
    pub(crate) fn add(&mut self, cpu: u32, seq: u64, lost: u64) {
        let cpu = cpu as usize;
        if self.now.len() <= cpu {
            self.now.resize(cpu + 1, CpuAccount::default());
        }
        self.now[cpu].seen = self.now[cpu].seen.max(seq);
        self.now[cpu].lost = self.now[cpu].lost.max(lost);
    }

    /// Counts an event that was not requested: it is neither seen nor lost.
    pub(crate) fn pass_over(&mut self, cpu: u32, seq: u64, lost: u64) {
        self.add(cpu, seq, lost);
        self.passed_over += 1;
    }

    /// Takes the kernel half's totals, after the rings are empty and the programs are detached.
    /// This adds the losses after the last event.
    pub(crate) fn close(&mut self, totals: &[CpuTotals]) {
        for (cpu, totals) in totals.iter().enumerate() {
            self.add(cpu as u32, totals.seen, totals.lost);
        }
    }

    /// The counters at the start of the segment.
    pub(crate) fn base(&self) -> &[CpuAccount] {
        &self.base
    }

    /// Seen and lost in the segment.
    pub(crate) fn sums(&self) -> Sums {
        let base = |cpu: usize| self.base.get(cpu).copied().unwrap_or_default();
        let all = self.now.iter().enumerate().fold(Sums::default(), |sums, (cpu, now)| Sums {
            seen: sums.seen + (now.seen - base(cpu).seen),
            lost: sums.lost + (now.lost - base(cpu).lost),
        });
        // By its number, an event that was passed over may belong to the segment before.
        Sums { seen: all.seen.saturating_sub(self.passed_over), ..all }
    }

    /// Losses of all segments so far.
    pub(crate) fn lost_in_all(&self) -> u64 {
        self.now.iter().map(|cpu| cpu.lost).sum()
    }

    /// Starts the account of the next segment.
    pub(crate) fn next_segment(&mut self) {
        self.base.clone_from(&self.now);
        self.passed_over = 0;
    }

    /// An account that starts where a segment's footer says.
    pub(crate) fn from_base(base: &[CpuAccount]) -> Self {
        Self { base: base.to_vec(), now: base.to_vec(), passed_over: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_the_tail_are_lost() {
        let mut account = Account::default();
        account.add(1, 1, 0);
        account.add(1, 5, 3);
        assert_eq!(account.sums(), Sums { seen: 5, lost: 3 });
        account.next_segment();
        assert_eq!(account.sums(), Sums::default());
        account.close(&[CpuTotals { seen: 2, lost: 2 }, CpuTotals { seen: 6, lost: 4 }]);
        assert_eq!(account.sums(), Sums { seen: 3, lost: 3 });
        account.next_segment();
        account.pass_over(1, 7, 4);
        account.add(1, 8, 4);
        assert_eq!(account.sums(), Sums { seen: 1, lost: 0 });
    }
}
