//! `--port` and `--netns`: what else is reset is not seen, and so costs no room in the rings.

use tcprst_schema::layout::MAX_FILTERS;

use crate::kernel::{LAYOUT, get, layout, load};
use crate::reset::Reset;

/// Whether the reset is asked for. Without filters the verifier drops all of it.
#[inline(always)]
pub(crate) fn passes(reset: &Reset) -> bool {
    passes_netns(reset) && passes_port(reset)
}

#[inline(always)]
fn passes_netns(reset: &Reset) -> bool {
    if load(&LAYOUT.only_netns[0]) == 0 {
        return true;
    }
    let inode: u32 = get(reset.net(), layout!(offsets.net_inum));
    inode != 0 && is_in(&LAYOUT.only_netns, inode)
}

#[inline(always)]
fn passes_port(reset: &Reset) -> bool {
    load(&LAYOUT.only_ports[0]) == 0 || has_port(reset)
}

/// Apart, because the stacks of nested functions may have 512 bytes together.
#[inline(never)]
fn has_port(reset: &Reset) -> bool {
    let flow = reset.flow();
    is_in(&LAYOUT.only_ports, flow.src_port.into())
        || is_in(&LAYOUT.only_ports, flow.dst_port.into())
}

#[inline(always)]
fn is_in(list: &[u32; MAX_FILTERS], value: u32) -> bool {
    value != 0 && list.iter().any(|one| load(one) == value)
}
