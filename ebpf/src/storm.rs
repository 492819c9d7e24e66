//! Resets of a storm: counted by what they have in common, in place of a record for each.

use aya_ebpf::btf_maps::PerCpuHashMap;
use aya_ebpf::macros::btf_map;
use tcprst_schema::wire::{CpuTotals, StormKey};

use crate::kernel::{get, layout};
use crate::packet::Segment;
use crate::reset::Reset;
use crate::{flows, maps};

/// Resets that were counted in place of a record for each.
#[btf_map]
static COUNTED: PerCpuHashMap<StormKey, u64, 4096> = PerCpuHashMap::new();

/// Those for which there was no room, by all but the port.
#[btf_map]
static COUNTED_REST: PerCpuHashMap<StormKey, u64, 1024> = PerCpuHashMap::new();

/// Flags of a TCP header (RFC 9293, 3.1): all that the cause of a reset without a socket needs.
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// Counts the reset; false where there is no room even for the key without a port.
#[inline(never)]
pub(crate) fn count(reset: &Reset, totals: *mut CpuTotals) -> bool {
    let net = reset.net();
    let Segment { flow, flags, .. } = &reset.segment;
    let flags = *flags as u8;
    let mut key = StormKey {
        netns_cookie: get(net, layout!(offsets.net_cookie)),
        netns_inum: get(net, layout!(offsets.net_inum)),
        reason: reset.reason,
        src_port: flow.src_port,
        family: flow.family as u8,
        answered_flags: flags,
        site: reset.site,
        past: 0,
        padding: [0; 2],
    };
    if layout!(socket_owner) != 0 && !reset.segment.is_first_syn() {
        key.past = flows::past(net, &reset.segment);
    }
    let is_counted = add(&COUNTED, &key) || {
        // A scan of all ports fills the table.
        key.src_port = 0;
        key.answered_flags = flags & (SYN | ACK);
        add(&COUNTED_REST, &key)
    };
    if is_counted {
        // SAFETY: the entry of this CPU.
        unsafe { maps::count(&raw mut (*totals).counted) };
    }
    is_counted
}

#[inline(always)]
fn add<const N: usize>(table: &PerCpuHashMap<StormKey, u64, N>, key: &StormKey) -> bool {
    match table.get_ptr_mut(key) {
        Some(count) => {
            // SAFETY: the entry of this CPU.
            unsafe { maps::count(count) };
            true
        }
        None => table.insert(key, 1, 0).is_ok(),
    }
}
