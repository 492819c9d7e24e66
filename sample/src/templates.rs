//! A row for each kind of event of a host, complete except for its time, its ends and its number.
//! The parts that resets have in common are then made only once.

use std::net::IpAddr;
use std::sync::Arc;

use fastrand::Rng;
use tcprst_schema::cause::{Blame, UNKNOWN};
use tcprst_schema::hook::Direction;
use tcprst_schema::row::{Named, Row, SocketOwner};

use crate::frames::REASONS;
use crate::kinds::{KINDS, Lead, ResetKind, Side};
use crate::world::{Node, Workload};

/// Share of the world's clients that use IPv6.
const V6_SHARE: f64 = 0.06;
/// Share of a cluster's clients that run on the same host.
const SAME_HOST_SHARE: f64 = 0.3;

/// Where the other end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Far {
    WorldV4,
    WorldV6,
    Cluster,
    /// A container of the same host.
    Here(IpAddr),
}

/// A row that lacks its time, ends and number.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) row: Row,
    pub(crate) kind: &'static ResetKind,
    /// Index of the host's workload.
    pub(crate) place: usize,
    pub(crate) near: IpAddr,
    pub(crate) far: Far,
    /// The port that the service listens on, or should.
    pub(crate) port: u16,
    /// Weight on an ordinary day.
    pub(crate) weight: f64,
}

/// All templates of a host.
pub(crate) fn all(node: &Node, rng: &mut Rng) -> Vec<Template> {
    let mut templates = Vec::new();
    for (at, place) in node.workloads.iter().enumerate() {
        for kind in KINDS.iter().filter(|kind| happens(kind, place)) {
            // Each service has its own mix of failures.
            let weight = kind.weight * place.weight * (0.15 + 2.0 * rng.f64() * rng.f64());
            for (far, share) in ends(kind, place, node, rng) {
                for variant in 0..variants(kind) {
                    let share = weight * share / variants(kind) as f64;
                    templates.push(template(node, at, kind, far, variant, share));
                }
            }
        }
    }
    templates
}

fn happens(kind: &ResetKind, place: &Workload) -> bool {
    match kind.name {
        // The cluster uses nftables; only the hosts still have iptables rules.
        "fw_iptables" => place.container.is_none(),
        "op_bpf_destroy" | "app_disconnect" => place.container.is_some(),
        _ => true,
    }
}

/// Number of stacks or threads by which rows of one kind differ.
fn variants(kind: &ResetKind) -> usize {
    match kind.context() {
        "packet" => kind.ways(),
        "task" => 2,
        _ => 1,
    }
}

fn ends(kind: &ResetKind, place: &Workload, node: &Node, rng: &mut Rng) -> Vec<(Far, f64)> {
    if place.is_public() && kind.side == Side::Server {
        let v6 = if kind.is_on_ipv6() { V6_SHARE } else { 0.0 };
        return vec![(Far::WorldV4, 1.0 - v6), (Far::WorldV6, v6)]
            .into_iter()
            .filter(|(_, share)| *share > 0.0)
            .collect();
    }
    let other = &node.workloads[rng.usize(..node.workloads.len())];
    let mut ends = vec![(Far::Cluster, 1.0 - SAME_HOST_SHARE)];
    if other.container.is_some() && other.v4 != place.v4 {
        ends.push((Far::Here(other.v4), SAME_HOST_SHARE));
    }
    ends
}

fn template(
    node: &Node,
    at: usize,
    kind: &'static ResetKind,
    far: Far,
    variant: usize,
    weight: f64,
) -> Template {
    let place = &node.workloads[at];
    let is_v6 = far == Far::WorldV6;
    let stack = Arc::new(kind.stack(is_v6, variant));
    let cause = kind.cause(&stack);
    let thread = 3 * variant as u32;
    let is_task = kind.context() == "task";
    let act = match (kind.side, kind.sk_state) {
        (Side::Client, _) => "connect",
        (Side::Server, Some("LISTEN" | "NEW_SYN_RECV")) => "listen",
        (Side::Server, _) => "accept",
    };
    // TIME_WAIT replaces a socket whose process is no longer known.
    let has_process = kind.lead == Lead::Socket && kind.sk_flags.is_some_and(|f| f & 2 == 0);
    let socket = match kind.lead {
        Lead::Netns => SocketOwner::default(),
        _ => place.socket(has_process.then_some(act), thread),
    };
    let attribution = match kind.lead {
        Lead::Socket => "socket",
        Lead::TimeWait => "timewait",
        Lead::Netns => "netns",
    };
    let direction = if kind.is_received { Direction::Received } else { Direction::Sent };
    let named = |address: IpAddr| {
        let place = node.workloads.iter().find(|place| place.v4 == address)?;
        Some(Named::container(Arc::clone(place.container.as_ref()?)))
    };
    let row = Row {
        time_us: 0,
        boot_ns: 0,
        cpu: 0,
        seq: 0,
        host: Arc::clone(&node.name),
        direction: direction.name(),
        netns_id: Some(place.netns_id),
        netns_cookie: Some(place.netns_cookie),
        cause: cause.map_or(UNKNOWN, |cause| cause.name),
        blame: cause.and_then(|cause| cause.blame).map(Blame::name),
        stack,
        reason: kind.reason.map(Arc::from),
        reason_code: kind.reason.and_then(|reason| {
            REASONS.iter().position(|name| *name == reason).map(|code| code as i32)
        }),
        sk_state: kind.sk_state.map(Arc::from),
        context: Some(kind.context()),
        answered_flags: kind.answered,
        sk_flags: kind.sk_flags,
        past: None,
        past_us: None,
        first: None,
        accept_queue: None,
        icmp: None,
        src: None,
        dst: None,
        task: is_task.then(|| place.task(thread)),
        socket,
        owner_from: (kind.lead != Lead::Netns).then_some(attribution),
        owner: place.owner(attribution, &node.name),
        peer: match far {
            Far::Here(address) => named(address),
            _ => None,
        },
    };
    let near = if is_v6 { place.v6 } else { place.v4 };
    let port = match kind.side {
        Side::Server => place.service.port,
        Side::Client => place.service.upstream,
    };
    Template { row, kind, place: at, near, far, port, weight }
}

