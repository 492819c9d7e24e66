//! Segments that come for a connection when this host has no socket for it any more. The peer is a
//! [`Ghost`], so that each of its segments is the scenario's own choice.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use socket2::SockRef;

use crate::cause::handshake::{client_at, connect_in_vain};
use crate::scene::{Caused, Scene};
use crate::stage::ghost::{FIRST, Ghost};
use crate::stage::packet::{Heard, TcpSegment, flags};
use crate::stage::pair::{await_backlog, close_silently, connect, listen, listen_with};
use crate::stage::proc_net;
use crate::stage::sysctl::Sysctl;
use crate::task::Actor;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An accepted connection of a ghost.
pub(crate) struct GhostPair {
    pub(crate) ghost: Ghost,
    pub(crate) at: SocketAddr,
    server: Option<TcpStream>,
    /// What the ghost acknowledges.
    ack: u32,
}

impl GhostPair {
    pub(crate) fn open(scene: &Scene) -> Result<Self> {
        Self::of(scene, &listen(scene, V4)?)
    }

    fn of(scene: &Scene, listener: &TcpListener) -> Result<Self> {
        let at = listener.local_addr()?;
        let mut ghost = Ghost::new(V4)?;
        let answer = ghost.knock(scene, at)?;
        let ack = answer.seq.wrapping_add(1);
        ghost.send(&TcpSegment { seq: FIRST + 1, ack, ..ghost.segment(at, flags::ACK) })?;
        await_backlog(scene, listener)?;
        let (server, _) = listener.accept().context("accept")?;
        Ok(Self { ghost, at, server: Some(server), ack })
    }

    /// The server closes, and the ghost acknowledges its FIN.
    pub(crate) fn close(&mut self, scene: &Scene) -> Result<()> {
        drop(self.server.take());
        let fin = self.ghost.hear(scene, self.at, flags::FIN).context("the FIN")?;
        self.ack = fin.seq.wrapping_add(1);
        self.ghost.send(&self.segment(flags::ACK))?;
        // Its socket is gone when the smaller one is there.
        scene.deadline.until("FIN_WAIT2", || {
            let state = proc_net::state_of(self.at, self.ghost.addr())?;
            Ok(state == Some(proc_net::State::FIN_WAIT2) || state.is_none())
        })
    }

    /// The ghost's next segment.
    fn segment<'b>(&self, flags: u8) -> TcpSegment<'b> {
        TcpSegment { seq: FIRST + 1, ack: self.ack, ..self.ghost.segment(self.at, flags) }
    }

    /// The ghost sends data, and is reset.
    fn speak(&mut self, scene: &Scene) -> Result<Caused> {
        let data = TcpSegment { data: b"x", ..self.segment(flags::PSH | flags::ACK) };
        self.ghost.provoke(scene, &data)?;
        Ok(scene.caused(self.at, self.ghost.addr()))
    }
}

/// Waits until this host has no socket for the connection.
fn await_end(scene: &Scene, pair: &GhostPair) -> Result<()> {
    scene.deadline.until("the end of the connection", || {
        Ok(proc_net::state_of(pair.at, pair.ghost.addr())?.is_none())
    })
}

/// The server's data is never acknowledged, and its TCP_USER_TIMEOUT is over.
pub(crate) fn gave_up(scene: &Scene) -> Result<Caused> {
    let mut pair = GhostPair::open(scene)?;
    let server = pair.server.as_ref().context("it is open")?;
    let timeout = Some(Duration::from_millis(500));
    SockRef::from(server).set_tcp_user_timeout(timeout).context("set TCP_USER_TIMEOUT")?;
    std::io::Write::write_all(&mut &*server, b"lost").context("send")?;
    await_end(scene, &pair)?;
    pair.speak(scene)
}

/// The server has closed, its FIN is never acknowledged, and its retries are over.
pub(crate) fn gave_up_orphan(scene: &Scene) -> Result<Caused> {
    let _retries = Sysctl::set("ipv4/tcp_orphan_retries", "1")?;
    let mut pair = GhostPair::open(scene)?;
    drop(pair.server.take());
    await_end(scene, &pair)?;
    pair.speak(scene)
}

/// The server has closed, and the ghost closes when nobody waits for that any more.
pub(crate) fn fin_wait2_over(scene: &Scene) -> Result<Caused> {
    let _timeout = Sysctl::set("ipv4/tcp_fin_timeout", "1")?;
    let mut pair = GhostPair::open(scene)?;
    pair.close(scene)?;
    await_end(scene, &pair)?;
    pair.ghost.provoke(scene, &pair.segment(flags::FIN | flags::ACK))?;
    Ok(scene.caused(pair.at, pair.ghost.addr()))
}

