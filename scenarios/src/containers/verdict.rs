//! The verdict on resets in real containers.

use serde::{Deserialize, Serialize};

use super::brief::Briefs;
use crate::runtimes::RuntimeKind;

/// The result of the scenes in all runtimes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ContainersVerdict {
    /// Rows that were right, one line each.
    pub right: Vec<String>,
    /// Resets that cannot be recorded on this kernel, with the reason that the recorder gives.
    pub unhooked: Vec<String>,
    /// Faults, one line each.
    pub faults: Vec<String>,
    /// Containers that lived for an instant, by runtime.
    pub briefs: Vec<(RuntimeKind, Briefs)>,
}

impl ContainersVerdict {
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.right.iter().map(|line| format!("ok       {line}")).collect();
        lines.extend(self.briefs.iter().map(|(kind, briefs)| {
            let Briefs { count, owned, named } = briefs;
            format!("brief    {}: {count} containers, {owned} known, {named} named", kind.name())
        }));
        lines.extend(self.unhooked.iter().map(|line| format!("NOT SEEN {line}")));
        lines.extend(self.faults.iter().map(|line| format!("WRONG    {line}")));
        lines
    }
}
