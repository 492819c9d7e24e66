//! When a segment is complete. Apart from this policy, only the end of the day and of the
//! program end a segment.

use std::time::Duration;

/// Limits of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SealPolicy {
    /// Age of its first reset.
    pub(crate) age: Duration,
    /// Size of its spool. The sealed file is a fraction of that, so the limit bounds both.
    pub(crate) bytes: u64,
}

impl SealPolicy {
    /// Whether a segment of that age and size is complete.
    pub(crate) fn is_due(&self, age: Duration, bytes: u64) -> bool {
        age >= self.age || bytes >= self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_limit_seals() {
        let policy = SealPolicy { age: Duration::from_secs(300), bytes: 100 };
        assert!(!policy.is_due(Duration::from_secs(299), 99));
        assert!(policy.is_due(Duration::from_secs(300), 0));
        assert!(policy.is_due(Duration::ZERO, 100));
    }
}