/// A connect() is given up before the ghost answers.
pub(crate) fn connect_abandoned(scene: &Scene) -> Result<Caused> {
    let mut ghost = Ghost::new(V4)?;
    let (client, here) = client_at(scene)?;
    connect_in_vain(&client, ghost.addr())?;
    let syn = ghost.hear(scene, here, flags::SYN).context("the SYN")?;
    drop(client);
    let answer = TcpSegment {
        seq: FIRST,
        ack: syn.seq.wrapping_add(1),
        ..ghost.segment(here, flags::SYN | flags::ACK)
    };
    ghost.provoke(scene, &answer)?;
    Ok(scene.caused(here, ghost.addr()))
}

fn last_ack<'b>(ghost: &Ghost, at: SocketAddr, answer: &Heard) -> TcpSegment<'b> {
    let ack = answer.seq.wrapping_add(1);
    TcpSegment { seq: FIRST + 1, ack, ..ghost.segment(at, flags::ACK) }
}

/// The listener is closed between its SYN-ACK and the last ACK, as in a roll-out.
pub(crate) fn listener_closed_midway(scene: &Scene) -> Result<Caused> {
    let listener = listen(scene, V4)?;
    let at = listener.local_addr()?;
    let mut ghost = Ghost::new(V4)?;
    let answer = ghost.knock(scene, at)?;
    drop(listener);
    let last = last_ack(&ghost, at, &answer);
    ghost.provoke(scene, &last)?;
    Ok(scene.caused(at, ghost.addr()))
}

/// The last ACK is dropped in silence, because the accept queue is full; the request is forgotten, and
/// then the ghost speaks.
pub(crate) fn accept_queue_full(scene: &Scene) -> Result<Caused> {
    const BACKLOG: i32 = 1;
    let _cookies = Sysctl::set("ipv4/tcp_syncookies", "0")?;
    let _retries = Sysctl::set("ipv4/tcp_synack_retries", "0")?;
    let listener = listen_with(scene, V4, BACKLOG)?;
    let at = listener.local_addr()?;
    let mut ghost = Ghost::new(V4)?;
    let answer = ghost.knock(scene, at)?;
    let mut clients = vec![];
    for _ in 0..=BACKLOG {
        clients.push(connect(scene, &listener)?);
    }
    proc_net::await_accept_queue(scene, at.port(), BACKLOG as u32 + 1)?;
    let last = last_ack(&ghost, at, &answer);
    ghost.send(&last)?;
    // Without another SYN-ACK the request lives for about a second; before its end each segment
    // of the ghost would only be another last ACK.
    let data = TcpSegment { data: b"x", ..last };
    scene.deadline.until("the end of the request", || {
        thread::sleep(Duration::from_millis(200));
        Ok(proc_net::state_of(at, ghost.addr())?.is_none())
    })?;
    ghost.provoke(scene, &data)?;
    // Connections that fill the queue must not be reset with the listener.
    for client in clients {
        close_silently(listener.accept().context("accept")?.0)?;
        close_silently(client)?;
    }
    Ok(scene.caused(at, ghost.addr()))
}

/// Segments come for a connection that this host has just reset.
pub(crate) fn close_unread_followed(scene: &Scene) -> Result<Caused> {
    followed(scene, None)
}

/// The same while its listener is there still: it is the listener that answers.
pub(crate) fn close_unread_followed_listener(scene: &Scene) -> Result<Caused> {
    followed(scene, Some(listen(scene, V4)?))
}

fn followed(scene: &Scene, listener: Option<TcpListener>) -> Result<Caused> {
    let mut pair = match &listener {
        Some(listener) => GhostPair::of(scene, listener)?,
        None => GhostPair::open(scene)?,
    };
    let data = TcpSegment { data: b"unread", ..pair.segment(flags::PSH | flags::ACK) };
    pair.ghost.send(&data)?;
    let server = pair.server.take().context("it is open")?;
    server.set_read_timeout(Some(scene.deadline.left()))?;
    ensure!(server.peek(&mut [0])? == 1, "no byte came");
    drop(server);
    pair.ghost.hear(scene, pair.at, flags::RST).context("the first reset")?;
    // They were on their way.
    for number in 1..=FOLLOWERS as u32 {
        let seq = FIRST + 1 + number * data.data.len() as u32;
        pair.ghost.provoke(scene, &TcpSegment { seq, ..data })?;
    }
    Ok(scene.caused(pair.at, pair.ghost.addr()).with_actor(Actor::this_thread()?))
}

/// Resets that follow from the first.
pub(crate) const FOLLOWERS: usize = 2;
