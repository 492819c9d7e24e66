//! The means of scenarios: namespaces, networks, connections, packets made by hand,
//! processes and settings of the kernel.

pub(crate) mod busy;
pub(crate) mod flood;
pub(crate) mod ghost;
pub(crate) mod hidden;
pub(crate) mod netns;
pub(crate) mod options;
pub(crate) mod packet;
pub(crate) mod pair;
pub(crate) mod proc_net;
pub(crate) mod process;
pub(crate) mod rules;
pub(crate) mod sysctl;
pub(crate) mod tool;
pub(crate) mod topology;
