//! Asks the container runtimes about a container: name, image, pod.
//!
//! ```text
//! ask -> queue (bounded, the oldest gives way) -> files     at once, even while the API blocks
//!                                              -> docker, podman, cri, containerd   with time-outs
//!                                              -> answers (bounded)
//! ```
//!
//! One thread with a single-threaded runtime does all requests: a runtime that hangs delays no
//! other runtime, and neither a container nor a reset ever waits.

mod containerd;
mod cri;
mod dispatch;
mod docker;
mod endpoint;
mod failure;
mod files;
mod grpc;
mod health;
mod http;
mod podman;

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tcprst_schema::container::{Details, Runtime};
use tokio::sync::{Notify, Semaphore};
use tokio::task::LocalSet;
use tokio::time;

use crate::error::{Error, Result};
use crate::stderr::say;
use crate::wake::Waker;
pub(crate) use endpoint::{Endpoint, ResolverOptions};
use files::StateFolder;
use health::Client;

/// Maximum number of waiting questions; beyond it the oldest is dropped. A host that starts more
/// containers than this in two seconds has bigger problems than names.
const MAX_WAITING: usize = 4096;
/// Maximum number of concurrent questions; each may wait for its runtime's turn.
const MAX_IN_FLIGHT: usize = 64;
/// Interval at which the default sockets are checked, for runtimes that start later.
const RESCAN_INTERVAL: Duration = Duration::from_secs(5);

/// The cgroup exists before its runtime knows the container: containerd reports a pod's sandbox
/// only when it runs.
const RETRY_DELAYS: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1500)];

/// A container of which only the cgroup's path is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// The runtime, if the path names it; otherwise every runtime of this host is asked.
    pub(crate) runtime: Option<Runtime>,
    /// Full id of the container.
    pub(crate) id: String,
}

/// Result of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Sent twice if the runtime's files already know the container: the second one is final.
    Found { id: String, details: Details, is_final: bool },
    /// No runtime of this host knows the container, or knows it any longer.
    Unknown { id: String },
}

/// Where the answers go.
#[derive(Clone, Debug)]
struct AnswerSender {
    sender: SyncSender<Answer>,
    waker: Waker,
}

/// The running resolver.
#[derive(Debug)]
pub(crate) struct Resolver {
    queue: Arc<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<VecDeque<Query>>,
    more: Notify,
    is_over: AtomicBool,
}

impl Queue {
    fn push(&self, query: Query) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == MAX_WAITING {
            waiting.pop_front();
        }
        waiting.push_back(query);
        drop(waiting);
        self.more.notify_one();
    }

    fn pop(&self) -> Option<Query> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl Resolver {
    /// Starts the thread. It also sends answers for containers that already exist, without a query.
    /// `waker` wakes the receiver of the answers.
    pub(crate) fn start(
        options: ResolverOptions,
        waker: Waker,
    ) -> Result<(Self, Receiver<Answer>)> {
        let (sender, receiver) = sync_channel(MAX_WAITING);
        let answers = AnswerSender { sender, waker };
        let queue = Arc::new(Queue::default());
        thread::Builder::new()
            .name("resolver".to_owned())
            .spawn({
                let queue = Arc::clone(&queue);
                move || run(&queue, &options, &answers)
            })
            .map_err(|source| Error::System("start the resolver thread", source))?;
        Ok((Self { queue }, receiver))
    }

    /// Queues a question about a container; never waits.
    pub(crate) fn ask(&self, query: Query) {
        self.queue.push(query);
    }
}

impl Drop for Resolver {
    /// The thread ends by itself, whatever a runtime does, because nothing in it blocks.
    fn drop(&mut self) {
        self.queue.is_over.store(true, Ordering::Release);
        self.queue.more.notify_one();
    }
}

fn run(queue: &Arc<Queue>, options: &ResolverOptions, answers: &AnswerSender) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say!("containers have no names: cannot start the resolver: {error}");
            return;
        }
    };
    let local = LocalSet::new();
    runtime.block_on(local.run_until(serve(queue, options, answers)));
    // Pending requests are dropped with the runtime.
}

async fn serve(queue: &Arc<Queue>, options: &ResolverOptions, answers: &AnswerSender) {
    let mut clients: Vec<Rc<Client>> = Vec::new();
    let turns = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
    let mut look = time::interval(RESCAN_INTERVAL);
    while !queue.is_over.load(Ordering::Acquire) {
        tokio::select! {
            _ = look.tick() => {
                for endpoint in endpoint::present(options) {
                    if !clients.iter().any(|client| client.endpoint == endpoint) {
                        let client = Rc::new(Client::new(endpoint));
                        clients.push(Rc::clone(&client));
                    }
                }
                for client in &clients {
                    tokio::task::spawn_local(list(Rc::clone(client), Arc::clone(queue)));
                }
            }
            () = queue.more.notified() => {
                while let Ok(turn) = Arc::clone(&turns).try_acquire_owned()
                    && let Some(query) = queue.pop()
                {
                    let (asked, answers) = (clients.clone(), answers.clone());
                    let queue = Arc::clone(queue);
                    tokio::task::spawn_local(async move {
                        answer(query, &asked, &answers).await;
                        drop(turn);
                        // Wake up for the next waiting query.
                        queue.more.notify_one();
                    });
                }
            }
        }
    }
}