/// Draws templates in proportion to their weights, by Vose's alias method. Each slot of the urn
/// holds two templates and the boundary between them, so that a draw takes constant time.
#[derive(Debug)]
pub(crate) struct Urn(Vec<(f64, u16)>);

impl Urn {
    /// `weight` gives the weight of each template; `None` if all are zero.
    pub(crate) fn new(templates: &[Template], weight: impl Fn(&Template) -> f64) -> Option<Self> {
        let weights: Vec<f64> = templates.iter().map(weight).collect();
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        if mean.is_nan() || mean <= 0.0 {
            return None;
        }
        let mut places: Vec<(f64, u16)> = weights.iter().map(|w| (w / mean, 0)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..places.len()).partition(|at| places[*at].0 < 1.0);
        while let (Some(less), Some(more)) = (small.pop(), large.last().copied()) {
            places[less].1 = more as u16;
            places[more].0 -= 1.0 - places[less].0;
            if places[more].0 < 1.0 {
                large.pop();
                small.push(more);
            }
        }
        // Slots that are left over because of rounding hold one template.
        small.into_iter().chain(large).for_each(|at| places[at].0 = 1.0);
        Some(Self(places))
    }

    pub(crate) fn draw(&self, rng: &mut Rng) -> usize {
        let at = rng.usize(..self.0.len());
        let (first, other) = self.0[at];
        if rng.f64() < first { at } else { other.into() }
    }
}

#[cfg(test)]
mod tests {
    use tcprst_schema::cause::CAUSES;

    use std::collections::HashSet;

    use super::*;
    use crate::world::node;

    #[test]
    fn rows_have_what_their_facts_prove() {
        for host in 0..2 {
            let node = node(7, host, 2);
            let templates = all(&node, &mut Rng::with_seed(7));
            assert!(templates.len() < usize::from(u16::MAX));
            let seen: HashSet<&str> = templates.iter().map(|template| template.row.cause).collect();
            let wanted: HashSet<&str> = KINDS.iter().map(|kind| kind.name).collect();
            assert_eq!(seen, wanted);
            for Template { row, kind, .. } in &templates {
                assert_eq!(row.cause, kind.name);
                let cause = CAUSES.iter().find(|cause| cause.name == row.cause);
                assert_eq!(row.blame, cause.and_then(|cause| cause.blame).map(Blame::name));
                assert_eq!(row.task.is_some(), row.context == Some("task"));
                assert_eq!(row.socket.netns_id.is_some(), row.sk_state.is_some());
            }
        }
    }

    #[test]
    fn what_is_wanted_more_is_drawn_more() {
        let node = node(7, 0, 1);
        let templates = all(&node, &mut Rng::with_seed(7));
        let urn = Urn::new(&templates, |t| f64::from(u8::from(t.row.cause == "timewait")))
            .expect("some are wanted");
        let mut rng = Rng::with_seed(1);
        assert!((0..1000).all(|_| templates[urn.draw(&mut rng)].row.cause == "timewait"));
        let urn = Urn::new(&templates, |t| t.weight).expect("some are wanted");
        let all: f64 = templates.iter().map(|t| t.weight).sum();
        let stale: f64 =
            templates.iter().filter(|t| t.row.cause == "stale_flow").map(|t| t.weight).sum();
        let is_stale = |at: usize| templates[at].row.cause == "stale_flow";
        let drawn = (0..100_000).filter(|_| is_stale(urn.draw(&mut rng))).count();
        assert!((drawn as f64 / 1e5 - stale / all).abs() < 0.01, "{drawn}");
        assert!(Urn::new(&templates, |_| 0.0).is_none());
    }
}
