//! From SQL to rows: the session, the rules of what SQL may do, the engine and its optimizer rules.

mod carry_over;
pub(crate) mod dictionary;
pub(crate) mod engine;
pub(crate) mod interrupt;
pub(crate) mod permit;
pub(crate) mod rollup;
pub(crate) mod session;
