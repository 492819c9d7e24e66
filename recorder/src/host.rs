//! The identity of this host.

use std::fs;

use nix::sys::utsname::uname;

use crate::error::{Error, Result};

/// What each footer says about the host.
#[derive(Clone, Debug)]
pub struct Host {
    pub name: String,
    /// /proc/sys/kernel/random/boot_id.
    pub boot_id: String,
    /// Release of the kernel.
    pub kernel: String,
}

impl Host {
    pub fn read() -> Result<Self> {
        let names = uname().map_err(|e| Error::System("read the host name", e.into()))?;
        let boot_id = "/proc/sys/kernel/random/boot_id";
        Ok(Self {
            name: names.nodename().to_string_lossy().into_owned(),
            boot_id: fs::read_to_string(boot_id)
                .map_err(Error::io("read", boot_id))?
                .trim()
                .to_owned(),
            kernel: names.release().to_string_lossy().into_owned(),
        })
    }
}
