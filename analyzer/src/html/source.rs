//! What the page's queries have in common: the session, the window and the columns they group by.

use arrow::array::RecordBatch;

use super::batches;
use crate::error::Error;
use crate::query::session::Session;
use crate::window::Window;

/// The service's port.
const PORT: &str = "port";

/// What every table of the page is filtered by, `port` aside.
const KEYS: &str = "cause, container_name, k8s_pod, host";

/// Where the page's numbers come from.
#[expect(missing_debug_implementations, reason = "DataFusion's context has none")]
pub struct Source<'a> {
    session: &'a Session,
    pub(super) window: Window,
    /// Whether some resets are ones that this host got: then the sender is the peer.
    has_received: bool,
}

impl<'a> Source<'a> {
    pub async fn new(session: &'a Session, window: Window) -> Result<Self, Error> {
        let mut source = Self { session, window, has_received: false };
        // Statistics answer this where there are none, and then the other column needs no reading.
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

    /// What is asked of that address (`is not null`). Of the columns and not of the choice: that
    /// would first make a column of all chosen addresses.
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

    /// `where` of the window, or nothing.
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

/// A query that counts by `first` and the keys, of what `rest` leaves.
pub(super) fn count_by(first: &str, name: &str, rest: &str) -> String {
    format!(
        "select {first} as {name}, {KEYS}, {PORT} as port, count(*) as n from resets{rest} \
         group by {first}, {KEYS}, {PORT}"
    )
}
