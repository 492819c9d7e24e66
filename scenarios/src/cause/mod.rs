//! The functions that cause resets, in a file for each kind.

pub(crate) mod active;
pub(crate) mod bpf;
pub(crate) mod firewall;
pub(crate) mod handshake;
pub(crate) mod mptcp;
pub(crate) mod orphan;
pub(crate) mod passive;
pub(crate) mod past;
pub(crate) mod refusal;
pub(crate) mod wire;
