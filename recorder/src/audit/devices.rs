//! Names of network devices, looked up when a packet is seen: a container's device is gone before
//! its packets are reported.

use std::collections::HashMap;
use std::sync::Arc;

use nix::net::if_::if_indextoname;

/// Maximum number of remembered devices. Beyond it the cache is cleared and names are looked up
/// again.
const MAX_DEVICES: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Devices(HashMap<u32, Arc<str>>);

impl Devices {
    /// Learns the name of an existing device.
    pub(super) fn meet(&mut self, index: u32) {
        if self.0.contains_key(&index) {
            return;
        }
        if self.0.len() >= MAX_DEVICES {
            self.0.clear();
        }
        if let Some(name) = name_now(index) {
            self.0.insert(index, name);
        }
    }

    /// Name of a device; `#` and its number if it was gone before it was met.
    pub(super) fn name(&self, index: u32) -> Arc<str> {
        let known = self.0.get(&index).cloned();
        known.or_else(|| name_now(index)).unwrap_or_else(|| format!("#{index}").into())
    }
}

fn name_now(index: u32) -> Option<Arc<str>> {
    let name = if_indextoname(index).ok()?;
    // For a missing device libc returns null, which nix 0.31 turns into an empty name.
    let name = name.to_str().ok().filter(|name| !name.is_empty())?;
    Some(name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_is_a_number() {
        let mut devices = Devices::default();
        devices.meet(1);
        devices.meet(u32::MAX - 1);
        assert_eq!(&*devices.name(1), "lo");
        assert_eq!(&*devices.name(u32::MAX - 1), "#4294967294");
    }
}
