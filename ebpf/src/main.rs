//! The kernel half of tcprst: sees every TCP RST that the kernel sends and puts it, with the
//! kernel stack, into the ring buffer of its CPU.
//!
//! `hooks/*` say where a [`reset`] is seen and what is at hand there; [`emit`] turns that into an
//! event; [`sock`] and [`packet`] read the kernel's structures through the offsets that the
//! recorder has set in [`kernel::LAYOUT`]; [`maps`] are the rings and the accounts.
//!
//! What a reset may cost is decided by [`pace`]; in a [`storm`] it is only counted. [`owner`] says
//! who owns a socket, from what [`sockets`], [`listeners`] and [`flows`] remember, and [`closing`]
//! what state it left.
//!
//! SPDX-License-Identifier: GPL-2.0-only
#![no_std]
#![no_main]
#![deny(unsafe_op_in_unsafe_fn)]
#![feature(asm_experimental_arch, core_intrinsics)]
#![allow(internal_features, reason = "an atomic addition, see maps.rs")]

mod emit;
mod filter;
mod hooks;
mod kernel;
mod maps;
mod memory;
mod owner;
mod pace;
mod packet;
mod reset;
mod sock;
mod storm;
mod task;

use memory::{closing, flows, listeners, sockets};

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
