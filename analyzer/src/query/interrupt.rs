//! Handles Ctrl-C. Without a handler the process would leave behind its spill files and the partial
//! output file of a COPY.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::process;
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio::signal::ctrl_c;

use crate::error::{Error, INTERRUPTED};
use crate::output::stderr::tell;

/// How long a cancelled query may take to close its files.
const CANCEL_GRACE: Duration = Duration::from_secs(1);

/// Runs the work until it is done or Ctrl-C is pressed. Dropping a query cancels it.
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

/// Ends the process after Ctrl-C even if its main thread is blocked, for example on a pipe without
/// a reader.
pub(crate) fn watch(runtime: &Runtime, leftovers: impl Fn() -> Vec<PathBuf> + Send + 'static) {
    runtime.spawn(async move {
        if ctrl_c().await.is_ok() {
            tokio::time::sleep(2 * CANCEL_GRACE).await;
            remove(&leftovers());
            process::exit(INTERRUPTED.into());
        }
    });
}

/// Waits until the tasks of a dropped query have ended and closed their files. `before` is the
/// number of tasks before the query.
pub(crate) async fn settle(before: usize) {
    let until = tokio::time::Instant::now() + CANCEL_GRACE;
    while tokio::time::Instant::now() < until {
        // Sleep once more after the last task: files are removed in the background.
        let settled = Handle::current().metrics().num_alive_tasks() <= before;
        tokio::time::sleep(Duration::from_millis(20)).await;
        if settled {
            return;
        }
    }
}

/// Removes the spill folders of this process.
pub(crate) fn remove(folders: &[PathBuf]) {
    for folder in folders {
        let mut tries = 3;
        while let Err(error) = std::fs::remove_dir_all(folder) {
            if error.kind() == io::ErrorKind::NotFound {
                break;
            }
            // A remaining task may have created a file in between.
            tries -= 1;
            if tries == 0 {
                tell(&format!("cannot remove {}: {error}", folder.display()));
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
