//! The program in the containers of the tests: it runs a few steps with one connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use socket2::{SockRef, TcpKeepalive};

use crate::deadline::Deadline;

/// How long the other side may take to listen.
const CONNECT_LIMIT: Duration = Duration::from_secs(60);

/// Runs the steps, one after another.
///
/// `listen PORT`, `accept`, `connect ADDRESS`, `refused ADDRESS`, `read` (until the end or a
/// reset), `write`, `linger0`, `keepalive`, `shutdown`, `close`, `sleep MS`, `pause` (for good).
pub fn run_actor(steps: Vec<String>) -> Result<()> {
    let mut steps = steps.into_iter();
    let mut listener = None;
    let mut stream: Option<TcpStream> = None;
    while let Some(step) = steps.next() {
        let mut argument =
            || steps.next().with_context(|| format!("the step {step} needs an argument"));
        let connection = || stream.as_ref().context("no connection");
        match step.as_str() {
            "listen" => {
                let port: u16 = argument()?.parse()?;
                listener = Some(TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?);
            }
            "accept" => stream = Some(listener.as_ref().context("no listener")?.accept()?.0),
            "connect" => stream = Some(connect(argument()?.parse()?)?),
            "refused" => {
                let refused = TcpStream::connect(argument()?);
                let is_refused =
                    refused.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
                ensure!(is_refused, "not refused");
            }
            "read" => {
                // A reset ends it as well.
                let _ = connection()?.read(&mut [0; 64]);
            }
            "write" => connection()?.write_all(b"x")?,
            "linger0" => SockRef::from(connection()?).set_linger(Some(Duration::ZERO))?,
            "keepalive" => {
                let second = Duration::from_secs(1);
                let keepalive =
                    TcpKeepalive::new().with_time(second).with_interval(second).with_retries(1);
                SockRef::from(connection()?).set_tcp_keepalive(&keepalive)?;
            }
            "shutdown" => connection()?.shutdown(Shutdown::Write)?,
            "close" => stream = None,
            "sleep" => thread::sleep(Duration::from_millis(argument()?.parse()?)),
            // SIGTERM does not end process 1: the runtime kills it.
            "pause" => loop {
                thread::park();
            },
            other => bail!("unknown step {other:?}"),
        }
    }
    Ok(())
}

fn connect(to: SocketAddr) -> Result<TcpStream> {
    Deadline::after(CONNECT_LIMIT).until_some("a listener", || Ok(TcpStream::connect(to).ok()))
}
