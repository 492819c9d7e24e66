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
    /// The value is only a lower bound.
    at_least: [bool; 3],
}

impl MeasureRow {
    pub(crate) fn new(label: &'static str, decimals: usize, tools: [Option<f64>; 3]) -> Self {
        Self { label, decimals, none: None, tools, at_least: [false; 3] }
    }

    pub(crate) fn without_tool(self, none: Option<f64>) -> Self {
        Self { none, ..self }
    }

    pub(crate) fn at_least(self, at_least: [bool; 3]) -> Self {
        Self { at_least, ..self }
    }

    fn cells(&self) -> [String; COLUMNS] {
        let number = |value: Option<f64>| match value {
            Some(value) => grouped(value, self.decimals),
            None => "n/a".to_owned(),
        };
        let tool = |index: usize| {
            let bound = if self.at_least[index] { ">= " } else { "" };
            format!("{bound}{}", number(self.tools[index]))
        };
        // Two lower bounds have no ratio.
        let bound = |peer: usize| match (self.at_least[0], self.at_least[peer]) {
            (false, false) => Some(""),
            (true, false) => Some(">= "),
            (false, true) => Some("<= "),
            (true, true) => None,
        };
        let ratio = |peer: usize| match (self.tools[0], self.tools[peer], bound(peer)) {
            (Some(ours), Some(theirs), Some(bound)) if theirs > 0.0 => {
                format!("{bound}{:.2}", ours / theirs)
            }
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
    lines.extend(rows.iter().map(MeasureRow::cells));
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
            padded.join("  ")
        })
        .collect()
}

/// A number with spaces between thousands.
fn grouped(value: f64, decimals: usize) -> String {
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
    fn ratios_are_ours_to_theirs() {
        let row =
            MeasureRow::new("x", 0, [Some(3.0), Some(4.0), None]).at_least([true, false, false]);
        let cells = row.cells();
        assert_eq!(cells[2..], [">= 3", "4", "n/a", ">= 0.75", "n/a"].map(str::to_owned));
    }
}
