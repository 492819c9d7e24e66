//! One home for the event of tcprst.
//!
//! A reset travels through this crate once in each direction:
//!
//! 1. The kernel half fills a [`wire::EventHeader`] and a stack in a ring buffer ([`wire`]).
//!    Which kernel function or tracepoint made it is a [`hook::Site`]; [`hook::HOOKS`] lists
//!    every program that can see one, and [`layout`] every kernel field that it reads. In a storm
//!    the stack is left out where the reason proves it: [`implied`].
//! 2. The recorder decodes the bytes, names the frames and the reset reason and asks
//!    [`classify::classify`] which [`cause`] they prove.
//! 3. With the feature `arrow`, the result is a [`row::Row`]; [`columns::COLUMNS`] says how
//!    each of its fields becomes a column, and [`tables`] has one row for each table. In `files`,
//!    [`arrow`] derives schemas and encodings from them, [`footer`] describes a segment, [`paths`]
//!    names its files, [`rollup`] counts its rows by minute, [`writer`] writes the files,
//!    [`resets`] that of the rows, where many share a [`profile`] (`chunk`), and [`spool`] reads the
//!    open segment. [`container`] is what the recorder learns of a container,
//!    also after a row that belongs to it. [`words`] puts the taxonomy into sentences.
//!
//! Without the feature the crate is `no_std`, because the kernel half is built from it too.
#![cfg_attr(not(feature = "arrow"), no_std)]

pub mod cause;
pub mod classify;
pub mod hook;
pub mod implied;
pub mod layout;
pub mod wire;

#[cfg(feature = "arrow")]
pub mod columns;
#[cfg(feature = "arrow")]
pub mod container;
#[cfg(feature = "arrow")]
mod files;
#[cfg(feature = "arrow")]
pub mod row;
#[cfg(feature = "arrow")]
pub mod tables;
#[cfg(feature = "arrow")]
pub mod words;

#[cfg(feature = "arrow")]
use files::chunk;
#[cfg(feature = "arrow")]
pub use files::{arrow, footer, paths, profile, resets, rollup, spool, writer};

/// Version of the columns. It rises when a column is added, renamed or changes its meaning; readers
/// take missing columns as null. A column never changes its type: readers convert text only
/// ([`arrow::by_name`]), so another type needs another name.
pub const SCHEMA_VERSION: u32 = 6;

/// Version of the rules in [`cause::CAUSES`]. It rises with each change of a rule, so that the
/// analyzer knows which files were classified by older ones.
pub const TAXONOMY_VERSION: u32 = 3;
