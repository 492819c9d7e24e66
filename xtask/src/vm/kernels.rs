//! The kernel lines that are tested, and where Debian has them.

/// A line of kernels, of which the newest is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    /// The beginning of the versions of this line.
    prefix: &'static str,
    /// Debian suites that carry it, best first. A suite's security updates count as its own.
    pub(crate) suites: &'static [&'static str],
}

pub(crate) const LINES: &[Line] = &[
    Line { name: "5.10", prefix: "5.10.", suites: &["bullseye"] },
    Line { name: "6.1", prefix: "6.1.", suites: &["bookworm"] },
    Line { name: "6.12", prefix: "6.12.", suites: &["trixie"] },
    Line { name: "7.x", prefix: "7.", suites: &["trixie-backports", "sid"] },
];

/// The line whose guest has a whole system.
pub(crate) const SYSTEM: &str = "6.12";

/// The lines whose guests have many CPUs too: before 6.16 small LRU maps starve there.
pub(crate) const MANY_CPUS: &[&str] = &["6.12", "7.x"];

/// The lines of the test `hardened`: one on which fentry sees TCP's resets, and one on which a
/// tracepoint does.
pub(crate) const HARDENED: &[&str] = &["6.1", "6.12"];

/// The machine itself, by the name that `--kernel` gives it.
pub(crate) const HOST: &str = "host";

impl Line {
    /// Whether a Debian version, as `6.1.192-2`, belongs to this line.
    pub(crate) fn has(&self, version: &str) -> bool {
        version.starts_with(self.prefix)
    }
}

/// Every name that `--kernel` accepts, in the order of the columns.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    LINES.iter().map(|line| line.name).chain([HOST])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_belongs_to_one_line() {
        let lines = |version| LINES.iter().filter(move |line| line.has(version));
        for (version, name) in [
            ("5.10.262-1", "5.10"),
            ("6.1.192-2", "6.1"),
            ("6.12.117-1", "6.12"),
            ("7.3.4-1~bpo13+1", "7.x"),
        ] {
            assert_eq!(lines(version).map(|line| line.name).collect::<Vec<_>>(), [name]);
        }
        assert_eq!(lines("6.18.15-1").count(), 0);
    }
}
