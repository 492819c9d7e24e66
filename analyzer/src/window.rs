//! `--since` and `--until`: parses times that people write into a window. All times are UTC, as in
//! the recording.

use chrono::{DateTime, Days, Duration, NaiveDate, NaiveTime, SecondsFormat, Timelike as _, Utc};
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::scalar::ScalarValue;

/// The forms of time that `--since` and `--until` accept.
const FORMS: &str = "2h, 90m, 3d, now, today, yesterday, 'yesterday 14:00', 14:00, \
                     2026-11-25, '2026-11-25 14:00' or RFC 3339, all in UTC";

/// The reason why the arguments do not form a window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    #[error("invalid time '{0}': use {FORMS}")]
    Time(String),
    #[error("the window is empty: it starts at {since} and ends at {until}")]
    Empty { since: String, until: String },
    #[error("invalid window '{0}': write it as SINCE..UNTIL, as in yesterday..today")]
    Span(String),
    #[error("invalid length of time '{0}': write it like 5m or 1h")]
    Length(String),
    #[error("the length of time '{0}' needs a unit: 10s, 5m or 1h")]
    NoUnit(String),
}

/// A time range of the recording; a missing end is the end of the recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    pub since: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
}

impl Window {
    /// Parses `--since` and `--until`.
    pub(crate) fn parse(
        since: Option<&str>,
        until: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Self, WindowError> {
        let time = |text: Option<&str>| text.map(|text| parse_time(text, now)).transpose();
        Self::between(time(since)?, time(until)?)
    }

    /// Parses `SINCE..UNTIL`.
    pub(crate) fn parse_span(text: &str, now: DateTime<Utc>) -> Result<Self, WindowError> {
        let (since, until) = text.split_once("..").ok_or_else(|| WindowError::Span(shown(text)))?;
        Self::between(Some(parse_time(since, now)?), Some(parse_time(until, now)?))
    }

    fn between(
        since: Option<DateTime<Utc>>,
        until: Option<DateTime<Utc>>,
    ) -> Result<Self, WindowError> {
        match (since, until) {
            (Some(since), Some(until)) if since >= until => {
                Err(WindowError::Empty { since: text(since), until: text(until) })
            }
            _ => Ok(Self { since, until }),
        }
    }

    /// The part of a recording that it is.
    pub(crate) fn place(&self) -> &'static str {
        if self.is_whole() { "this recording" } else { "this window" }
    }

    /// Whether the window is the whole recording.
    pub(crate) fn is_whole(&self) -> bool {
        *self == Self::default()
    }

    /// SQL conditions on a time column.
    pub(crate) fn on(&self, column: &str) -> Vec<String> {
        self.since
            .map(|since| format!("{column} >= {}", sql(since)))
            .into_iter()
            .chain(self.until.map(|until| format!("{column} < {}", sql(until))))
            .collect()
    }

    /// SQL conditions for intervals that overlap the window. A null `to` means not ended yet.
    pub(crate) fn overlapping(&self, from: &str, to: &str) -> Vec<String> {
        self.since
            .map(|since| format!("({to} is null or {to} >= {})", sql(since)))
            .into_iter()
            .chain(self.until.map(|until| format!("{from} < {}", sql(until))))
            .collect()
    }

    /// The same conditions as an expression, for views.
    pub(crate) fn filter(&self, from: &str, to: &str) -> Option<Expr> {
        let time = |time: DateTime<Utc>| {
            lit(ScalarValue::TimestampMicrosecond(
                Some(time.timestamp_micros()),
                Some("UTC".into()),
            ))
        };
        let since = self.since.map(|since| col(to).gt_eq(time(since)));
        let until = self.until.map(|until| col(from).lt(time(until)));
        since.into_iter().chain(until).reduce(Expr::and)
    }
}

/// A time as text for people.
pub(crate) fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// A time as an SQL literal that other programs read the same way.
pub(crate) fn sql(time: DateTime<Utc>) -> String {
    format!("timestamptz '{}'", text(time))
}

/// Text of the user, made safe for a terminal.
fn shown(text: &str) -> String {
    text.chars().take(60).collect::<String>().escape_debug().to_string()
}

