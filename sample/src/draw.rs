//! Draws the resets of a shift, in the order of their time.

use std::net::IpAddr;

use fastrand::Rng;
use tcprst_schema::footer::CpuAccount;
use tcprst_schema::wire::CpuTotals;

use crate::kinds::Side;
use crate::peers::{Peers, ln_length, zipf};
use crate::plan::{Burst, Minute, Shift, cpu_of};
use crate::services::SERVICES;
use crate::templates::{Far, Template, Urn};
use crate::world::Node;

/// The values of one reset that its template does not have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drawn {
    pub(crate) template: u16,
    pub(crate) cpu: u8,
    near_port: u16,
    far_port: u16,
    far: IpAddr,
    pub(crate) time_ns: i64,
    pub(crate) seq: u64,
    /// Number of resets lost on that CPU before it.
    pub(crate) lost: u64,
}

/// Draws one shift.
#[derive(Debug)]
pub(crate) struct Draw<'a> {
    peers: &'a Peers,
    usual: Urn,
    rng: Rng,
    now: Vec<CpuAccount>,
    event: u64,
    /// Natural logarithm of the length of each list of peers.
    lengths: [f64; 3],
    /// Address of the scanner, and the port that it tries next.
    scanner: (IpAddr, u16),
}

/// Ports of clients (ip_local_port_range).
const EPHEMERAL: std::ops::Range<u16> = 32_768..60_999;

impl<'a> Draw<'a> {
    /// `None` for a host without templates.
    pub(crate) fn new(
        shift: &Shift,
        peers: &'a Peers,
        templates: &[Template],
        seed: u64,
    ) -> Option<Self> {
        let mut rng = Rng::with_seed(seed ^ shift.from_us as u64 ^ (shift.node as u64) << 56);
        let scanner = peers.world_v4[rng.usize(..peers.world_v4.len())];
        let lists = [&peers.world_v4, &peers.world_v6, &peers.cluster];
        Some(Self {
            peers,
            usual: Urn::new(templates, |template| template.weight)?,
            now: shift.base.clone(),
            event: 0,
            lengths: lists.map(|list| ln_length(list.len())),
            scanner: (scanner, 1),
            rng,
        })
    }

    /// The resets of a minute, added to `drawn`.
    pub(crate) fn minute(
        &mut self,
        minute: &Minute,
        node: &Node,
        templates: &[Template],
        drawn: &mut Vec<Drawn>,
    ) {
        self.now[minute.lost_on].seen += minute.lost;
        self.now[minute.lost_on].lost += minute.lost;
        let burst = minute.burst.and_then(|(burst, share)| {
            Some((Urn::new(templates, |t| wanted(burst, t, node))?, burst, share))
        });
        let step = ((minute.to_us - minute.from_us) * 1000) as f64 / minute.events.max(1) as f64;
        for event in 0..minute.events {
            let time_ns = minute.from_us * 1000 + ((event as f64 + self.rng.f64()) * step) as i64;
            let (template, is_scan) = match &burst {
                Some((urn, burst, share)) if self.rng.f64() < *share => {
                    (urn.draw(&mut self.rng), *burst == Burst::Scan)
                }
                _ => (self.usual.draw(&mut self.rng), false),
            };
            drawn.push(self.event(&templates[template], template, is_scan, time_ns, minute));
        }
    }

    fn event(
        &mut self,
        template: &Template,
        at: usize,
        is_scan: bool,
        time_ns: i64,
        minute: &Minute,
    ) -> Drawn {
        let cpu = cpu_of(self.event);
        self.event += 1;
        self.now[cpu].seen += 1;
        let rng = &mut self.rng;
        let mut far = match template.far {
            Far::WorldV4 => self.peers.world_v4[zipf(rng, self.lengths[0])],
            Far::WorldV6 => self.peers.world_v6[zipf(rng, self.lengths[1])],
            Far::Cluster => self.peers.cluster[zipf(rng, self.lengths[2])],
            Far::Here(address) => address,
        };
        let mut service_port = template.port;
        let ephemeral = rng.u16(EPHEMERAL);
        if is_scan {
            // One address, port after port.
            far = self.scanner.0;
            self.scanner.1 = self.scanner.1 % 10_000 + 1;
            service_port = self.scanner.1;
        }
        let (near_port, far_port) = match template.kind.side {
            Side::Server => (service_port, ephemeral),
            Side::Client => (ephemeral, service_port),
        };
        Drawn {
            template: at as u16,
            cpu: cpu as u8,
            near_port,
            far_port,
            far,
            // Rounding must not move the last reset of a minute into the next minute.
            time_ns: time_ns.min(minute.to_us * 1000 - 1),
            seq: self.now[cpu].seen,
            lost: self.now[cpu].lost,
        }
    }
}

impl Draw<'_> {
    /// The totals that a kernel half would report at the end, for each CPU.
    pub(crate) fn totals(&self) -> Vec<CpuTotals> {
        self.now
            .iter()
            .map(|cpu| CpuTotals { seen: cpu.seen, lost: cpu.lost, counted: 0 })
            .collect()
    }
}

/// Weight of a template in a burst.
fn wanted(burst: Burst, template: &Template, node: &Node) -> f64 {
    let service = node.workloads[template.place].service;
    let cause = template.kind.name;
    match burst {
        Burst::Scan if service.name == "sshd" && cause == "closed_port" => match template.far {
            Far::WorldV4 => 1.0,
            _ => 0.0,
        },
        Burst::Deploy(number) if service.name == SERVICES[number % SERVICES.len()].name => {
            match cause {
                "closed_port" => template.weight * 2.0,
                "app_killed_unread" => template.weight * 12.0,
                "app_listener_closed" => template.weight * 40.0,
                "timewait" | "stale_flow" => template.weight,
                _ => 0.0,
            }
        }
        Burst::Restart if service.name == "postgres" => match cause {
            "closed_port" => template.weight * 4.0,
            "app_killed_unread" => template.weight * 20.0,
            "app_listener_closed" | "stale_flow" => template.weight,
            _ => 0.0,
        },
        // The database's clients receive its resets.
        Burst::Restart if service.upstream == 5432 && cause == "recv_reset" => template.weight,
        _ => 0.0,
    }
}

impl Drawn {
    /// Fills in the template, whose row is then complete.
    pub(crate) fn fill(&self, template: &mut Template, boot_us: i64) {
        let near = Some((template.near, self.near_port));
        let far = Some((self.far, self.far_port));
        let row = &mut template.row;
        row.time_us = self.time_ns.div_euclid(1000);
        row.boot_ns = (self.time_ns - boot_us * 1000).cast_unsigned();
        row.cpu = self.cpu.into();
        row.seq = self.seq;
        (row.src, row.dst) = if template.kind.is_received { (far, near) } else { (near, far) };
    }
}
