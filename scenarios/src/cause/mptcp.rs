//! Multipath TCP: its own ways to reset a connection.

use std::io::Write;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::libc;
use sha2::{Digest, Sha256};
use socket2::{Domain, Protocol, Socket, Type};

use crate::scene::{Caused, Impossible, Scene};
use crate::stage::ghost::{FIRST, Ghost};
use crate::stage::packet::{TcpSegment, flags, option};
use crate::stage::pair::{await_reset, connect_to_nowhere};
use crate::stage::proc_net;
use crate::stage::tool::ip;
use crate::task::Actor;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The option of all Multipath TCP messages (RFC 8684); the subtype is in the third byte.
const KIND: u8 = 30;

const GHOSTS_KEY: [u8; 8] = *b"tcprst-k";

/// DSS with nothing but an acknowledgement of data.
const DATA_ACK: [u8; 8] = [KIND, 8, 0x20, 0x01, 0, 0, 0, 0];

fn socket() -> Result<Socket> {
    match Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)) {
        Err(error) if error.raw_os_error() == Some(libc::EPROTONOSUPPORT) => {
            bail!(Impossible("the kernel was built without Multipath TCP".to_owned()))
        }
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {
            bail!(Impossible("Multipath TCP is off (net.mptcp.enabled)".to_owned()))
        }
        made => made.context("make a Multipath TCP socket"),
    }
}

fn listener(scene: &Scene) -> Result<(Socket, SocketAddr)> {
    let at = SocketAddr::new(V4, scene.port);
    let listener = socket()?;
    listener.set_reuse_address(true)?;
    listener.set_read_timeout(Some(scene.deadline.left()))?;
    listener.bind(&at.into()).with_context(|| format!("bind {at}"))?;
    listener.listen(8).context("listen")?;
    Ok((listener, at))
}

/// Accepts a connection that really is Multipath TCP, and no fallback to plain TCP.
fn accept(listener: &Socket) -> Result<Socket> {
    const ACCEPTED: &str = "MPCapableACKRX";
    let before = proc_net::multipath(ACCEPTED)?;
    let (server, _) = listener.accept().context("accept")?;
    ensure!(proc_net::multipath(ACCEPTED)? == before + 1, "the connection is plain TCP");
    Ok(server)
}

/// Both ends of a connection: the server's, the client's, their addresses.
struct MptcpPair {
    server: Socket,
    client: TcpStream,
    at: SocketAddr,
    here: SocketAddr,
}

impl MptcpPair {
    fn open(scene: &Scene) -> Result<Self> {
        let (listener, at) = listener(scene)?;
        let client = socket()?;
        client.connect_timeout(&at.into(), scene.deadline.left()).context("connect")?;
        let server = accept(&listener)?;
        let client = TcpStream::from(client);
        Ok(Self { server, here: client.local_addr()?, client, at })
    }

    /// This thread closes the server's end, and the client sees a reset.
    fn close_and_await_reset(self, scene: &Scene) -> Result<Caused> {
        drop(self.server);
        await_reset(scene, &self.client)?;
        Ok(scene.caused(self.at, self.here).with_actor(Actor::this_thread()?))
    }
}

pub(crate) fn fastclose(scene: &Scene) -> Result<Caused> {
    let mut pair = MptcpPair::open(scene)?;
    pair.client.write_all(b"x").context("send")?;
    pair.server.set_read_timeout(Some(scene.deadline.left()))?;
    ensure!(pair.server.peek(&mut [MaybeUninit::uninit()])? == 1, "no byte came");
    pair.close_and_await_reset(scene)
}

pub(crate) fn linger0(scene: &Scene) -> Result<Caused> {
    let pair = MptcpPair::open(scene)?;
    pair.server.set_linger(Some(Duration::ZERO)).context("set SO_LINGER")?;
    pair.close_and_await_reset(scene)
}

pub(crate) fn disconnect(scene: &Scene) -> Result<Caused> {
    let pair = MptcpPair::open(scene)?;
    connect_to_nowhere(&pair.server)?;
    await_reset(scene, &pair.client)?;
    Ok(scene.caused(pair.at, pair.here).with_actor(Actor::this_thread()?))
}

