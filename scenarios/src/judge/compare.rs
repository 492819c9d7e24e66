//! Compares recorded rows with those that the scenario table expects.

use serde_json::{Value as Json, json};
use tcprst_schema::cause::Socket;
use tcprst_schema::classify::{Facts, classify};
use tcprst_schema::wire::{SK_FLAG_NAMES, TCP_FLAG_NAMES, bits_of_text};

use super::cell::{Cell, UNKNOWN, Verdict};
use super::ledger::{EntryKind, LedgerEntry};
use super::recording::{Abilities, Doctor, Row};
use crate::scene::{Caused, Expect, Outcome, Scenario, Seen};

/// The columns that name the task; null where none acted.
const TASK: [&str; 7] = ["pid", "tid", "uid", "gid", "comm", "mntns_id", "cgroup_id"];

/// Everything there is to judge by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence<'a> {
    /// The inode of the namespace that the scenarios played in.
    pub netns_id: u64,
    /// 0 where the kernel does not give it.
    pub netns_cookie: u64,
    /// The mount namespace of the actors.
    pub mntns_id: u64,
    /// The process that played the scenarios.
    pub pid: u32,
    pub doctor: &'a Doctor,
    pub abilities: Abilities,
    /// The rows of every namespace.
    pub rows: &'a [Row],
    pub ledger: Option<&'a [LedgerEntry]>,
}

/// The verdict on one scenario. `outcome` is an error where it went wrong itself.
pub(crate) fn judge(
    scenario: &Scenario,
    outcome: &Result<Outcome, String>,
    by: &Evidence<'_>,
) -> Cell {
    let expect = &scenario.expect;
    let (verdict, row) = match outcome {
        Err(error) => (Verdict::Wrong(vec![format!("not produced: {error}")]), None),
        Ok(Outcome::Impossible(why)) => (Verdict::Impossible(why.clone()), None),
        Ok(Outcome::Caused(caused)) => by.verdict(expect, caused),
    };
    Cell {
        scenario: scenario.name.to_owned(),
        expected: expect.cause.to_owned(),
        verdict,
        cause: row.and_then(|row| text(row, "cause")).map(str::to_owned),
        without_reason: row.and_then(cause_without_reason),
    }
}

/// The cause that the same facts prove on a kernel that gives no reasons.
fn cause_without_reason(row: &Row) -> Option<String> {
    let past = text(row, "past");
    // It has the cause of another row.
    if past == Some("reset") {
        return text(row, "cause").map(str::to_owned);
    }
    let number = |column| value(row, column).as_i64();
    let frames: Vec<&str> = text(row, "stack")?.rsplit(';').collect();
    let sk_state = text(row, "sk_state");
    let bits = |column, names| text(row, column).map(|text| bits_of_text(text, names));
    let facts = Facts {
        frames: &frames,
        reason: None,
        socket: Socket::of_row(
            !value(row, "socket_netns_id").is_null(),
            sk_state,
            text(row, "sk_flags").is_some(),
        ),
        sk_state,
        sk_flags: bits("sk_flags", SK_FLAG_NAMES),
        answered_flags: bits("answered_flags", TCP_FLAG_NAMES),
        past,
        queue_full: number("accept_queue")
            .zip(number("accept_queue_limit"))
            .map(|(queue, limit)| queue > limit),
    };
    Some(classify(&facts).map_or(UNKNOWN, |cause| cause.name).to_owned())
}

fn text<'a>(row: &'a Row, column: &str) -> Option<&'a str> {
    row.get(column).and_then(Json::as_str)
}

fn value<'a>(row: &'a Row, column: &str) -> &'a Json {
    row.get(column).unwrap_or(&Json::Null)
}

/// The kind that the ledger must give a packet that no event explains.
pub(super) fn unexplained(doctor: &Doctor) -> EntryKind {
    match doctor.sites.iter().any(|site| site.direction == "sent" && site.hook.is_none()) {
        true => EntryKind::Unknown,
        false => EntryKind::Crafted,
    }
}

/// Whether a row is of this flow, as on the RST packet.
pub fn is_of(row: &Row, caused: &Caused) -> bool {
    *value(row, "src_addr") == json!(caused.src_addr)
        && *value(row, "src_port") == json!(caused.src_port)
        && *value(row, "dst_addr") == json!(caused.dst_addr)
        && *value(row, "dst_port") == json!(caused.dst_port)
}

