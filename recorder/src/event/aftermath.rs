//! What follows from a reset: segments that were on their way when this host reset their connection
//! are answered by resets too. Their cause is that of the first one.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tcprst_schema::row::{Own, Row};

use crate::hash::{Map, map};

/// Resets that others may follow from. The kernel half remembers fewer flows, at the defaults.
const MAX_FIRST: usize = 64 * 1024;
/// Profiles with the cause of another reset.
const MAX_PROFILES: usize = 16 * 1024;

/// Cause and blame.
type Verdict = (&'static str, Option<&'static str>);

/// Resets of connections, by CPU and number.
#[derive(Debug)]
pub(crate) struct Aftermath {
    first: Map<(u32, u64), Verdict>,
    oldest: VecDeque<(u32, u64)>,
    /// By the address of a profile, which is in the value and so stays what it is.
    profiles: HashMap<(usize, Verdict), (Arc<Row>, Arc<Row>)>,
}

impl Aftermath {
    pub(crate) fn new() -> Self {
        Self { first: map(), oldest: VecDeque::new(), profiles: HashMap::new() }
    }

    /// Remembers a reset, if segments of its connection may follow.
    pub(crate) fn remember(&mut self, profile: &Row, own: &Own) {
        let has_connection = profile.sk_state.is_some() || profile.past.is_some();
        if !has_connection || own.first.is_some() {
            return;
        }
        if self.oldest.len() >= MAX_FIRST
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.first.remove(&oldest);
        }
        let reset = (own.cpu, own.seq);
        self.first.insert(reset, (profile.cause, profile.blame));
        self.oldest.push_back(reset);
    }

    /// The profile with the cause of the reset that this one follows from, if that is known.
    pub(crate) fn follow(&mut self, profile: &Arc<Row>, own: &Own) -> Arc<Row> {
        let Some(verdict) = own.first.and_then(|first| self.first.get(&first)).copied() else {
            return Arc::clone(profile);
        };
        if self.profiles.len() >= MAX_PROFILES {
            self.profiles.clear();
        }
        let key = (Arc::as_ptr(profile).addr(), verdict);
        let (_, followed) = self.profiles.entry(key).or_insert_with(|| {
            let (cause, blame) = verdict;
            (Arc::clone(profile), Arc::new(Row { cause, blame, ..Row::clone(profile) }))
        });
        Arc::clone(followed)
    }
}
