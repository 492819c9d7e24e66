//! The queries: the same text for both programs.

/// How the analyzer may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Every row that the question is about has to be looked at.
    Raw,
    /// The rollup has the answer.
    Rollup,
    /// The footers have it, for both sides.
    Footers,
}

impl Group {
    pub(crate) const ALL: [Self; 3] = [Self::Raw, Self::Rollup, Self::Footers];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Group::Raw => "raw",
            Group::Rollup => "rollup",
            Group::Footers => "footers",
        }
    }
}

/// One question.
#[derive(Debug)]
pub(crate) struct BenchQuery {
    pub(crate) name: &'static str,
    pub(crate) group: Group,
    sql: &'static str,
}

/// A placeholder for a value that depends on the data.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    /// A moment in the middle, at a full hour, RFC 3339 without its end.
    pub(crate) hour: String,
    pub(crate) peer: String,
    pub(crate) peer_port: u16,
}

impl BenchQuery {
    /// One line, so that it can be sent as one.
    pub(crate) fn sql(&self, chosen: &Chosen) -> String {
        self.sql
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .replace("{HOUR}", &chosen.hour)
            .replace("{PEER}", &chosen.peer)
            .replace("{PEER_PORT}", &chosen.peer_port.to_string())
    }
}

const fn raw(name: &'static str, sql: &'static str) -> BenchQuery {
    BenchQuery { name, group: Group::Raw, sql }
}

const fn rollup(name: &'static str, sql: &'static str) -> BenchQuery {
    BenchQuery { name, group: Group::Rollup, sql }
}

pub(crate) const QUERIES: &[BenchQuery] = &[
    BenchQuery {
        name: "all resets",
        group: Group::Footers,
        sql: "SELECT count(*) AS n FROM resets",
    },
    rollup("by caller", "SELECT caller, count(*) AS n FROM resets GROUP BY caller"),
    rollup(
        "cause x container x port x hour",
        "SELECT cause, container_name, port, date_trunc('hour', time) AS hour, count(*) AS n
         FROM resets GROUP BY cause, container_name, port, date_trunc('hour', time)",
    ),
    rollup(
        "ten minutes by cause",
        "SELECT cause, count(*) AS n FROM resets
         WHERE time >= '{HOUR}:10:00Z' AND time < '{HOUR}:20:00Z' GROUP BY cause",
    ),
    rollup(
        "one container's causes",
        "SELECT cause, count(*) AS n FROM resets WHERE container_name = 'checkout' GROUP BY cause",
    ),
    rollup(
        "timeline per minute",
        "SELECT date_trunc('minute', time) AS minute, count(*) AS n FROM resets
         GROUP BY date_trunc('minute', time)",
    ),
    raw(
        "ten minutes, not aligned",
        "SELECT cause, count(*) AS n FROM resets
         WHERE time >= '{HOUR}:10:17.25Z' AND time < '{HOUR}:20:17.25Z' GROUP BY cause",
    ),
    raw(
        "top 20 peers",
        "SELECT dst_addr, count(*) AS n FROM resets GROUP BY dst_addr
         ORDER BY n DESC, dst_addr LIMIT 20",
    ),
    raw(
        "distinct peers by container",
        "SELECT container_name, count(DISTINCT dst_addr) AS peers FROM resets
         GROUP BY container_name",
    ),
    raw(
        "needle: one peer and port",
        "SELECT time, cause, src_addr, src_port FROM resets
         WHERE dst_addr = '{PEER}' AND dst_port = {PEER_PORT}",
    ),
    raw(
        "last 100",
        "SELECT time, host, cause, container_name, src_addr, src_port, dst_addr, dst_port
         FROM resets ORDER BY time DESC LIMIT 100",
    ),
    raw(
        "LIKE on stacks",
        "SELECT cause, count(*) AS n FROM resets WHERE stack LIKE '%tcp_keepalive_timer%'
         GROUP BY cause",
    ),
    raw(
        "by answered flags and namespace",
        "SELECT answered_flags, netns_cookie, count(*) AS n FROM resets
         GROUP BY answered_flags, netns_cookie",
    ),
    raw(
        "high ports by cause",
        "SELECT cause, count(*) AS n, max(time) AS latest FROM resets
         WHERE dst_port > 50000 GROUP BY cause",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_query_is_one_line_and_whole() {
        let chosen =
            Chosen { hour: "2026-10-04T14".into(), peer: "10.0.0.1".into(), peer_port: 40_000 };
        for query in QUERIES {
            let sql = query.sql(&chosen);
            assert!(!sql.contains(['\n', '{', ';']), "{sql}");
        }
        assert!(QUERIES.len() >= 10);
    }
}
