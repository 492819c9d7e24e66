//! Common parts of the page's queries: the session, the window and the grouping columns.

use arrow::array::RecordBatch;

use super::batches;
use crate::error::Error;
use crate::query::session::Session;
use crate::window::Window;

/// The column of the service's port.
const PORT: &str = "port";

/// The columns that filter every table of the page, except `port`.
const KEYS: &str = "cause, container_name, k8s_pod, host";

/// The source of the page's numbers.
pub(crate) struct Source<'a> {
    session: &'a Session,
    pub(super) window: Window,
    /// Whether some resets were received by this host: then the sender is the peer.
    has_received: bool,
}

impl<'a> Source<'a> {
    pub(crate) async fn new(session: &'a Session, window: Window) -> Result<Self, Error> {
        let mut source = Self { session, window, has_received: false };
        // If there are none, statistics answer this, and the other column is not read.
        let mut conditions = source.conditions();
        conditions.push("direction = 'received'".to_owned());
        let sql = format!("select count(*) as n from resets{}", all_of(&conditions));
        let received = batches::single(&source.collect(&sql).await?, "n")?;
        source.has_received = received.is_some_and(|n| n > 0);
        Ok(source)
    }

    /// The address at the other end, as SQL.
    pub(super) fn peer(&self) -> String {
        self.of_peer("")
    }

    /// A condition on that address (`is not null`). It tests the columns and not the choice, which
    /// would first build a column of all chosen addresses.
    pub(super) fn of_peer(&self, what: &str) -> String {
        match self.has_received {
            true => format!(
                "case when direction = 'received' then src_addr{what} else dst_addr{what} end"
            ),
            false => format!("dst_addr{what}"),
        }
    }

    pub(super) async fn collect(&self, sql: &str) -> Result<Vec<RecordBatch>, Error> {
        self.session.collect(sql).await
    }

    pub(super) fn conditions(&self) -> Vec<String> {
        self.window.on("time")
    }

    /// The `where` clause of the window; empty for the whole recording.
    pub(super) fn within(&self) -> String {
        all_of(&self.conditions())
    }
}

/// A `where` clause, empty without conditions.
pub(super) fn all_of(conditions: &[String]) -> String {
    if conditions.is_empty() {
        String::new()
    } else {
        format!(" where {}", conditions.join(" and "))
    }
}

/// A query that counts by `first` and the keys; `rest` is its `where` clause.
pub(super) fn count_by(first: &str, name: &str, rest: &str) -> String {
    format!(
        "select {first} as {name}, {KEYS}, {PORT} as port, count(*) as n from resets{rest} \
         group by {first}, {KEYS}, {PORT}"
    )
}
