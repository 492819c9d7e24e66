//! Settings of the allocator: the start needs some buffers of megabytes, and what they took must not
//! stay with the process for months.

use nix::libc;

/// Buffers from this size on are mapped one by one, so that the kernel has them back when they are
/// freed. Without it, glibc raises the limit to the size of the largest buffer that was freed. A
/// chunk of events is smaller: mapping each would cost page faults in a storm.
const MAPPED_FROM: libc::c_int = 1024 * 1024;

/// Call it before the first large buffer.
pub(crate) fn set_up() {
    // SAFETY: sets one parameter of the allocator; a refusal changes nothing.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM);
    }
}

/// Gives freed memory back to the kernel. Call it after work that is rare.
pub(crate) fn trim() {
    // SAFETY: releases pages that hold no allocation.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
