//! Reading kernel memory at offsets that are known only at load time.
//!
//! There are two ways to read. [`Probed`] asks a helper, which takes any address on any kernel
//! and costs 10 ns or more. [`Typed`] is a plain load, which the verifier allows where it knows
//! the pointer's type: in programs on BTF tracepoints, for members of the structure that the
//! pointer points to.

use aya_ebpf::helpers::{bpf_probe_read_kernel, generated};
use core::arch::asm;
use core::ffi::c_void;
use core::mem::MaybeUninit;
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

/// A way to read a member of a kernel structure.
pub(crate) trait Memory {
    /// The member of type `T` at `base + offset`; `None` where the kernel has no such member or
    /// the base is null.
    fn read<T: Copy>(base: Address, offset: u32) -> Option<T>;

    /// The same; zero in place of `None`.
    fn get<T: Plain>(base: Address, offset: u32) -> T;
}

/// By a helper, from any address.
#[derive(Clone, Copy)]
pub(crate) struct Probed;

/// By a load, from a pointer of which the verifier knows the type.
#[derive(Clone, Copy)]
pub(crate) struct Typed;

impl Memory for Probed {
    #[inline(always)]
    fn read<T: Copy>(base: Address, offset: u32) -> Option<T> {
        read(base, offset)
    }

    #[inline(always)]
    fn get<T: Plain>(base: Address, offset: u32) -> T {
        get(base, offset)
    }
}

impl Memory for Typed {
    #[inline(always)]
    fn read<T: Copy>(base: Address, offset: u32) -> Option<T> {
        if base == 0 || offset == ABSENT {
            return None;
        }
        // SAFETY: the verifier refuses the program unless the load is of a member of the type that
        // it knows for `base`; where the page is not there, the kernel's fault handler gives zero.
        Some(unsafe { core::ptr::read_volatile((base + u64::from(offset)) as *const T) })
    }

    #[inline(always)]
    fn get<T: Plain>(base: Address, offset: u32) -> T {
        Self::read(base, offset).unwrap_or(T::ZERO)
    }
}

/// Types of members that are zero where they cannot be read.
pub(crate) trait Plain: Copy {
    const ZERO: Self;
}

macro_rules! plain {
    ($($number:ty)+) => { $(impl Plain for $number { const ZERO: Self = 0; })+ };
}
plain!(u8 u16 u32 u64 i32);

impl<const N: usize> Plain for [u64; N] {
    const ZERO: Self = [0; N];
}

/// Reads the member of type `T` at `base + offset`; zero where the kernel has no such member, the
/// base is null or the page is not there.
///
/// Without a branch: the verifier goes through all that follows a branch once for each side, and
/// twice as often for each further one.
#[inline(always)]
pub(crate) fn get<T: Plain>(base: Address, offset: u32) -> T {
    if offset == ABSENT {
        return T::ZERO;
    }
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the buffer has that size, and the helper fills all of it: with zeros where it fails
    // (bpf_probe_read_kernel_common). All values of a plain type are valid.
    unsafe {
        generated::bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            (base + u64::from(offset)) as *const c_void,
        );
        value.assume_init()
    }
}

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

/// Its own address, once it is known as a number. Its name is in the object: a mangled one would depend
/// on the folder that it is built in.
#[unsafe(no_mangle)]
static mut HERE: u64 = 0;

/// A typed pointer as a number, with which the verifier allows arithmetic. To read it from memory
/// would take a helper: 35 ns, of which a connection would pay four.
///
/// The difference of two pointers is a number, and the address of [`HERE`] becomes one by a visit to
/// memory. Only a program that may see addresses (CAP_PERFMON) can do either.
#[inline(always)]
pub(crate) fn number(pointer: Address) -> Address {
    let here = &raw mut HERE;
    // SAFETY: a global of the object. All CPUs write the same.
    let mut address = unsafe { core::ptr::read_volatile(here) };
    if address == 0 {
        // SAFETY: as above.
        address = unsafe {
            core::ptr::write_volatile(here, here as u64);
            core::ptr::read_volatile(here)
        };
    }
    let mut number = pointer;
    // SAFETY: one subtraction of registers. In Rust the compiler would be free to add first.
    unsafe { asm!("{0} -= {1}", inout(reg) number, in(reg) here, options(pure, nomem)) };
    number.wrapping_add(address)
}
