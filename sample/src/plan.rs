//! The plan of a recording: the number of resets in each minute on each host, bursts and losses.
//! It is complete before the first row is drawn, so that several threads can work on it.

use std::f64::consts::TAU;

use fastrand::Rng;
use tcprst_schema::footer::CpuAccount;

use crate::world::CPUS;

pub(crate) const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 1440 * MINUTE_US;

/// An incident that causes more resets than usual for some minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Burst {
    /// A service is rolled out: its processes end, and its port is closed for a short time.
    Deploy(usize),
    /// A scan of all ports of a host.
    Scan,
    /// A database is restarted.
    Restart,
}

/// A minute of a host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Minute {
    pub(crate) from_us: i64,
    /// Its end, which is earlier if the recorder stops in that minute.
    pub(crate) to_us: i64,
    pub(crate) events: u64,
    /// The incident of this minute, and its share of the events.
    pub(crate) burst: Option<(Burst, f64)>,
    /// Resets lost on one CPU at its start.
    pub(crate) lost: u64,
    pub(crate) lost_on: usize,
}

/// A part of a day on a host, made by one thread.
#[derive(Debug)]
pub(crate) struct Shift {
    pub(crate) node: usize,
    pub(crate) from_us: i64,
    pub(crate) to_us: i64,
    pub(crate) minutes: Vec<Minute>,
    /// The account of each CPU at its start.
    pub(crate) base: Vec<CpuAccount>,
    /// Number of its first file.
    pub(crate) first_file: u32,
    /// Whether the recorder starts with this shift.
    pub(crate) starts_run: bool,
}

/// The options that the plan depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) events: u64,
    pub(crate) seed: u64,
    pub(crate) from_us: i64,
    pub(crate) to_us: i64,
    pub(crate) nodes: usize,
    pub(crate) segment_us: i64,
    pub(crate) segment_rows: u64,
}

impl Shift {
    pub(crate) fn events(&self) -> u64 {
        self.minutes.iter().map(|minute| minute.events).sum()
    }
}

/// The CPU of an event, by its number in the shift: interrupts are not spread evenly.
pub(crate) fn cpu_of(event: u64) -> usize {
    // A permutation of 0..64, so that adjacent events are on different CPUs.
    match (event.wrapping_mul(37) + 11) % 64 {
        0..=15 => 0,
        16..=27 => 1,
        28..=37 => 2,
        38..=45 => 3,
        46..=52 => 4,
        53..=57 => 5,
        58..=61 => 6,
        _ => 7,
    }
}

/// Number of events on each CPU among the first events of a shift.
fn cpu_counts(events: u64) -> [u64; CPUS] {
    let mut counts = [0; CPUS];
    for event in 0..64 {
        counts[cpu_of(event)] += events / 64 + u64::from(event < events % 64);
    }
    counts
}

pub(crate) fn plan(wanted: Wanted) -> Vec<Shift> {
    let mut shifts = Vec::new();
    for node in 0..wanted.nodes {
        for (from_us, to_us, starts_run) in stretches(wanted, node) {
            shifts.push(shift(wanted, node, from_us, to_us, starts_run));
        }
    }
    share_out(&mut shifts, wanted.events);
    lose(&mut shifts);
    number(&mut shifts, wanted);
    shifts
}

/// The times of the shifts of a host: days, and on the first host a pause of the recorder.
fn stretches(wanted: Wanted, node: usize) -> Vec<(i64, i64, bool)> {
    let Wanted { from_us, to_us, .. } = wanted;
    let span = to_us - from_us;
    let gap = from_us + (span * 11 / 20).div_euclid(MINUTE_US) * MINUTE_US;
    let gap_end = (gap + (40 * MINUTE_US).min(span / 20)).div_euclid(MINUTE_US) * MINUTE_US;
    let mut stretches = Vec::new();
    let mut start = from_us;
    let mut starts_run = true;
    while start < to_us {
        let end = ((start.div_euclid(DAY_US) + 1) * DAY_US).min(to_us);
        if node == 0 && (start..end).contains(&gap) && gap_end > gap {
            if gap > start {
                stretches.push((start, gap, starts_run));
            }
            starts_run = true;
            start = gap_end;
            continue;
        }
        stretches.push((start, end, starts_run));
        starts_run = false;
        start = end;
    }
    stretches
}

/// A shift with its rhythm and bursts; `events` are weights until [`share_out`].
fn shift(wanted: Wanted, node: usize, from_us: i64, to_us: i64, starts_run: bool) -> Shift {
    let first = from_us.div_euclid(MINUTE_US);
    let last = (to_us - 1).div_euclid(MINUTE_US);
    let minutes = (first..=last)
        .map(|minute| Minute {
            from_us: (minute * MINUTE_US).max(from_us),
            to_us: ((minute + 1) * MINUTE_US).min(to_us),
            events: weight(wanted.seed, node, minute),
            burst: burst(wanted.seed, node, minute),
            lost: 0,
            lost_on: 0,
        })
        .collect();
    Shift { node, from_us, to_us, minutes, base: Vec::new(), first_file: 1, starts_run }
}

/// Weight of a minute: day of the week, hour of the day and noise, plus the burst.
fn weight(seed: u64, node: usize, minute: i64) -> u64 {
    let mut rng = Rng::with_seed(seed ^ (minute as u64) << 8 ^ node as u64);
    let day = minute.div_euclid(1440);
    let hour = minute.rem_euclid(1440) as f64 / 60.0;
    // 1970-01-01 was a Thursday.
    let is_weekend = matches!(day.rem_euclid(7), 2 | 3);
    let daily = 1.0 + 0.65 * ((hour - 15.0) / 24.0 * TAU).cos() + 0.15 * (hour / 12.0 * TAU).sin();
    let size = if is_weekend { 0.6 } else { 1.0 } / (1.0 + 0.35 * node as f64);
    let usual = 1000.0 * daily * size * (0.85 + 0.3 * rng.f64());
    let share = burst(seed, node, minute).map_or(0.0, |(_, share)| share);
    (usual / (1.0 - share)) as u64
}