impl<'a> Evidence<'a> {
    fn verdict(&self, expect: &Expect, caused: &Caused) -> (Verdict, Option<&'a Row>) {
        let direction = match expect.seen {
            Seen::Sent => "sent",
            Seen::Received => "received",
            Seen::Icmp => "icmp",
            Seen::Crafted => return (self.crafted(caused), None),
            Seen::Forwarded => return (self.on_the_wire_only(caused, EntryKind::Forwarded), None),
            Seen::Nothing => return (self.nothing(caused), None),
        };
        if let Some(why) = self.unhooked(expect) {
            return (self.unhooked_verdict(why, caused, direction), None);
        }
        let lacks = match expect.seen {
            Seen::Received if !self.abilities.received => Some("--received"),
            Seen::Icmp if !self.abilities.icmp => Some("--icmp"),
            _ => None,
        };
        if let Some(flag) = lacks {
            return (Verdict::Wrong(vec![format!("the recorder has no {flag}")]), None);
        }
        let follows = |row: &&Row| text(row, "past") == Some("reset");
        let (followers, rows): (Vec<_>, Vec<_>) =
            self.rows_of(caused, Some(direction)).into_iter().partition(follows);
        let [row] = rows[..] else {
            return (Verdict::Wrong(vec![self.wrong_count(rows.len(), caused)]), None);
        };
        let mut differences = vec![];
        if followers.len() != expect.followed {
            differences.push(format!(
                "{} resets follow from it, expected {}",
                followers.len(),
                expect.followed
            ));
        }
        for follower in followers {
            for (column, of_first) in
                [("cause", "cause"), ("blame", "blame"), ("first_cpu", "cpu"), ("first_seq", "seq")]
            {
                check(follower, column, value(row, of_first), &mut differences);
            }
        }
        self.check_facts(row, expect, &mut differences);
        self.check_place(row, expect, &mut differences);
        self.check_task(row, expect, caused, &mut differences);
        self.check_socket(row, expect, caused, &mut differences);
        let unknown = text(row, "cause") == Some(UNKNOWN) && expect.cause != UNKNOWN;
        if !unknown {
            check(row, "cause", &json!(expect.cause), &mut differences);
            check(row, "blame", &json!(expect.blame), &mut differences);
        }
        let verdict = match (differences.is_empty(), unknown) {
            (false, _) => Verdict::Wrong(differences),
            (true, true) => Verdict::Unknown,
            (true, false) => Verdict::Ok,
        };
        (verdict, Some(row))
    }

