//! Sockets that their program has closed, and that are not done yet.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::socket::setsockopt;

use crate::scene::{Caused, Scene};
use crate::stage::options::Linger2;
use crate::stage::packet::{Wire, flags};
use crate::stage::pair::{Pair, await_reset, close_silently, go_deaf, hear_again};
use crate::stage::proc_net;
use crate::stage::sysctl::{NoOrphans, Sysctl};
use crate::task::Actor;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(crate) fn linger2_fin_acked(scene: &Scene) -> Result<Caused> {
    let pair = Pair::open(scene, V4)?;
    setsockopt(&pair.server, Linger2, &-1).context("set TCP_LINGER2")?;
    // The first FIN is lost on a deaf client; it acknowledges the second, 200 ms later.
    go_deaf(&pair.client)?;
    drop(pair.server);
    hear_again(&pair.client)?;
    await_reset(scene, &pair.client)?;
    Ok(scene.caused(pair.server_addr, pair.client_addr))
}

pub(crate) fn orphan_fin2(scene: &Scene) -> Result<Caused> {
    let pair = Pair::open(scene, V4)?;
    pair.server_to_fin_wait2(scene)?;
    // Only what is above the 60 seconds of TIME_WAIT is waited for as a whole socket: one
    // second. When it is over the kernel looks again, and what is left must be none.
    let fin_timeout = Sysctl::set("ipv4/tcp_fin_timeout", "61")?;
    drop(pair.server);
    fin_timeout.change("30")?;
    await_reset(scene, &pair.client)?;
    Ok(scene.caused(pair.server_addr, pair.client_addr))
}

pub(crate) fn orphan_limit(scene: &Scene) -> Result<Caused> {
    let pair = Pair::open(scene, V4)?;
    // Were the FIN acknowledged at once, there would be no orphan.
    go_deaf(&pair.client)?;
    let mut wire = Wire::open(V4)?;
    {
        let _limit = NoOrphans::allowed()?;
        drop(pair.server);
    }
    let actor = Actor::this_thread()?;
    wire.hear(pair.server_addr, pair.client_addr, flags::RST, scene.deadline)?;
    close_silently(pair.client)?;
    Ok(scene.caused(pair.server_addr, pair.client_addr).with_actor(actor))
}

pub(crate) fn orphan_limit_timer(scene: &Scene) -> Result<Caused> {
    let pair = Pair::open(scene, V4)?;
    go_deaf(&pair.client)?;
    let mut wire = Wire::open(V4)?;
    drop(pair.server);
    // The FIN is not acknowledged: 200 ms later the timer sends it again, and looks at the
    // limit. The limit is everybody's, so it is lowered only when the timer is about to fire.
    scene.deadline.until("the end of the retransmission timer", || {
        let left = proc_net::timer_left(pair.server_addr, pair.client_addr)?;
        Ok(left.is_some_and(|left| left <= Duration::from_millis(20)))
    })?;
    {
        let _limit = NoOrphans::allowed()?;
        wire.hear(pair.server_addr, pair.client_addr, flags::RST, scene.deadline)?;
    }
    close_silently(pair.client)?;
    Ok(scene.caused(pair.server_addr, pair.client_addr))
}
