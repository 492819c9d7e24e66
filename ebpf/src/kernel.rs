//! Reading kernel memory at offsets that are known only at load time.

use aya_ebpf::helpers::bpf_probe_read_kernel;
use tcprst_schema::layout::{ABSENT, KernelLayout};

/// Set by the recorder before the load; the verifier then treats every field as a constant
/// and drops the branches that cannot be taken.
#[unsafe(no_mangle)]
pub(crate) static LAYOUT: KernelLayout = KernelLayout::UNSET;

/// One field of [`LAYOUT`].
macro_rules! layout {
    ($($field:ident).+) => {
        $crate::kernel::load(&$crate::kernel::LAYOUT.$($field).+)
    };
}
pub(crate) use layout;

/// Reads a global that the loader has set: volatile, or the compiler would fold in the unset value.
#[inline(always)]
pub(crate) fn load<T: Copy>(field: &T) -> T {
    // SAFETY: a reference is valid and aligned.
    unsafe { core::ptr::read_volatile(field) }
}

/// An address in the kernel; 0 is null.
pub(crate) type Address = u64;

/// Reads the member of type `T` at `base + offset`; `None` where the kernel has no such member,
/// the base is null or the page is not there.
#[inline(always)]
pub(crate) fn read<T>(base: Address, offset: u32) -> Option<T> {
    if base == 0 || offset == ABSENT {
        return None;
    }
    // SAFETY: the helper checks the address and fails instead of faulting.
    unsafe { bpf_probe_read_kernel((base + u64::from(offset)) as *const T) }.ok()
}
