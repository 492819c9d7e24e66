//! The recorder's ledger (`--audit`), as it prints it for machines, and whether it balances.

use std::net::IpAddr;

use serde::Deserialize;

use super::cell::Balance;
use crate::simulate::Caused;

/// One entry; the totals have no flow.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Entry {
    pub entry: Kind,
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
pub enum Kind {
    /// RST packets at egress, by a packet socket.
    Seen,
    /// Resets that the kernel half reported.
    Recorded,
    /// At egress, made by no kernel function.
    Crafted,
    /// At egress, from elsewhere.
    Forwarded,
    /// Recorded, but never at egress.
    Unsent,
    /// What the packet socket lost.
    Dropped,
    /// What a newer recorder may add.
    #[serde(other)]
    Other,
}

impl Entry {
    pub(super) fn is_of(&self, caused: &Caused) -> bool {
        self.src_addr == Some(caused.src_addr)
            && self.src_port == Some(caused.src_port)
            && self.dst_addr == Some(caused.dst_addr)
            && self.dst_port == Some(caused.dst_port)
    }

    fn is_total(&self) -> bool {
        self.src_addr.is_none()
    }
}

/// Whether the totals add up, and nothing is named that is not in `expected`.
pub(super) fn balance(ledger: Option<&[Entry]>, expected: &[(Kind, &Caused)]) -> Balance {
    let Some(ledger) = ledger else {
        return Balance::Absent;
    };
    let total = |kind| -> u64 {
        ledger.iter().filter(|e| e.entry == kind && e.is_total()).map(|e| e.count).sum()
    };
    let (seen, recorded, unsent) = (total(Kind::Seen), total(Kind::Recorded), total(Kind::Unsent));
    let (crafted, forwarded) = (total(Kind::Crafted), total(Kind::Forwarded));
    let mut why = vec![];
    if seen + unsent != recorded + crafted + forwarded {
        why.push(format!(
            "{seen} seen, but {recorded} recorded - {unsent} unsent + {crafted} crafted + \
             {forwarded} forwarded"
        ));
    }
    if seen == 0 {
        why.push("nothing was seen".to_owned());
    }
    let dropped = total(Kind::Dropped);
    if dropped > 0 {
        why.push(format!("{dropped} dropped"));
    }
    for kind in [Kind::Crafted, Kind::Forwarded, Kind::Unsent] {
        for entry in ledger.iter().filter(|e| e.entry == kind && !e.is_total()) {
            if !expected.iter().any(|(wanted, caused)| *wanted == kind && entry.is_of(caused)) {
                why.push(format!("nobody should have {}", entry.text()));
            }
        }
    }
    if why.is_empty() { Balance::Even } else { Balance::Uneven(why) }
}

impl Entry {
    fn text(&self) -> String {
        let end = |address: Option<IpAddr>, port: Option<u16>| match (address, port) {
            (Some(address), Some(port)) => std::net::SocketAddr::new(address, port).to_string(),
            _ => "?".to_owned(),
        };
        format!(
            "{:?} {} from {} to {}",
            self.entry,
            self.count,
            end(self.src_addr, self.src_port),
            end(self.dst_addr, self.dst_port)
        )
    }
}