    /// Rows of the flow in the scene's namespace.
    fn rows_of(&self, caused: &Caused, direction: Option<&str>) -> Vec<&'a Row> {
        let here = |row: &&Row| *value(row, "netns_id") == json!(self.netns_id);
        let of_direction =
            |row: &&Row| direction.is_none_or(|wanted| text(row, "direction") == Some(wanted));
        self.rows
            .iter()
            .filter(|row| is_of(row, caused))
            .filter(here)
            .filter(of_direction)
            .collect()
    }

    fn wrong_count(&self, count: usize, caused: &Caused) -> String {
        let elsewhere = self.rows.iter().filter(|row| is_of(row, caused)).count() - count;
        match (count, elsewhere) {
            (0, 0) => "not recorded".to_owned(),
            (0, n) => format!("not recorded, but {n} rows in other directions or namespaces"),
            (n, _) => format!("recorded {n} times"),
        }
    }

    /// Why the function that sends this has no hook on this kernel, if it has none.
    fn unhooked(&self, expect: &Expect) -> Option<&'a str> {
        let site = self.doctor.sites.iter().find(|site| site.site == expect.callee)?;
        site.hook.is_none().then_some(&site.detail)
    }

    fn unhooked_verdict(&self, why: &str, caused: &Caused, direction: &str) -> Verdict {
        let mut differences = vec![];
        let recorded = self.rows_of(caused, Some(direction)).len();
        if recorded > 0 {
            differences.push(format!("recorded {recorded} times by a site without a hook"));
        }
        // To the audit it is a RST that no hooked function explains.
        let kind = unexplained(self.doctor);
        if direction == "sent" && self.ledger.is_some() && !self.is_in_ledger(caused, kind) {
            differences.push(format!("not in the ledger as {}", kind.text()));
        }
        match differences.is_empty() {
            true => Verdict::Unhooked(why.to_owned()),
            false => Verdict::Wrong(differences),
        }
    }

    fn is_in_ledger(&self, caused: &Caused, kind: EntryKind) -> bool {
        self.ledger.is_some_and(|ledger| ledger.iter().any(|e| e.entry == kind && e.is_of(caused)))
    }

    /// Where a function that builds RSTs has no hook, a packet without an event may be its work.
    fn crafted(&self, caused: &Caused) -> Verdict {
        let kind = unexplained(self.doctor);
        match self.on_the_wire_only(caused, kind) {
            Verdict::Ok if kind == EntryKind::Unknown => Verdict::Unhooked(
                "not every function that builds RSTs has a hook here: the ledger says unknown"
                    .to_owned(),
            ),
            verdict => verdict,
        }
    }

    fn on_the_wire_only(&self, caused: &Caused, kind: EntryKind) -> Verdict {
        let mut differences = vec![];
        let recorded = self.rows_of(caused, Some("sent")).len();
        if recorded > 0 {
            differences.push(format!("recorded {recorded} times as sent"));
        }
        if !self.abilities.audit {
            differences.push("the recorder has no --audit".to_owned());
        } else if !self.is_in_ledger(caused, kind) {
            differences.push(format!("not in the ledger as {}", kind.text()));
        }
        if differences.is_empty() { Verdict::Ok } else { Verdict::Wrong(differences) }
    }

    fn nothing(&self, caused: &Caused) -> Verdict {
        let mut differences = vec![];
        let recorded = self.rows_of(caused, None).len();
        if recorded > 0 {
            differences.push(format!("recorded {recorded} times"));
        }
        for kind in [EntryKind::Crafted, EntryKind::Forwarded] {
            if self.is_in_ledger(caused, kind) {
                differences.push(format!("in the ledger as {}", kind.text()));
            }
        }
        if differences.is_empty() { Verdict::Ok } else { Verdict::Wrong(differences) }
    }

    fn check_facts(&self, row: &Row, expect: &Expect, differences: &mut Vec<String>) {
        let reason = if self.doctor.reasons > 0 { expect.reason } else { None };
        // Where a kernel has no such function, the site is seen in another, and doctor names it.
        let site = self.doctor.sites.iter().find(|site| site.site == expect.callee);
        if text(row, "callee") != site.map(|site| site.detail.as_str()) {
            check(row, "callee", &json!(expect.callee), differences);
        }
        check(row, "reason", &json!(reason), differences);
        check(row, "sk_state", &json!(expect.sk_state), differences);
        check(row, "family", &json!(expect.family), differences);
        check(row, "context", &json!(expect.context), differences);
        let caller = text(row, "caller").unwrap_or("null");
        if !expect.caller.contains(&caller) {
            differences.push(format!("caller is {caller}, not {}", expect.caller.join(" or ")));
        }
        let mut leaf_first = text(row, "stack").unwrap_or_default().rsplit(';');
        let top = (leaf_first.next(), leaf_first.next());
        if top != (text(row, "callee"), text(row, "caller")) {
            differences.push(format!("the stack does not end in caller and callee: {top:?}"));
        }
    }

    fn check_place(&self, row: &Row, expect: &Expect, differences: &mut Vec<String>) {
        let cookie = Some(self.netns_cookie).filter(|&cookie| cookie != 0);
        check(row, "netns_id", &json!(self.netns_id), differences);
        check(row, "netns_cookie", &json!(cookie), differences);
        if expect.seen == Seen::Sent {
            let of_socket = expect.sk_state.map(|_| self.netns_id);
            check(row, "socket_netns_id", &json!(of_socket), differences);
        }
    }

    /// The actor where a task acted; null where none did, whatever task was on the CPU.
    fn check_task(
        &self,
        row: &Row,
        expect: &Expect,
        caused: &Caused,
        differences: &mut Vec<String>,
    ) {
        if !expect.task {
            for column in TASK {
                check(row, column, &Json::Null, differences);
            }
            return;
        }
        // An exiting task leaves its namespaces before its files are closed (do_exit).
        let mntns = Some(self.mntns_id).filter(|_| expect.cause != "app_killed_unread");
        check(row, "pid", &json!(caused.pid), differences);
        check(row, "tid", &json!(caused.tid), differences);
        check(row, "comm", &json!(caused.comm), differences);
        // Every actor is root, as we are, and in our mount namespace.
        check(row, "uid", &json!(0), differences);
        check(row, "gid", &json!(0), differences);
        check(row, "mntns_id", &json!(mntns), differences);
    }

    /// Every socket is ours, or that of the process which acts, and each is known by what it did.
    fn check_socket(
        &self,
        row: &Row,
        expect: &Expect,
        caused: &Caused,
        differences: &mut Vec<String>,
    ) {
        let found = value(row, "socket_pid");
        let has_socket = expect.seen == Seen::Sent && expect.sk_state.is_some();
        let is_owner = *found == json!(self.pid) || *found == json!(caused.pid);
        match (found.is_null(), is_owner) {
            (true, _) if has_socket => differences.push("socket_pid is null".to_owned()),
            (true, _) | (false, true) => {}
            (false, false) => {
                differences.push(format!("socket_pid is {found}, an innocent process"))
            }
        }
        // None of them is in a container.
        check(row, "container_id", &Json::Null, differences);
    }
}

fn check(row: &Row, column: &str, expected: &Json, differences: &mut Vec<String>) {
    let found = value(row, column);
    if found != expected {
        differences.push(format!("{column} is {found}, not {expected}"));
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
