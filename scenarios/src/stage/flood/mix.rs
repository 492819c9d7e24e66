//! The kinds of resets that a flood can cause, and mixes of them.

use std::fmt;
use std::str::FromStr;

use anyhow::{Error, Result, bail, ensure};

/// A kind of reset that one thread can cause many thousand times a second.
///
/// A keepalive time-out is missing: its reset comes from a timer, a second after the last probe at
/// the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetKind {
    /// A connection to a port on which nothing listens.
    ClosedPort,
    /// A close without reading what came.
    CloseUnread,
    /// A close with SO_LINGER on and no time.
    Linger0,
    /// Data for a connection that this side has closed.
    DataAfterClose,
    /// Data for a TIME_WAIT socket that still waits for the peer's FIN.
    TimeWait,
}

impl ResetKind {
    pub const ALL: [Self; 5] =
        [Self::ClosedPort, Self::CloseUnread, Self::Linger0, Self::DataAfterClose, Self::TimeWait];

    pub fn name(self) -> &'static str {
        match self {
            Self::ClosedPort => "closed-port",
            Self::CloseUnread => "close-unread",
            Self::Linger0 => "linger0",
            Self::DataAfterClose => "data-after-close",
            Self::TimeWait => "time-wait",
        }
    }

    fn parse(name: &str) -> Result<Self> {
        ensure!(
            name != "keepalive",
            "keepalive resets come from a timer, so no flood can cause them"
        );
        match Self::ALL.into_iter().find(|kind| kind.name() == name) {
            Some(kind) => Ok(kind),
            None => {
                let known = Self::ALL.map(Self::name).join(", ");
                bail!("invalid kind of reset '{name}': use all, or some of {known}")
            }
        }
    }
}

/// Kinds of resets that take turns; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix(Vec<ResetKind>);

impl Mix {
    /// Every kind.
    pub fn all() -> Self {
        Self(ResetKind::ALL.to_vec())
    }

    /// Closed ports only.
    pub fn closed_port() -> Self {
        Self(vec![ResetKind::ClosedPort])
    }

    pub fn kinds(&self) -> &[ResetKind] {
        &self.0
    }
}

impl FromStr for Mix {
    type Err = Error;

    /// `all`, or names with commas between them.
    fn from_str(text: &str) -> Result<Self> {
        if text == "all" {
            return Ok(Self::all());
        }
        let mut kinds = Vec::new();
        for name in text.split(',') {
            let kind = ResetKind::parse(name.trim())?;
            ensure!(!kinds.contains(&kind), "'{}' appears twice", kind.name());
            kinds.push(kind);
        }
        Ok(Self(kinds))
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|kind| kind.name()).collect();
        f.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_make_a_mix_in_their_order() -> Result<()> {
        let mix: Mix = "linger0, closed-port".parse()?;
        assert_eq!(mix.kinds(), [ResetKind::Linger0, ResetKind::ClosedPort]);
        assert_eq!(mix.to_string(), "linger0, closed-port");
        assert_eq!("closed-port".parse::<Mix>()?, Mix::closed_port());
        assert_eq!("all".parse::<Mix>()?.kinds(), ResetKind::ALL);
        assert_eq!(Mix::all().to_string().parse::<Mix>()?, Mix::all());
        Ok(())
    }

    #[test]
    fn a_wrong_mix_says_why() {
        let error = |text: &str| text.parse::<Mix>().expect_err("a wrong mix").to_string();
        assert!(error("keepalive").contains("timer"));
        assert!(error("linger0,linger0").contains("twice"));
        assert!(error("").starts_with("invalid kind of reset ''"));
        assert!(error("closed-port,nothing").contains("time-wait"));
        assert!(error("linger0,all").starts_with("invalid kind of reset 'all'"));
    }
}
