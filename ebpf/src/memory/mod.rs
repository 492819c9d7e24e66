//! What is remembered of sockets and connections, for the reset that may come: tables that are found
//! by a hash, without locks.
//!
//! ```text
//! sockets    who owns a socket, by its address      <- connect(), accept(), listen(), births
//! listeners  who listens where                      <- listen() and its end
//! closing    the state that a socket left           <- its change to TCP_CLOSE
//! flows      how a connection ended, by its ends    <- ends that the peer may not know of; resets
//! ```

pub(crate) mod closing;
pub(crate) mod flows;
pub(crate) mod listeners;
pub(crate) mod sockets;
