//! From SQL to rows.

mod carry_over;
pub mod dictionary;
pub mod engine;
pub(crate) mod interrupt;
pub(crate) mod permit;
pub mod rollup;
pub mod session;
