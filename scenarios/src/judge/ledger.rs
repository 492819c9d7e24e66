//! The recorder's ledger (`--audit`), as it prints it for machines, and whether it balances.

use std::net::IpAddr;

use serde::Deserialize;

use super::cell::Balance;
use crate::scene::Caused;

/// One entry. Packets seen, recorded, lost or dropped are only counted, and have no flow.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LedgerEntry {
    pub entry: EntryKind,
    pub count: u64,
    #[serde(default)]
    pub src_addr: Option<IpAddr>,
    #[serde(default)]
    pub src_port: Option<u16>,
    #[serde(default)]
    pub dst_addr: Option<IpAddr>,
    #[serde(default)]
    pub dst_port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// RST packets at egress, by a packet socket.
    Seen,
    /// Resets that the kernel half reported.
    Recorded,
    /// At egress, made by no kernel function.
    Crafted,
    /// At egress, from elsewhere.
    Forwarded,
    /// At egress, and perhaps a lost event's.
    Unknown,
    /// Recorded, but never at egress.
    Unsent,
    /// Recorded, and perhaps at egress where the audit did not look.
    Missed,
    /// Events that are lost.
    Lost,
    /// Packets that the audit's socket had no room for.
    Dropped,
    /// Packets that the comparison had no room for.
    Overflow,
}

impl EntryKind {
    /// The differences: each must be a scenario's.
    const DIFFERENCES: [EntryKind; 5] = [
        EntryKind::Crafted,
        EntryKind::Forwarded,
        EntryKind::Unknown,
        EntryKind::Unsent,
        EntryKind::Missed,
    ];
    /// The kinds that make an account incomplete.
    const GAPS: [EntryKind; 3] = [EntryKind::Lost, EntryKind::Dropped, EntryKind::Overflow];

    pub(super) fn text(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

impl LedgerEntry {
    pub(super) fn is_of(&self, caused: &Caused) -> bool {
        self.src_addr == Some(caused.src_addr)
            && self.src_port == Some(caused.src_port)
            && self.dst_addr == Some(caused.dst_addr)
            && self.dst_port == Some(caused.dst_port)
    }
}

/// Whether the totals add up, and nothing is named that is not in `expected`.
pub(super) fn balance(
    ledger: Option<&[LedgerEntry]>,
    expected: &[(EntryKind, &Caused)],
) -> Balance {
    let Some(ledger) = ledger else {
        return Balance::Absent;
    };
    let total = |kind| -> u64 {
        ledger.iter().filter(|entry| entry.entry == kind).map(|entry| entry.count).sum()
    };
    let (seen, recorded) = (total(EntryKind::Seen), total(EntryKind::Recorded));
    let [crafted, forwarded, unknown, unsent, missed] = EntryKind::DIFFERENCES.map(total);
    let mut why = vec![];
    if seen + unsent + missed != recorded + crafted + forwarded + unknown {
        why.push(format!(
            "{seen} seen, but {recorded} recorded - {unsent} unsent - {missed} missed + {crafted} \
             crafted + {forwarded} forwarded + {unknown} unknown"
        ));
    }
    if seen == 0 {
        why.push("nothing was seen".to_owned());
    }
    for kind in EntryKind::GAPS {
        let count = total(kind);
        if count > 0 {
            why.push(format!("{count} {}", kind.text()));
        }
    }
    for entry in ledger.iter().filter(|entry| EntryKind::DIFFERENCES.contains(&entry.entry)) {
        let is_expected =
            expected.iter().any(|(wanted, caused)| *wanted == entry.entry && entry.is_of(caused));
        if !is_expected {
            why.push(format!("unexpected: {}", entry.text()));
        }
    }
    if why.is_empty() { Balance::Even } else { Balance::Uneven(why) }
}

impl LedgerEntry {
    fn text(&self) -> String {
        let end = |address: Option<IpAddr>, port: Option<u16>| match (address, port) {
            (Some(address), Some(port)) => std::net::SocketAddr::new(address, port).to_string(),
            _ => "?".to_owned(),
        };
        format!(
            "{} {} from {} to {}",
            self.entry.text(),
            self.count,
            end(self.src_addr, self.src_port),
            end(self.dst_addr, self.dst_port)
        )
    }
}
