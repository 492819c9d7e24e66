//! Checks the sequence numbers of the resets in a segment.
//!
//! The kernel half numbers the resets of each CPU. In a segment each number appears once, above the
//! start of the segment's account; a missing number is a reset that was lost, or counted in a
//! storm.

use std::collections::BTreeMap;

use tcprst_schema::footer::Footer;

use super::file::Checked;

#[derive(Debug, Default)]
pub(super) struct Numbers {
    by_cpu: BTreeMap<i32, Vec<i64>>,
}

impl Numbers {
    pub(super) fn add(&mut self, number: Option<(i32, i64)>) {
        if let Some((cpu, seq)) = number {
            self.by_cpu.entry(cpu).or_default().push(seq);
        }
    }

    pub(super) fn compare(mut self, footer: &Footer, checked: &mut Checked) {
        let mut missing = 0_u64;
        for (cpu, numbers) in &mut self.by_cpu {
            numbers.sort_unstable();
            if let Some(pair) = numbers.windows(2).find(|pair| pair[0] == pair[1]) {
                checked.wrong(format_args!("duplicate number {} of CPU {cpu}", pair[0]));
                numbers.dedup();
            }
            let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else {
                continue;
            };
            let base = usize::try_from(*cpu).ok().and_then(|cpu| footer.account.get(cpu));
            let base = base.copied().unwrap_or_default();
            // Counts may be read before an event that came between them: its number is higher than
            // that of the last event, but need not be higher than the account.
            let least = base.seen.saturating_sub(base.counted).cast_signed();
            let base = base.seen.cast_signed();
            // A row selected by container waits for names, so newer rows may be written before it.
            if *first <= least && !footer.filtered.by_container {
                checked.wrong(format_args!(
                    "number {first} of CPU {cpu}, but the segment starts after {least}"
                ));
                continue;
            }
            let seen = u64::try_from(last - base).unwrap_or_default();
            missing += seen.saturating_sub(numbers.len() as u64);
        }
        // Numbers that the filter skipped are missing on purpose.
        let explained = footer.lost + footer.counted;
        if missing > explained && !footer.filtered.by_container {
            checked.wrong(format_args!(
                "{missing} numbers are missing, but only {explained} resets were lost or counted"
            ));
        }
    }
}
