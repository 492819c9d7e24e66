//! One file per hook. Their names are those of `schema/src/hook.rs`.

mod accept;
mod active_reset;
mod icmp;
mod life;
mod netfilter;
mod passive_reset;
mod receive_reset;
mod send_reset;
mod set_state;

use aya_ebpf::EbpfContext;

use crate::kernel::{Address, get, layout};

/// Argument `index` of an fentry program.
///
/// Read as memory, not through the context's own access: the verifier knows these arguments
/// as typed pointers that are never null (they are, for a reset without a socket), and refuses
/// a program that touches an argument which the running kernel's function does not have.
#[inline(always)]
fn fentry_arg(ctx: &impl EbpfContext, index: u32) -> Address {
    get(ctx.as_ptr() as Address, index * 8)
}

/// Argument `index` of a kprobe program, up to the third.
///
/// Read as memory as well: the compiler makes one access through a computed pointer of two
/// branches that read different registers, and the verifier refuses that for the context
/// ("dereference of modified ctx ptr").
#[inline(always)]
fn kprobe_arg(ctx: &impl EbpfContext, index: u32) -> Address {
    let offset = match index {
        0 => layout!(offsets.regs_arg0),
        1 => layout!(offsets.regs_arg1),
        _ => layout!(offsets.regs_arg2),
    };
    get(ctx.as_ptr() as Address, offset)
}
