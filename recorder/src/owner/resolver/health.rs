//! Client of one runtime, which tracks its health and backs off after a failure.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tcprst_schema::container::Details;
use tokio::sync::Semaphore;
use tokio::time::{self, Instant};

use super::dispatch;
use super::endpoint::Endpoint;
use super::failure::{Failure, REQUEST_TIMEOUT};
use super::files::StateFolder;
use crate::stderr::say;

/// A runtime that hangs or answers nonsense is not asked again for this time.
const BACK_OFF: Duration = Duration::from_secs(5);
/// Maximum number of concurrent requests to one runtime.
const MAX_IN_FLIGHT: usize = 8;

/// A runtime and its known state.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) endpoint: Endpoint,
    at_once: Semaphore,
    /// No requests are sent until this time.
    rest: Cell<Option<Instant>>,
    /// Whether the last message about it was a warning.
    is_bad: Cell<bool>,
    /// Whether its containers were listed since it last became well.
    is_listed: Cell<bool>,
    state: RefCell<Option<StateFolder>>,
}

impl Client {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            at_once: Semaphore::new(MAX_IN_FLIGHT),
            rest: Cell::new(None),
            is_bad: Cell::new(false),
            is_listed: Cell::new(false),
            state: RefCell::new(None),
        }
    }

    /// Its state folder, once the runtime has reported it.
    pub(super) fn state(&self) -> Option<StateFolder> {
        self.state.borrow().clone()
    }

    /// Details of a container; `None` if the runtime does not know it, or is not well.
    pub(super) async fn ask(&self, id: &str, early: Option<&Details>) -> Option<Details> {
        let runtime = Some(self.endpoint.runtime);
        let details = self.request(dispatch::inspect(&self.endpoint, id, early)).await?;
        details.map(|details| Details { runtime: details.runtime.or(runtime), ..details })
    }

    /// Ids of its containers, unless they were already listed since it became well.
    pub(super) async fn list(&self) -> Option<Vec<String>> {
        if self.is_listed.replace(true) {
            return None;
        }
        let found = self.request(async {
            let folder = dispatch::state_folder(&self.endpoint).await?;
            Ok((folder, dispatch::list(&self.endpoint).await?))
        });
        let Some((folder, ids)) = found.await else {
            self.is_listed.set(false);
            return None;
        };
        let runtime = self.endpoint.runtime;
        *self.state.borrow_mut() = folder.map(|folder| StateFolder { runtime, folder });
        Some(ids)
    }

    async fn request<T>(&self, request: impl Future<Output = Result<T, Failure>>) -> Option<T> {
        let is_resting = || self.rest.get().is_some_and(|until| Instant::now() < until);
        if is_resting() {
            return None;
        }
        let _turn = self.at_once.acquire().await.ok()?;
        // Another request may have failed while this one waited.
        if is_resting() {
            return None;
        }
        match time::timeout(REQUEST_TIMEOUT, request).await.unwrap_or(Err(Failure::TimeOut)) {
            Ok(answer) => {
                self.is_well();
                Some(answer)
            }
            Err(failure) => {
                self.fails(&failure);
                None
            }
        }
    }

    fn is_well(&self) {
        self.rest.set(None);
        if self.is_bad.replace(false) {
            say!("{}: answers again", self.name());
        }
    }

    /// Prints one warning, however many requests fail.
    fn fails(&self, failure: &Failure) {
        self.rest.set(Some(Instant::now() + BACK_OFF));
        // Containers that start during the failure are listed when the runtime is well again.
        self.is_listed.set(false);
        if !self.is_bad.replace(true) {
            say!(
                "{}: {failure}: its containers have ids but no names until it answers",
                self.name()
            );
        }
    }

    fn name(&self) -> String {
        format!("{} at {}", self.endpoint.runtime.name(), self.endpoint.path.display())
    }
}