/// The incident of a minute, and its share of the resets.
fn burst(seed: u64, node: usize, minute: i64) -> Option<(Burst, f64)> {
    let day = minute.div_euclid(1440);
    let mut rng = Rng::with_seed(seed.rotate_left(17) ^ (day as u64) << 4 ^ node as u64);
    let within =
        |start: i64, length: i64| (start..start + length).contains(&minute.rem_euclid(1440));
    // In order of precedence.
    let scan = (rng.i64(30..1400), rng.i64(2..5), rng.u32(..2) == 0 || day % 2 == 0);
    let restart = (rng.i64(120..300), rng.i64(2..6), rng.u32(..3) == 0);
    let deploys = [(rng.i64(540..700), rng.i64(8..26)), (rng.i64(780..1000), rng.i64(8..26))];
    let services = [rng.usize(..64), rng.usize(..64)];
    if scan.2 && within(scan.0, scan.1) {
        return Some((Burst::Scan, 0.9));
    }
    if restart.2 && within(restart.0, restart.1) {
        return Some((Burst::Restart, 0.85));
    }
    deploys
        .iter()
        .zip(services)
        .find(|((start, length), _)| within(*start, *length))
        .map(|(_, service)| (Burst::Deploy(service), 0.55))
}

/// Turns weights into numbers whose sum is the requested number of events.
fn share_out(shifts: &mut [Shift], events: u64) {
    let all: u64 = shifts.iter().map(Shift::events).sum();
    let (mut shares, mut given) = (0, 0);
    for minute in shifts.iter_mut().flat_map(|shift| &mut shift.minutes) {
        shares += minute.events;
        let upto = (u128::from(events) * u128::from(shares) / u128::from(all.max(1))) as u64;
        minute.events = upto - given;
        given = upto;
    }
}

/// Makes a ring overflow in the busiest minutes.
fn lose(shifts: &mut [Shift]) {
    let minutes = || shifts.iter().flat_map(|shift| &shift.minutes);
    let most = minutes().map(|minute| minute.events).max().unwrap_or(0);
    for minute in shifts.iter_mut().flat_map(|shift| &mut shift.minutes) {
        let in_scan = matches!(minute.burst, Some((Burst::Scan, _)));
        if minute.events > 0 && (minute.events == most || (in_scan && minute.events > 1000)) {
            minute.lost = 1 + minute.events / 400;
            minute.lost_on = (minute.events % CPUS as u64) as usize;
        }
    }
}

/// Sets the account at the start of each shift and the numbers of the files. Both continue from
/// day to day, and start again with the recorder.
fn number(shifts: &mut [Shift], wanted: Wanted) {
    let mut now = vec![CpuAccount::default(); CPUS];
    let mut file = 1;
    for shift in shifts {
        if shift.starts_run {
            now = vec![CpuAccount::default(); CPUS];
            file = 1;
        }
        shift.base.clone_from(&now);
        shift.first_file = file;
        for (cpu, count) in cpu_counts(shift.events()).iter().enumerate() {
            now[cpu].seen += count;
        }
        for minute in &shift.minutes {
            now[minute.lost_on].seen += minute.lost;
            now[minute.lost_on].lost += minute.lost;
        }
        // The maximum number of files: a quiet shift leaves gaps in the numbers.
        let by_time = (shift.to_us - shift.from_us) / wanted.segment_us + 2;
        let by_size = shift.events() / wanted.segment_rows;
        // Two more for `losses` and `containers`.
        file += by_time as u32 + by_size as u32 + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            events: 1_000_003,
            seed: 1,
            from_us: 20_000 * DAY_US + 7 * MINUTE_US,
            to_us: 20_003 * DAY_US,
            nodes: 2,
            segment_us: 5 * MINUTE_US,
            segment_rows: 200_000,
        }
    }

    #[test]
    fn the_sum_is_what_was_asked_for_and_the_day_has_a_rhythm() {
        let shifts = plan(wanted());
        assert_eq!(shifts.iter().map(Shift::events).sum::<u64>(), 1_000_003);
        // Three days on two hosts, one of them in two parts.
        assert_eq!(shifts.len(), 7);
        let at = |hour: usize| -> u64 {
            shifts[6].minutes[60 * hour..60 * hour + 60].iter().map(|m| m.events).sum()
        };
        assert!(at(15) > 2 * at(3), "{} {}", at(15), at(3));
    }

    #[test]
    fn there_are_losses_and_one_pause() {
        let shifts = plan(wanted());
        assert!(shifts.iter().flat_map(|shift| &shift.minutes).any(|minute| minute.lost > 0));
        assert_eq!(shifts.iter().filter(|shift| shift.starts_run).count(), 3);
        for pair in shifts.windows(2).filter(|pair| pair[0].node == pair[1].node) {
            assert_eq!(pair[0].to_us < pair[1].from_us, pair[1].starts_run);
        }
    }

    #[test]
    fn each_cpu_counts_on() {
        let mut counts = [0; CPUS];
        for event in 0..1000 {
            assert_eq!(cpu_counts(event), counts);
            counts[cpu_of(event)] += 1;
        }
    }
}
