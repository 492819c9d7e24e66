//! From the kernel's boot clock to the wall clock.

use nix::time::{ClockId, clock_gettime};
use tcprst_schema::footer::ClockAnchor;

use crate::error::{Error, Result};

/// The offset between the two clocks. It is read again for each batch, so that a step of the wall
/// clock (NTP, an operator) moves only the events after it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    anchor: ClockAnchor,
}

impl Clock {
    /// Reads both clocks.
    pub fn now() -> Result<Self> {
        Ok(Self {
            anchor: ClockAnchor {
                boot_ns: read(ClockId::CLOCK_BOOTTIME)?,
                realtime_ns: read(ClockId::CLOCK_REALTIME)?,
            },
        })
    }

    /// Clocks as they were read at another time, or as they are made up.
    pub fn from_anchor(anchor: ClockAnchor) -> Self {
        Self { anchor }
    }

    /// Nanoseconds since boot when the clocks were read.
    pub fn boot_ns(&self) -> u64 {
        self.anchor.boot_ns
    }

    pub fn anchor(&self) -> ClockAnchor {
        self.anchor
    }

    /// Converts a time on the boot clock into microseconds since the epoch.
    pub fn wall_us(&self, boot_ns: u64) -> i64 {
        // Nanoseconds since the epoch fit into 64 bits until 2262.
        let offset = self.anchor.realtime_ns.cast_signed() - self.anchor.boot_ns.cast_signed();
        boot_ns.cast_signed().saturating_add(offset) / 1000
    }

    /// Microseconds since the epoch when the clocks were read.
    pub fn now_us(&self) -> i64 {
        self.wall_us(self.anchor.boot_ns)
    }
}

fn read(clock: ClockId) -> Result<u64> {
    let time = clock_gettime(clock).map_err(|e| Error::System("read the clock", e.into()))?;
    Ok(time.tv_sec().cast_unsigned() * 1_000_000_000 + time.tv_nsec().cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_becomes_wall_time() {
        let clock = Clock { anchor: ClockAnchor { boot_ns: 5_000, realtime_ns: 1_000_005_000 } };
        assert_eq!(clock.wall_us(5_000), 1_000_005);
        assert_eq!(clock.wall_us(4_000), 1_000_004, "before the anchor");
    }
}
