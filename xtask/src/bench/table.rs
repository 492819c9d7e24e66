//! The table: a row a measure, a column a tool, and ours against each peer's.

/// One measure.
#[derive(Clone, Debug)]
pub(crate) struct MeasureRow {
    label: &'static str,
    decimals: usize,
    /// Without any tool.
    none: Option<f64>,
    /// In the order of [`super::tool::Tool::ALL`].
    tools: [Option<f64>; 3],
    /// The lowest and the highest value of a round: without any tool, then tool by tool.
    spread: [Option<(f64, f64)>; 4],
}

impl MeasureRow {
    pub(crate) fn new(label: &'static str, decimals: usize, tools: [Option<f64>; 3]) -> Self {
        Self { label, decimals, none: None, tools, spread: [None; 4] }
    }

    pub(crate) fn without_tool(self, none: Option<f64>) -> Self {
        Self { none, ..self }
    }

    /// Adds a line with the lowest and the highest value of a round.
    pub(crate) fn spread(self, spread: [Option<(f64, f64)>; 4]) -> Self {
        Self { spread, ..self }
    }

    /// The second line, where a spread is known.
    fn spread_cells(&self) -> Option<[String; COLUMNS]> {
        self.spread.iter().any(Option::is_some).then(|| {
            let [none, a, b, c] = self.spread.map(|spread| {
                let text = |(low, high)| {
                    let (low, high) = (grouped(low, self.decimals), grouped(high, self.decimals));
                    format!("{low}..{high}")
                };
                spread.map(text).unwrap_or_default()
            });
            ["    lowest..highest".to_owned(), none, a, b, c, String::new(), String::new()]
        })
    }

    fn cells(&self) -> [String; COLUMNS] {
        let number = |value: Option<f64>| match value {
            Some(value) => grouped(value, self.decimals),
            None => "n/a".to_owned(),
        };
        let tool = |index: usize| number(self.tools[index]);
        let ratio = |peer: usize| match (self.tools[0], self.tools[peer]) {
            (Some(ours), Some(theirs)) if theirs > 0.0 => format!("{:.2}", ours / theirs),
            _ => "n/a".to_owned(),
        };
        let none = self.none.map(|none| number(Some(none))).unwrap_or_default();
        [self.label.to_owned(), none, tool(0), tool(1), tool(2), ratio(1), ratio(2)]
    }
}

const COLUMNS: usize = 7;
const HEAD: [&str; COLUMNS] =
    ["", "no tool", "tcprst", "tcpdump", "bpftrace", "tcprst/tcpdump", "tcprst/bpftrace"];

/// The lines of the table.
pub(crate) fn render(rows: &[MeasureRow]) -> Vec<String> {
    let mut lines = vec![HEAD.map(str::to_owned)];
    for row in rows {
        lines.push(row.cells());
        lines.extend(row.spread_cells());
    }
    align(&lines)
}

/// Lines of text in columns: the first to the left, numbers to the right.
pub(crate) fn align<const COLUMNS: usize>(lines: &[[String; COLUMNS]]) -> Vec<String> {
    let width = |column: usize| lines.iter().map(|cells| cells[column].len()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    lines
        .iter()
        .map(|cells| {
            let cells = cells.iter().zip(widths).enumerate();
            let padded: Vec<String> = cells
                .map(|(column, (cell, width))| match column {
                    0 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                })
                .collect();
            padded.join("  ").trim_end().to_owned()
        })
        .collect()
}

/// A number with spaces between thousands.
pub(crate) fn grouped(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = if value < 0.0 { "-".to_owned() } else { String::new() };
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(1234567.0, 0), "1 234 567");
        assert_eq!(grouped(-1234.56, 1), "-1 234.6");
        assert_eq!(grouped(999.0, 0), "999");
    }

    #[test]
    fn a_spread_is_a_second_line_in_the_same_columns() {
        let row = MeasureRow::new("x", 1, [Some(2.0), Some(4.0), None]);
        assert_eq!(render(std::slice::from_ref(&row)).len(), 2);
        let spread = row.spread([None, Some((1.0, 3000.0)), Some((4.0, 4.0)), None]);
        let lines = render(&[spread]);
        assert_eq!(lines.len(), 3);
        let end = |line: usize, text: &str| lines[line].find(text).map(|at| at + text.len());
        assert!(lines[2].trim_start().starts_with("lowest..highest"), "{lines:?}");
        assert_eq!(end(2, "1.0..3 000.0"), end(0, "tcprst"));
        assert_eq!(end(2, "4.0..4.0"), end(0, "tcpdump"));
    }

    #[test]
    fn ratios_are_ours_to_theirs() {
        let row = MeasureRow::new("x", 0, [Some(3.0), Some(4.0), None]);
        let cells = row.cells();
        assert_eq!(cells[2..], ["3", "4", "n/a", "0.75", "n/a"].map(str::to_owned));
    }
}
