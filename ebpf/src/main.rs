//! The kernel half of tcprst: sees every TCP RST that the kernel sends and puts it, with the
//! kernel stack, into the ring buffer of its CPU.
//!
//! `hooks/*` say where a reset is seen and what is at hand there; [`emit`] turns that into an
//! event; [`sock`] and [`packet`] read the kernel's structures through the offsets that the
//! recorder has set in [`kernel::LAYOUT`]; [`maps`] are the rings and the accounts.
//!
//! SPDX-License-Identifier: GPL-2.0-only
#![no_std]
#![no_main]
#![deny(unsafe_op_in_unsafe_fn)]
#![feature(core_intrinsics)]
#![allow(internal_features, reason = "an atomic addition, see emit.rs")]

mod emit;
mod filter;
mod hooks;
mod kernel;
mod maps;
mod owner;
mod packet;
mod sock;

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
