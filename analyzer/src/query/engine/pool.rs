//! Divides the memory among the operators of a query.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytesize::ByteSize;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

/// Operators that can spill share a third of the memory evenly. The merge after a spill cannot
/// spill and needs about as much memory as the sort: in DataFusion's own pools, a sort that has
/// filled the memory fails at that point.
#[derive(Debug)]
pub(super) struct Pool {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    spillers: usize,
    spillable: usize,
    unspillable: usize,
}

impl Pool {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    /// Ignores poisoning, because no change of the state can panic halfway.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn used_by(&mut self, consumer: &MemoryConsumer) -> &mut usize {
        if consumer.can_spill() { &mut self.spillable } else { &mut self.unspillable }
    }
}

impl MemoryPool for Pool {
    fn name(&self) -> &str {
        "third"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.state().spillers += usize::from(consumer.can_spill());
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.state().spillers -= usize::from(consumer.can_spill());
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        *self.state().used_by(reservation.consumer()) += additional;
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        *self.state().used_by(reservation.consumer()) -= shrink;
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut state = self.state();
        let consumer = reservation.consumer();
        let used = state.unspillable + state.spillable;
        let available = if consumer.can_spill() {
            let share = (self.limit / 3) / state.spillers.max(1);
            share.saturating_sub(reservation.size()).min(self.limit.saturating_sub(used))
        } else {
            self.limit.saturating_sub(used)
        };
        if additional > available {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "limit {}, {} used, {} more needed, {} available",
                bytes(self.limit),
                bytes(used),
                bytes(additional),
                bytes(available),
            )));
        }
        *state.used_by(consumer) += additional;
        Ok(())
    }

    fn reserved(&self) -> usize {
        let state = self.state();
        state.spillable + state.unspillable
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bytes(self.limit).fmt(f)
    }
}

fn bytes(count: usize) -> ByteSize {
    ByteSize::b(count as u64)
}