pub(crate) fn fastclose_received(scene: &Scene) -> Result<Caused> {
    let mut talk = GhostTalk::open(scene)?;
    // Without an acknowledgement of data the first segment would make it plain TCP.
    let fastclose = [&DATA_ACK[..], &[KIND, 12, 0x70, 0], &talk.key].concat();
    talk.ghost.provoke(scene, &TcpSegment { options: &fastclose, ..talk.ack })?;
    Ok(scene.caused(talk.at, talk.ghost.addr()))
}

/// Another subflow's last ACK comes without its options.
pub(crate) fn join_stripped(scene: &Scene) -> Result<Caused> {
    let talk = GhostTalk::open(scene)?;
    ip("mptcp limits set subflows 2 add_addr_accepted 2\n").context("allow subflows")?;
    talk.ghost.send(&TcpSegment { options: &DATA_ACK, ..talk.ack })?;
    let mut second = Ghost::new(V4)?;
    // MP_JOIN: address 1, the connection's token, a random number.
    let token = &Sha256::digest(talk.key)[..4];
    let join = [&[KIND, 12, 0x10, 1], token, &[1, 2, 3, 4]].concat();
    let answer = second.knock_with(scene, talk.at, &join)?;
    ensure!(option(&answer.options, KIND).is_some(), "the kernel took it for another connection");
    let last = TcpSegment {
        seq: FIRST + 1,
        ack: answer.seq.wrapping_add(1),
        ..second.segment(talk.at, flags::ACK)
    };
    second.provoke(scene, &last)?;
    let caused = scene.caused(talk.at, second.addr());
    // Open to the end, but for the port: the server's close would meet no ghost any more, and be
    // reset.
    let GhostTalk { ghost, ends: (server, _listener), .. } = talk;
    Box::leak(Box::new((ghost, server)));
    Ok(caused)
}

/// An accepted Multipath TCP connection of a ghost.
struct GhostTalk {
    ghost: Ghost,
    /// What the ghost's next segment is.
    ack: TcpSegment<'static>,
    at: SocketAddr,
    /// Open as long as the ghost talks.
    ends: (Socket, Socket),
    /// The server's key.
    key: [u8; 8],
}

impl GhostTalk {
    fn open(scene: &Scene) -> Result<Self> {
        let (listener, at) = listener(scene)?;
        let mut ghost = Ghost::new(V4)?;
        let answer = ghost.knock_with(scene, at, &capable(&[]))?;
        let key = key_in(&answer.options).context("the listener speaks no Multipath TCP")?;
        let ack = TcpSegment {
            seq: FIRST + 1,
            ack: answer.seq.wrapping_add(1),
            ..ghost.segment(at, flags::ACK)
        };
        ghost.send(&TcpSegment { options: &capable(&[GHOSTS_KEY, key]), ..ack })?;
        let server = accept(&listener)?;
        Ok(Self { ghost, ack, at, ends: (server, listener), key })
    }
}

/// MP_CAPABLE, version 1, with HMAC-SHA256.
fn capable(keys: &[[u8; 8]]) -> Vec<u8> {
    let mut option = vec![KIND, 4 + 8 * keys.len() as u8, 0x01, 0x01];
    option.extend(keys.as_flattened());
    option
}

/// The key in the MP_CAPABLE of a SYN-ACK.
fn key_in(options: &[u8]) -> Option<[u8; 8]> {
    match *option(options, KIND)? {
        [subtype, _, ref key @ ..] if subtype >> 4 == 0 => key.try_into().ok(),
        _ => None,
    }
}

pub(crate) fn join_refused(scene: &Scene) -> Result<Caused> {
    // MP_JOIN: address 1, a token that no connection has, a random number.
    const JOIN: [u8; 12] = [KIND, 12, 0x10, 1, 0, 0, 0, 0, 1, 2, 3, 4];
    let (_listener, at) = listener(scene)?;
    let mut ghost = Ghost::new(V4)?;
    let join = TcpSegment { seq: FIRST, options: &JOIN, ..ghost.segment(at, flags::SYN) };
    ghost.provoke(scene, &join)?;
    Ok(scene.caused(at, ghost.addr()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_found_among_other_options() {
        let mut options = vec![2, 4, 5, 180, 1, 1];
        options.extend(capable(&[*b"abcdefgh"]));
        assert_eq!(key_in(&options), Some(*b"abcdefgh"));
        assert_eq!(key_in(&[2, 4, 5, 180, 0]), None);
        assert_eq!(key_in(&options[..16]), None);
        assert_eq!(key_in(&[]), None);
    }
}