/// Lists the containers of a runtime that is new, or well again, and queues a query for each.
async fn list(client: Rc<Client>, queue: Arc<Queue>) {
    if let Some(ids) = client.list().await {
        let runtime = Some(client.endpoint.runtime);
        ids.into_iter().for_each(|id| queue.push(Query { runtime, id }));
    }
}

async fn answer(query: Query, clients: &[Rc<Client>], answers: &AnswerSender) {
    let Query { runtime, id } = query;
    let mut early = None;
    // A Kubernetes path may belong to any runtime except Podman.
    let may_be = |client: &&Rc<Client>| runtime.is_none_or(|one| one == client.endpoint.runtime);
    let asked: Vec<&Rc<Client>> = clients.iter().filter(may_be).collect();
    for folder in asked.iter().filter_map(|client| client.state()).chain(usual_state(runtime)) {
        early = early.or_else(|| files::look(&folder, &id));
    }
    if let Some(details) = early.clone() {
        send(answers, Answer::Found { id: id.clone(), details, is_final: false }).await;
    }
    let mut said = ask_all(&asked, &id, early.as_ref()).await;
    for wait in RETRY_DELAYS {
        if said.is_none() && !asked.is_empty() {
            time::sleep(wait).await;
            said = ask_all(&asked, &id, early.as_ref()).await;
        }
    }
    if let Some(answer) = last_word(id, said, early, !asked.is_empty()) {
        send(answers, answer).await;
    }
}

/// The answer that stays, if there is one yet. `is_asked`: a runtime that may have the container
/// runs.
fn last_word(
    id: String,
    said: Option<Details>,
    early: Option<Details>,
    is_asked: bool,
) -> Option<Answer> {
    let details = match (said, early) {
        (Some(said), Some(early)) => said.or(&early),
        (Some(details), None) => details,
        // Nothing knows better than the files of a runtime that does not run. One that runs and
        // has no answer now, as Podman while it makes a pod, has one when it is listed again.
        (None, Some(details)) if !is_asked => details,
        (None, Some(_)) => return None,
        (None, None) => return Some(Answer::Unknown { id }),
    };
    Some(Answer::Found { id, details, is_final: true })
}

async fn ask_all(clients: &[&Rc<Client>], id: &str, early: Option<&Details>) -> Option<Details> {
    for client in clients {
        if let Some(details) = client.ask(id, early).await {
            return Some(details);
        }
    }
    None
}

/// Default state folders, for runtimes that do not run, as Podman mostly does not.
fn usual_state(runtime: Option<Runtime>) -> Vec<StateFolder> {
    let usual = [
        (Runtime::Docker, "/var/lib/docker"),
        (Runtime::Podman, "/var/lib/containers/storage"),
        (Runtime::Crio, "/var/lib/containers/storage"),
        (Runtime::Containerd, "/run/containerd"),
        (Runtime::Containerd, "/run/k3s/containerd"),
    ];
    usual
        .into_iter()
        .filter(|(one, _)| runtime.is_none_or(|wanted| wanted == *one))
        .map(|(runtime, folder)| StateFolder { runtime, folder: folder.into() })
        .collect()
}

/// The reader is woken for each answer: a full channel means a short wait, or the end.
async fn send(answers: &AnswerSender, mut answer: Answer) {
    const SEND_RETRY: Duration = Duration::from_millis(10);
    for _ in 0..100 {
        match answers.sender.try_send(answer) {
            Err(TrySendError::Full(back)) => answer = back,
            Ok(()) => return answers.waker.wake(),
            Err(TrySendError::Disconnected(_)) => return,
        }
        time::sleep(SEND_RETRY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_the_last_word_only_where_no_runtime_runs() {
        let named = |name: &str| Details { name: Some(name.into()), ..Details::default() };
        let name = |said: Option<&str>, early: Option<&str>, is_asked| {
            let answer = last_word("a".into(), said.map(named), early.map(named), is_asked);
            answer.map(|answer| match answer {
                Answer::Found { details, is_final: true, .. } => details.name,
                Answer::Found { .. } => panic!("not final"),
                Answer::Unknown { .. } => None,
            })
        };
        assert_eq!(name(Some("api"), Some("file"), true), Some(Some("api".into())));
        assert_eq!(name(Some("api"), None, true), Some(Some("api".into())));
        assert_eq!(name(None, Some("file"), false), Some(Some("file".into())));
        assert_eq!(name(None, Some("file"), true), None, "the runtime may answer later");
        assert_eq!(name(None, None, true), Some(None));
    }
}
