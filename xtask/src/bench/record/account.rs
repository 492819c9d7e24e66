//! Whether tcprst-record knows what became of each reset.

use super::round::Round;
use crate::bench::running::{Ledger, Tally};

/// Two lines for each run of a round, and what is wrong with it.
pub(super) fn lines(round: &Round) -> (Vec<String>, Vec<String>) {
    let [ours, ..] = &round.tools;
    let calm = ours.calm.map(|calm| ("at 1 000 per second", calm.tally, calm.resets));
    let runs = [
        ("at 50 000 per second", ours.busy.tally, ours.busy.resets),
        ("flood", ours.flooded, ours.flood.resets),
    ];
    let (mut lines, mut faults) = (Vec::new(), Vec::new());
    for (title, tally, resets) in calm.into_iter().chain(runs) {
        let Some(ledger) = tally.ledger else { continue };
        lines.push(line(title, &tally, &ledger, resets));
        faults.extend(found(&tally, &ledger, resets).map(|fault| format!("{title}: {fault}")));
    }
    (lines, faults)
}

fn line(title: &str, tally: &Tally, ledger: &Ledger, resets: u64) -> String {
    let account = &ledger.account;
    format!(
        "  {title}: {} seen = {} written + {} counted + {} lost; here {resets} resets, of them {} \
         written, {} counted",
        account.seen,
        account.written,
        account.counted,
        account.lost,
        tally.kept,
        ledger.counted_here
    )
}

fn found(tally: &Tally, ledger: &Ledger, resets: u64) -> impl Iterator<Item = String> {
    let account = &ledger.account;
    let known = tally.kept + ledger.counted_here;
    [
        (!account.is_even()).then(|| format!("the account is not even: {account:?}")),
        (ledger.keyed_lost != account.lost).then(|| {
            format!("{} lost, but {} in the table losses", account.lost, ledger.keyed_lost)
        }),
        (ledger.keyed_counted != account.counted).then(|| {
            format!("{} counted, but {} in the table losses", account.counted, ledger.keyed_counted)
        }),
        // What was lost may be anybody's.
        (known > resets || known + account.lost < resets)
            .then(|| format!("{resets} resets here, but {known} written or counted")),
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use scenarios::Account;

    use super::*;
    use crate::bench::usage::Memory;

    fn faults(kept: u64, account: Account, counted_here: u64, resets: u64) -> Vec<String> {
        let ledger = Ledger {
            account,
            keyed_lost: account.lost,
            keyed_counted: account.counted,
            counted_here,
        };
        let tally = Tally {
            kept,
            lost: account.lost,
            ledger: Some(ledger),
            bytes: None,
            cpu: Duration::ZERO,
            memory: Memory { now: 0, peak: 0 },
        };
        found(&tally, &ledger, resets).collect()
    }

    #[test]
    fn counted_resets_are_complete() {
        let storm = Account { seen: 100, written: 20, counted: 80, lost: 0 };
        assert!(faults(20, storm, 80, 100).is_empty());
        // Others on this machine have ten of them.
        assert!(faults(15, storm, 75, 90).is_empty());
        assert_eq!(faults(20, storm, 79, 100).len(), 1);
        assert_eq!(faults(20, Account { seen: 101, ..storm }, 80, 100).len(), 1);
    }

    #[test]
    fn a_loss_that_is_said_is_not_silent() {
        let flood = Account { seen: 100, written: 90, counted: 0, lost: 10 };
        assert!(faults(90, flood, 0, 100).is_empty());
        assert_eq!(faults(89, flood, 0, 100).len(), 1);
        assert_eq!(faults(91, flood, 0, 90).len(), 1);
    }
}
