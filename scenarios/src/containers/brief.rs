//! Containers that are gone before anybody asks.

use serde::{Deserialize, Serialize};

/// How many there were, of how many the recorder knew id and runtime, and of how many the name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Briefs {
    pub count: u32,
    pub owned: u32,
    pub named: u32,
}

impl Briefs {
    /// Id and runtime always, the name in at least 99 of 100.
    pub fn fault(self) -> Option<String> {
        let Self { count, owned, named } = self;
        if owned < count {
            Some(format!("{} of {count} brief containers have no id or runtime", count - owned))
        } else if u64::from(named) * 100 < u64::from(count) * 99 {
            Some(format!("only {named} of {count} brief containers have their name"))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_owed_for_99_of_100() {
        assert_eq!(Briefs { count: 100, owned: 100, named: 99 }.fault(), None);
        assert!(Briefs { count: 100, owned: 100, named: 98 }.fault().is_some());
        assert!(Briefs { count: 20, owned: 19, named: 20 }.fault().is_some());
    }
}
