//! Numbers as people read and write them.

use std::num::NonZeroUsize;

use bytesize::ByteSize;

/// `1,234,567`.
pub(crate) fn thousands(count: impl TryInto<i64>) -> String {
    let count = count.try_into().unwrap_or(i64::MAX);
    let digits = count.unsigned_abs().to_string();
    let mut text = String::from(if count < 0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 reset`, `2 resets`.
pub(crate) fn counted(count: impl TryInto<i64>, noun: &str) -> String {
    let count = count.try_into().unwrap_or(i64::MAX);
    format!("{} {noun}{}", thousands(count), if count == 1 { "" } else { "s" })
}

/// `12.3 %`; a share that is not zero is not shown as 0.
pub(crate) fn share(part: i64, whole: i64) -> String {
    if whole == 0 {
        return "0 %".to_owned();
    }
    let percent = 100.0 * part as f64 / whole as f64;
    if part > 0 && percent < 0.1 { "less than 0.1 %".to_owned() } else { format!("{percent:.1} %") }
}

/// `1 day 20 h 2 s`; to the second from ten seconds on, and to the millisecond below.
pub(crate) fn length(us: i64) -> String {
    let ms = us.unsigned_abs() / 1_000;
    if ms < 10_000 {
        return format!("{} s", ms as f64 / 1e3);
    }
    let (seconds, days) = (ms / 1_000, ms / 86_400_000);
    let mut parts = Vec::new();
    if days > 0 {
        parts.push(counted(days, "day"));
    }
    for (count, unit) in
        [(seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")]
    {
        if count > 0 {
            parts.push(format!("{count} {unit}"));
        }
    }
    parts.join(" ")
}

/// Parses a number of rows such as that of `--limit`.
pub(crate) fn parse_count(text: &str) -> Result<u32, String> {
    let number = text.parse::<i64>().map_err(|_| "must be a whole number".to_owned())?;
    u32::try_from(number).map_err(|_| format!("must be a number from 0 to {}", u32::MAX))
}

/// Parses a number of which there is at least one.
pub(crate) fn parse_nonzero(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse::<usize>().map_err(|_| "must be a whole number".to_owned())?;
    NonZeroUsize::new(number).ok_or_else(|| "must be at least 1".to_owned())
}

/// Parses a size such as `64MiB`.
pub(crate) fn parse_size(text: &str) -> Result<ByteSize, String> {
    text.parse().map_err(|_| "use a size such as 64MiB or 2GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_read_them() {
        let shown = [0, 999, 1_000, 1_234_567, -1_234_567].map(|count: i64| thousands(count));
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567", "-1,234,567"]);
        assert_eq!(thousands(1_000_usize), "1,000");
        assert_eq!(thousands(u64::MAX), thousands(i64::MAX));
        assert_eq!(counted(1, "reset"), "1 reset");
        assert_eq!(counted(2_000_u64, "row"), "2,000 rows");
        assert_eq!(share(1, 3), "33.3 %");
        assert_eq!(share(1, 100_000), "less than 0.1 %");
    }

    #[test]
    fn lengths_as_people_read_them() {
        let us = [90_000_000, 158_402_500_000, 172_800_000_000, 86_374_000_000];
        assert_eq!(us.map(length), ["1 min 30 s", "1 day 20 h 2 s", "2 days", "23 h 59 min 34 s"]);
        assert_eq!(
            [1_000_000, 1_500_250, 0, 10_500_000].map(length),
            ["1 s", "1.5 s", "0 s", "10 s"]
        );
    }

    #[test]
    fn numbers_as_people_write_them() {
        assert_eq!((parse_count("0"), parse_count("4294967295")), (Ok(0), Ok(u32::MAX)));
        for wrong in ["x", "", "1.5"] {
            assert_eq!(parse_count(wrong), Err("must be a whole number".to_owned()), "{wrong}");
        }
        assert!(parse_count("4294967296").is_err() && parse_count("-1").is_err());
        assert_eq!(parse_nonzero("3"), Ok(NonZeroUsize::MIN.saturating_add(2)));
        assert_eq!(parse_nonzero("0"), Err("must be at least 1".to_owned()));
        assert!(parse_size("lots").is_err() && parse_size("64MiB") == Ok(ByteSize::mib(64)));
    }
}
