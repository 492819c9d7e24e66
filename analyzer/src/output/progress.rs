//! How far a long query is: one line on the terminal, gone when the result comes.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::common::stats::Precision;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use tokio::time::{Interval, MissedTickBehavior, interval_at};

use super::numbers::thousands;

/// Before that, a line would only flicker.
const PATIENCE: Duration = Duration::from_millis(500);
const EVERY: Duration = Duration::from_millis(200);

/// The line of one query. Dropping it takes the line away, however the query ends.
#[expect(missing_debug_implementations, reason = "a plan is shown by EXPLAIN")]
pub struct Progress {
    query: Option<Query>,
    is_shown: bool,
}

struct Query {
    plan: Arc<dyn ExecutionPlan>,
    total: Option<usize>,
    started: Instant,
    ticks: Interval,
}

impl Progress {
    /// No line.
    pub fn off() -> Self {
        Self { query: None, is_shown: false }
    }

    /// A line where stderr is a terminal. To be called in the runtime.
    pub fn new(plan: &Arc<dyn ExecutionPlan>) -> Self {
        if !io::stderr().is_terminal() {
            return Self::off();
        }
        let mut ticks = interval_at(tokio::time::Instant::now() + PATIENCE, EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (plan, total) = (Arc::clone(plan), rows_in(plan.as_ref()));
        Self { query: Some(Query { plan, total, started: Instant::now(), ticks }), is_shown: false }
    }

    /// Waits until the line is to be shown anew.
    pub async fn due(&mut self) {
        match &mut self.query {
            Some(query) => {
                query.ticks.tick().await;
            }
            None => std::future::pending().await,
        }
    }

    pub fn show(&mut self) {
        if let Some(query) = &self.query {
            let read = thousands(rows_read(query.plan.as_ref()));
            let seconds = query.started.elapsed().as_secs_f64();
            let line = match query.total {
                Some(total) => format!("{read} of {} rows read, {seconds:.1} s", thousands(total)),
                None => format!("{read} rows read, {seconds:.1} s"),
            };
            // Nobody can be told that stderr is closed.
            let _ = write!(io::stderr(), "\r\x1b[K{line}");
            self.is_shown = true;
        }
    }

    /// Makes room for rows; where they go to the terminal too, they are the progress from now on.
    pub fn give_way(&mut self) {
        self.erase();
        if io::stdout().is_terminal() {
            self.query = None;
        }
    }

    fn erase(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.erase();
    }
}

/// Rows that the scans of a plan have given so far.
fn rows_read(plan: &dyn ExecutionPlan) -> usize {
    let children = plan.children();
    if children.is_empty() {
        return plan.metrics().and_then(|metrics| metrics.output_rows()).unwrap_or(0);
    }
    children.iter().map(|child| rows_read(child.as_ref())).sum()
}

/// Rows that they will give, where statistics know: a filter in a scan makes it a guess, and a
/// guess that is passed by looks like a fault.
fn rows_in(plan: &dyn ExecutionPlan) -> Option<usize> {
    let children = plan.children();
    if children.is_empty() {
        let all = StatisticsArgs::new();
        let statistics = StatisticsContext::new().compute(plan, &all).ok()?;
        return match statistics.num_rows {
            Precision::Exact(rows) => Some(rows),
            _ => None,
        };
    }
    children.iter().map(|child| rows_in(child.as_ref())).sum()
}
