//! Numbers as people read them.

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
}
