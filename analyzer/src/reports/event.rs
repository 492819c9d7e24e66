//! One recorded reset: the key that a user gives, and its row in sentences.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, Duration, NaiveDate, NaiveTime, Utc};
use tcprst_schema::cause::UNKNOWN;
use tcprst_schema::classify::is_key_frame;

use super::prose::Prose;
use super::{explanation, literal};
use crate::error::Error;
use crate::functions::EvidenceColumns;
use crate::window;

/// The columns that the explanation of an event reads.
#[rustfmt::skip]
pub(crate) const COLUMNS: &[&str] = &[
    "time", "boot_ns", "host", "cpu", "seq", "direction", "cause", "blame", "callee", "caller",
    "stack", "reason", "sk_state", "sk_flags", "answered_flags", "context", "src_addr", "src_port",
    "dst_addr", "dst_port", "pid", "comm", "uid", "socket_pid", "socket_comm", "socket_act",
    "socket_uid", "container_name", "container_id", "container_image", "k8s_namespace", "k8s_pod",
    "attribution", "dst_container_name", "netns_id", "past", "past_time", "first_cpu", "first_seq",
    "accept_queue", "accept_queue_limit",
];

/// Conditions for a key: `HOST:CPU:SEQ`, `CPU:SEQ`, nanoseconds since boot, or the time to the
/// second or microsecond. `None` for anything else.
pub(crate) fn conditions(key: &str) -> Option<Vec<String>> {
    let parts: Vec<&str> = key.split(':').collect();
    let whole = |text: &str| text.parse::<u64>().ok().filter(|_| !text.starts_with('+'));
    if let Some(boot_ns) = whole(key) {
        return Some(vec![format!("boot_ns = {boot_ns}")]);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(key) {
        return Some(at(time.to_utc()));
    }
    let (host, cpu, seq) = match parts[..] {
        [cpu, seq] => (None, whole(cpu)?, whole(seq)?),
        [host, cpu, seq] if !host.is_empty() => (Some(host), whole(cpu)?, whole(seq)?),
        _ => return None,
    };
    let host = host.map(|host| format!("host = {}", literal(host)));
    Some(host.into_iter().chain([format!("cpu = {cpu}"), format!("seq = {seq}")]).collect())
}

/// Whether a key was meant as a time but is not one: it lacks the seconds, the zone or the day.
pub(crate) fn is_like_time(key: &str) -> bool {
    let day = key.get(..10).unwrap_or_default();
    let has_day = NaiveDate::parse_from_str(day, "%Y-%m-%d").is_ok();
    let is_clock = NaiveTime::parse_from_str(key, "%H:%M:%S%.f").is_ok();
    (has_day || is_clock) && DateTime::parse_from_rfc3339(key).is_err()
}

/// The microsecond that the key names, or the whole second.
fn at(time: DateTime<Utc>) -> Vec<String> {
    let length = match time.timestamp_subsec_nanos() {
        0 => Duration::seconds(1),
        _ => Duration::microseconds(1),
    };
    window::Window { since: Some(time), until: Some(time + length) }.on("time")
}

/// A row as text by column name, without nulls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Event(HashMap<String, String>);

impl Event {
    /// The rows of a result.
    pub(crate) fn from_batches(batches: &[RecordBatch]) -> Result<Vec<Self>, Error> {
        let options = FormatOptions::default();
        let mut events = Vec::new();
        for batch in batches {
            let schema = batch.schema();
            let columns = batch
                .columns()
                .iter()
                .map(|column| ArrayFormatter::try_new(column, &options))
                .collect::<Result<Vec<_>, _>>()?;
            for row in 0..batch.num_rows() {
                let mut values = HashMap::new();
                for (field, (column, text)) in
                    schema.fields().iter().zip(batch.columns().iter().zip(&columns))
                {
                    if !column.is_null(row) {
                        values.insert(field.name().clone(), text.value(row).try_to_string()?);
                    }
                }
                events.push(Self(values));
            }
        }
        Ok(events)
    }

    fn get(&self, column: &str) -> Option<&str> {
        self.0.get(column).map(String::as_str)
    }

    /// A count; 0 if it is null.
    pub(crate) fn int(&self, column: &str) -> i64 {
        self.get(column).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// A value; `-` if it is null.
    pub(crate) fn text(&self, column: &str) -> &str {
        self.or(column, "-")
    }

    fn or<'a>(&'a self, column: &str, otherwise: &'a str) -> &'a str {
        self.get(column).unwrap_or(otherwise)
    }

    fn address(&self, side: &str) -> String {
        let address = self.or(&format!("{side}_addr"), "an unknown address");
        let port = self.get(&format!("{side}_port"));
        match port {
            Some(port) if address.contains(':') => format!("[{address}]:{port}"),
            Some(port) => format!("{address}:{port}"),
            None => address.to_owned(),
        }
    }

    /// The event as one line of a list.
    pub(crate) fn line(&self) -> String {
        format!(
            "{} {}:{}:{}  {}  {} -> {}",
            self.or("time", "-"),
            self.or("host", "-"),
            self.or("cpu", "-"),
            self.or("seq", "-"),
            self.or("cause", "-"),
            self.address("src"),
            self.address("dst"),
        )
    }

    /// The whole explanation.
    pub(crate) fn explain(&self) -> Prose {
        let proven = self.evidence().prove();
        let name = self.or("cause", UNKNOWN);
        let cause = explanation::check_cause(name).ok().flatten();
        let mut prose = Prose::default();
        prose.add(
            "Event",
            vec![format!(
                "{} on host {}, CPU {}, number {} ({} ns since boot).",
                self.or("time", "-"),
                self.or("host", "-"),
                self.or("cpu", "-"),
                self.or("seq", "-"),
                self.or("boot_ns", "-"),
            )],
        );
        let mut happened = vec![format!("{name}: {}", explanation::meaning(cause)), self.flow()];
        let today = proven.map_or(UNKNOWN, |(cause, _)| cause.name);
        if today != name && self.get("past") != Some("reset") {
            happened.push(format!("By the rules of this program it would be {today}."));
        }
        prose.add("What happened", happened);

        let mut evidence = Vec::new();
        if let Some(stack) = self.get("stack") {
            evidence.push(
                "The kernel's stack; the last frame sent the RST, > marks the frames of the proof:"
                    .to_owned(),
            );
            for frame in stack.split(';') {
                let is_key = proven.is_some_and(|(_, proof)| is_key_frame(proof, frame));
                evidence.push(format!("{} {frame}", if is_key { ">" } else { " " }));
            }
        }
        for (column, title) in [
            ("reason", "The kernel's reason"),
            ("sk_state", "State of the socket before"),
            ("sk_flags", "Flags of the socket"),
            ("answered_flags", "Flags of the answered segment"),
        ] {
            if let Some(value) = self.get(column).filter(|value| !value.is_empty()) {
                evidence.push(format!("{title}: {value}."));
            }
        }
        if let Some((queue, limit)) =
            self.number("accept_queue").zip(self.number("accept_queue_limit"))
        {
            evidence.push(format!(
                "The listener's accept queue: {queue} waiting, {} may.",
                limit.saturating_add(1)
            ));
        }
        evidence.extend(self.past());
        evidence.extend(self.get("context").map(context));
        prose.add("Evidence", evidence);
        prose.add("Who acted", self.who(cause.and_then(|cause| cause.blame)));
        prose.add("Check next", vec![explanation::check(cause).to_owned()]);
        prose
    }

    fn evidence(&self) -> EvidenceColumns<'_> {
        EvidenceColumns {
            stack: self.get("stack"),
            reason: self.get("reason"),
            sk_state: self.get("sk_state"),
            sk_flags: self.get("sk_flags"),
            answered_flags: self.get("answered_flags"),
            past: self.get("past"),
            accept_queue: self.number("accept_queue").zip(self.number("accept_queue_limit")),
        }
    }

    fn number(&self, column: &str) -> Option<i64> {
        self.get(column)?.parse().ok()
    }

    /// What this host remembered of the connection.
    fn past(&self) -> Option<String> {
        let when = self.get("past_time").map_or(String::new(), |time| format!(", {time}"));
        Some(match self.get("past")? {
            "reset" => format!(
                "This host had reset the connection before (event {}:{}{when}): this RST answers a \
                 segment that came after that, and has the cause of that event.",
                self.or("first_cpu", "-"),
                self.or("first_seq", "-"),
            ),
            "gave_up" => format!("This host had given the connection up in silence{when}."),
            "abandoned" => format!("This host had given its connect() up{when}."),
            "fin_wait2" => format!("This host had closed its side of the connection{when}."),
            "peer_reset" => format!("The peer itself had reset the connection{when}."),
            "listener_closed" => {
                format!("The listener was closed with handshakes under way{when}.")
            }
            other => format!("The connection's past: {other}{when}."),
        })
    }

    fn flow(&self) -> String {
        let (from, to) = (self.address("src"), self.address("dst"));
        let mut text = match self.get("direction") {
            Some("received") => format!("This host received a RST from {from} to {to}"),
            Some("icmp") => {
                format!(
                    "No RST: an ICMP error in the name of {from} refused the segment that {to} sent"
                )
            }
            _ => format!("The RST went from {from} to {to}"),
        };
        if let Some(name) = self.get("dst_container_name") {
            text.push_str(&format!(" (container {name} of this host)"));
        }
        text.push('.');
        text
    }

    fn who(&self, blame: Option<tcprst_schema::cause::Blame>) -> Vec<String> {
        let mut sentences = vec![explanation::who(blame)];
        let process = |pid: &str, comm: &str| Some((self.get(pid)?, self.or(comm, "?")));
        if let Some((pid, comm)) = process("pid", "comm") {
            let uid = self.get("uid").map_or(String::new(), |uid| format!(", user {uid}"));
            sentences.push(format!("The process that acted: {comm} (pid {pid}{uid})."));
        } else {
            sentences.push("No process acted: the kernel acted by itself.".to_owned());
        }
        if let Some((pid, comm)) = process("socket_pid", "socket_comm") {
            let act = match self.get("socket_act") {
                Some("connect") => ", which connected it",
                Some("accept") => ", which accepted it",
                Some("listen") => ", which listens on the port",
                _ => "",
            };
            sentences.push(format!("The socket belongs to {comm} (pid {pid}{act})."));
        }
        if let Some(container) = self.get("container_name").or(self.get("container_id")) {
            let image = self.get("container_image").map(|image| format!(", image {image}"));
            let found = match self.get("attribution") {
                Some("socket") => "by the socket's cgroup",
                Some("timewait") => "by the socket before TIME_WAIT",
                _ => "by the network namespace",
            };
            sentences.push(format!("Container {container}{}, {found}.", image.unwrap_or_default()));
        }
        if let Some(pod) = self.get("k8s_pod") {
            sentences.push(match self.get("k8s_namespace") {
                Some(namespace) => format!("Pod {namespace}/{pod}."),
                None => format!("Pod {pod}."),
            });
        }
        sentences
    }
}

/// The context in which the kernel acted.
fn context(name: &str) -> String {
    match name {
        "task" => "The kernel acted in a system call, or when a process ended.".to_owned(),
        "packet" => "The kernel acted on an incoming segment.".to_owned(),
        "timer" => "The kernel acted because a timer expired.".to_owned(),
        "worker" => "A kernel thread acted on behalf of another task.".to_owned(),
        other => format!("The kernel acted in the context {other}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_key() {
        for (key, expected) in [
            ("web-1:0:17", Some("host = 'web-1' and cpu = 0 and seq = 17")),
            ("a'b:0:17", Some("host = 'a''b' and cpu = 0 and seq = 17")),
            ("3:17", Some("cpu = 3 and seq = 17")),
            ("123456789", Some("boot_ns = 123456789")),
            (
                "2026-11-25T14:00:00.000001Z",
                Some(
                    "time >= timestamptz '2026-11-25T14:00:00.000001Z' and \
                     time < timestamptz '2026-11-25T14:00:00.000002Z'",
                ),
            ),
            (
                "2026-11-25T14:00:00Z",
                Some(
                    "time >= timestamptz '2026-11-25T14:00:00Z' and \
                     time < timestamptz '2026-11-25T14:00:01Z'",
                ),
            ),
            ("timewait", None),
            ("a:b", None),
            (":1:2", None),
            ("1:2:3:4", None),
            ("-1:2", None),
        ] {
            let conditions = conditions(key).map(|all| all.join(" and "));
            assert_eq!(conditions.as_deref(), expected, "{key}");
        }
    }

    #[test]
    fn a_time_that_is_not_complete() {
        for key in [
            "2026-11-25",
            "2026-11-25 14:00",
            "2026-11-25T14:00",
            "2026-11-25T14:00:05",
            "14:00:05",
        ] {
            assert!(is_like_time(key), "{key}");
        }
        for key in ["2026-11-25T14:00:05Z", "web-1:0:17", "3:17", "123456789", "timewait", "é"] {
            assert!(!is_like_time(key), "{key}");
        }
    }
}
