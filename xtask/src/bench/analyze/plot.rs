//! A plot with logarithmic axes, as SVG that reads well on light and dark pages.

use std::fmt::Write;

/// One line, in a panel of its own: their units differ.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    pub(crate) points: &'a [(f64, f64)],
}

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 260.0;
/// Room for the numbers at the axes.
const LEFT: f64 = 56.0;
const BELOW: f64 = 44.0;
const ABOVE: f64 = 32.0;
const RIGHT: f64 = 16.0;

/// The panels side by side.
pub(crate) fn svg(x_name: &str, lines: &[Line<'_>]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <style>text{{fill:#333}}.grid{{stroke:#8884}}.line{{stroke:#2563eb;fill:none;\
         stroke-width:2}}.dot{{fill:#2563eb}}@media(prefers-color-scheme:dark){{\
         text{{fill:#ddd}}.line{{stroke:#60a5fa}}.dot{{fill:#60a5fa}}}}</style>\n",
        WIDTH * lines.len() as f64
    );
    for (at, line) in lines.iter().enumerate() {
        panel(&mut svg, WIDTH * at as f64, x_name, line);
    }
    svg.push_str("</svg>\n");
    svg
}

/// Powers of ten around the values.
fn decades(values: impl Iterator<Item = f64> + Clone) -> (i32, i32) {
    let least = values.clone().fold(f64::INFINITY, f64::min).log10().floor() as i32;
    let most = values.fold(f64::NEG_INFINITY, f64::max).log10().ceil() as i32;
    (least, most.max(least + 1))
}

fn panel(svg: &mut String, left: f64, x_name: &str, line: &Line<'_>) {
    let (x_from, x_to) = decades(line.points.iter().map(|point| point.0));
    let (y_from, y_to) = decades(line.points.iter().map(|point| point.1));
    let part =
        |value: f64, from: i32, to: i32| (value.log10() - f64::from(from)) / f64::from(to - from);
    let x = |value: f64| left + LEFT + part(value, x_from, x_to) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BELOW - part(value, y_from, y_to) * (HEIGHT - BELOW - ABOVE);
    let (top, bottom) = (ABOVE, HEIGHT - BELOW);
    // A string takes whatever is written to it.
    let mut put = |text: std::fmt::Arguments<'_>| {
        let _ = svg.write_fmt(text);
        svg.push('\n');
    };
    for power in x_from..=x_to {
        let at = x(10_f64.powi(power));
        put(format_args!("<path class=\"grid\" d=\"M{at:.1} {top}V{bottom}\"/>"));
        let name = short(10_f64.powi(power));
        let under = bottom + 16.0;
        put(format_args!("<text x=\"{at:.1}\" y=\"{under}\" text-anchor=\"middle\">{name}</text>"));
    }
    for power in y_from..=y_to {
        let at = y(10_f64.powi(power));
        let (from, to) = (left + LEFT, left + WIDTH - RIGHT);
        put(format_args!("<path class=\"grid\" d=\"M{from} {at:.1}H{to}\"/>"));
        let (end, base) = (from - 6.0, at + 4.0);
        let name = short(10_f64.powi(power));
        put(format_args!("<text x=\"{end}\" y=\"{base:.1}\" text-anchor=\"end\">{name}</text>"));
    }
    let points: Vec<String> =
        line.points.iter().map(|point| format!("{:.1} {:.1}", x(point.0), y(point.1))).collect();
    put(format_args!("<path class=\"line\" d=\"M{}\"/>", points.join("L")));
    for point in line.points {
        let (x, y) = (x(point.0), y(point.1));
        put(format_args!("<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>"));
    }
    let middle = left + (LEFT + WIDTH - RIGHT) / 2.0;
    let name = line.name;
    put(format_args!("<text x=\"{middle}\" y=\"18\" text-anchor=\"middle\">{name}</text>"));
    let last = HEIGHT - 8.0;
    put(format_args!("<text x=\"{middle}\" y=\"{last}\" text-anchor=\"middle\">{x_name}</text>"));
}

fn short(value: f64) -> String {
    match value {
        1e9.. => format!("{} G", value / 1e9),
        1e6.. => format!("{} M", value / 1e6),
        1e4.. => format!("{} k", value / 1e3),
        _ => format!("{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_drawn_inside_its_panel() {
        let points = [(1e6, 0.02), (1e8, 0.3)];
        let line = || Line { name: "seconds", points: &points };
        let svg = svg("resets", &[line(), line()]);
        assert_eq!(svg.matches("<circle").count(), 4);
        assert!(svg.contains(">100 M</text>") && svg.contains(">0.01</text>"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }
}