/// Parses a point in time.
pub(crate) fn parse_time(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, WindowError> {
    let lower = text.trim().to_lowercase();
    relative(&lower, now)
        .or_else(|| on_a_day(&lower, now))
        .or_else(|| absolute(text.trim()))
        .ok_or_else(|| WindowError::Time(shown(text)))
}

/// `2h`: this long ago, rounded down to the minute, so that counts per minute can answer and two
/// consecutive reports cover the same time.
fn relative(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let ago = match text {
        "now" => Duration::zero(),
        _ => parse_length(text.strip_suffix("ago").unwrap_or(text).trim()).ok()?,
    };
    now.checked_sub_signed(ago)?.with_second(0)?.with_nanosecond(0)
}

/// Parses a length of time such as `5m` or `1h 30m`.
pub(crate) fn parse_length(text: &str) -> Result<Duration, WindowError> {
    // A number without a unit is ambiguous, but humantime accepts `0`.
    let length = humantime::parse_duration(text)
        .ok()
        .filter(|_| text.ends_with(|last: char| last.is_alphabetic()))
        .and_then(|length| Duration::from_std(length).ok());
    length.ok_or_else(|| {
        let is_digit = |c: char| c.is_ascii_digit();
        if text.starts_with(is_digit) && text.ends_with(is_digit) {
            WindowError::NoUnit(shown(text))
        } else {
            WindowError::Length(shown(text))
        }
    })
}

/// `yesterday 14:00`, `today`, `14:00`.
fn on_a_day(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let (day, clock) = match text.split_once(' ') {
        Some((day, clock)) => (day, Some(clock.trim())),
        None if text.contains(':') => ("today", Some(text)),
        None => (text, None),
    };
    let today = now.date_naive();
    let day = match day {
        "today" => today,
        "yesterday" => today.checked_sub_days(Days::new(1))?,
        _ => return None,
    };
    let clock = clock.map_or(Some(NaiveTime::MIN), parse_clock)?;
    Some(day.and_time(clock).and_utc())
}

fn parse_clock(text: &str) -> Option<NaiveTime> {
    ["%H:%M", "%H:%M:%S%.f"].iter().find_map(|form| NaiveTime::parse_from_str(text, form).ok())
}

/// `2026-11-25`, `2026-11-25 14:00`, RFC 3339.
fn absolute(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    let text = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let (day, clock) = match text.split_once([' ', 'T', 't']) {
        Some((day, clock)) => (day, parse_clock(clock.trim())?),
        None => (text, NaiveTime::MIN),
    };
    let day = NaiveDate::parse_from_str(day, "%Y-%m-%d").ok()?;
    Some(day.and_time(clock).and_utc())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::parse_from_rfc3339("2026-11-26T02:03:04.567891Z").unwrap().to_utc()
    }

    fn parsed(form: &str) -> String {
        text(parse_time(form, now()).unwrap())
    }

    #[test]
    fn every_form_is_understood() {
        for (form, expected) in [
            ("2h", "2026-11-26T00:03:00Z"),
            ("90m", "2026-11-26T00:33:00Z"),
            ("3d", "2026-11-23T02:03:00Z"),
            ("1h30m", "2026-11-26T00:33:00Z"),
            ("1h 30m ago", "2026-11-26T00:33:00Z"),
            ("5s", "2026-11-26T02:02:00Z"),
            ("now", "2026-11-26T02:03:00Z"),
            ("today", "2026-11-26T00:00:00Z"),
            ("Yesterday", "2026-11-25T00:00:00Z"),
            ("yesterday 14:00", "2026-11-25T14:00:00Z"),
            ("today 01:02:03", "2026-11-26T01:02:03Z"),
            (" 14:00 ", "2026-11-26T14:00:00Z"),
            ("2026-11-25", "2026-11-25T00:00:00Z"),
            ("2026-11-25 14:00", "2026-11-25T14:00:00Z"),
            ("2026-11-25 14:00:05", "2026-11-25T14:00:05Z"),
            ("2026-11-25T14:00:05.25", "2026-11-25T14:00:05.250Z"),
            ("2026-11-25 14:00Z", "2026-11-25T14:00:00Z"),
            ("2026-11-25T14:00:05Z", "2026-11-25T14:00:05Z"),
            ("2026-11-25T14:00:05+02:00", "2026-11-25T12:00:05Z"),
            ("2026-11-25 14:00:05+02:00", "2026-11-25T12:00:05Z"),
            ("2026-11-25T14:00:05.123456Z", "2026-11-25T14:00:05.123456Z"),
        ] {
            assert_eq!(parsed(form), expected, "{form}");
        }
    }

    #[test]
    fn anything_else_is_one_line_with_the_forms() {
        for form in [
            "",
            "2",
            "0",
            "h",
            "2x",
            "tomorrow",
            "25:00",
            "2026-13-01",
            "yesterday noon",
            "\u{1b}[2J",
        ] {
            let error = parse_time(form, now()).unwrap_err().to_string();
            assert!(error.contains("yesterday 14:00") && error.contains("UTC"), "{error}");
            assert!(!error.contains(['\n', '\u{1b}']), "{error}");
        }
    }

    #[test]
    fn a_window_must_not_be_empty() {
        assert!(Window::parse(Some("1h"), Some("2h"), now()).is_err());
        assert!(Window::parse(Some("now"), Some("now"), now()).is_err());
        assert!(Window::parse_span("today..yesterday", now()).is_err());
        assert!(Window::parse_span("today", now()).is_err());
        let window = Window::parse_span("yesterday..today", now()).unwrap();
        assert_eq!(
            window.on("time").join(" and "),
            "time >= timestamptz '2026-11-25T00:00:00Z' and time < timestamptz '2026-11-26T00:00:00Z'"
        );
        assert!(Window::parse(None, None, now()).unwrap().is_whole());
    }
}
