//! The progress of a long query: one line on the terminal, erased before the result.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::common::stats::Precision;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use tokio::time::{Interval, MissedTickBehavior, interval_at};

use super::numbers::thousands;

/// Delay before the line is first shown; in a shorter query it would only flicker.
const FIRST_DELAY: Duration = Duration::from_millis(500);
const REDRAW_INTERVAL: Duration = Duration::from_millis(200);

/// The progress line of one query. Dropping it erases the line, however the query ends.
pub(crate) struct Progress {
    query: Option<QueryProgress>,
    is_shown: bool,
}

struct QueryProgress {
    plan: Arc<dyn ExecutionPlan>,
    total: Option<usize>,
    started: Instant,
    ticks: Interval,
}

impl Progress {
    /// A progress that shows no line.
    pub(crate) fn off() -> Self {
        Self { query: None, is_shown: false }
    }

    /// Shows a line if stderr is a terminal. Must be called in the runtime.
    pub(crate) fn new(plan: &Arc<dyn ExecutionPlan>) -> Self {
        if !io::stderr().is_terminal() {
            return Self::off();
        }
        let mut ticks = interval_at(tokio::time::Instant::now() + FIRST_DELAY, REDRAW_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (plan, total) = (Arc::clone(plan), rows_in(plan.as_ref()));
        Self {
            query: Some(QueryProgress { plan, total, started: Instant::now(), ticks }),
            is_shown: false,
        }
    }

    /// Waits until the line is due to be shown again.
    pub(crate) async fn due(&mut self) {
        match &mut self.query {
            Some(query) => {
                query.ticks.tick().await;
            }
            None => std::future::pending().await,
        }
    }

    pub(crate) fn show(&mut self) {
        if let Some(query) = &self.query {
            let read = thousands(rows_read(query.plan.as_ref()));
            let seconds = query.started.elapsed().as_secs_f64();
            let line = match query.total {
                Some(total) => format!("{read} of {} rows read, {seconds:.1} s", thousands(total)),
                None => format!("{read} rows read, {seconds:.1} s"),
            };
            // A closed stderr cannot be reported.
            let _ = write!(io::stderr(), "\r\x1b[K{line}");
            self.is_shown = true;
        }
    }

    /// Erases the line before rows are printed. It is not shown again if stdout is a terminal.
    pub(crate) fn give_way(&mut self) {
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

/// Rows that the scans of a plan have produced so far.
fn rows_read(plan: &dyn ExecutionPlan) -> usize {
    let children = plan.children();
    if children.is_empty() {
        return plan.metrics().and_then(|metrics| metrics.output_rows()).unwrap_or(0);
    }
    children.iter().map(|child| rows_read(child.as_ref())).sum()
}

/// Rows that the scans will produce, if statistics are exact. With a filter they are an estimate,
/// and a query that exceeds its estimate looks faulty.
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
