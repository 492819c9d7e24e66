//! Ctrl-C. Without a handler the process would leave behind what did not fit into memory, and
//! half a file of COPY.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::process;
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio::signal::ctrl_c;

use crate::error::{Error, INTERRUPTED};
use crate::output::stderr::tell;

/// How long a cancelled query may take to let go of its files.
const GRACE: Duration = Duration::from_secs(1);

/// Does the work until it is done or somebody presses Ctrl-C. Dropping a query cancels it.
pub(crate) async fn cancellable<T>(
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        pressed = ctrl_c() => match pressed {
            Ok(()) => Err(Error::Interrupted),
            Err(source) => Err(Error::Runtime(source)),
        },
        done = work => done,
    }
}

/// Ends the process after Ctrl-C even where its main thread cannot: it may wait for somebody to
/// read what it has printed.
pub(crate) fn watch(runtime: &Runtime, leftovers: impl Fn() -> Vec<PathBuf> + Send + 'static) {
    runtime.spawn(async move {
        if ctrl_c().await.is_ok() {
            tokio::time::sleep(2 * GRACE).await;
            remove(&leftovers());
            process::exit(INTERRUPTED.into());
        }
    });
}

/// Waits until the tasks of a query that was dropped are gone, because they close their files
/// then. `before` is how many tasks there were without it.
pub(crate) async fn settle(before: usize) {
    let until = tokio::time::Instant::now() + GRACE;
    while tokio::time::Instant::now() < until {
        // One more time after the last of them: files are removed in the background.
        let settled = Handle::current().metrics().num_alive_tasks() <= before;
        tokio::time::sleep(Duration::from_millis(20)).await;
        if settled {
            return;
        }
    }
}

/// Removes the folders in which this process kept what did not fit into memory.
pub(crate) fn remove(folders: &[PathBuf]) {
    for folder in folders {
        let mut tries = 3;
        while let Err(error) = std::fs::remove_dir_all(folder) {
            if error.kind() == io::ErrorKind::NotFound {
                break;
            }
            // A task that is not gone yet may have put a file there meanwhile.
            tries -= 1;
            if tries == 0 {
                tell(&format!("cannot remove {}: {error}", folder.display()));
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
