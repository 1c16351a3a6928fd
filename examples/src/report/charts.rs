//! Charts as inline SVG: no script, no network, readable in print.

use std::fmt::Write;

/// Colours of series, distinguishable with the common colour deficiencies (Okabe and Ito's palette).
pub(crate) const COLOURS: [&str; 7] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 40.0;
const TOP: f64 = 12.0;
const RIGHT: f64 = 26.0;

/// A named line.
pub(crate) struct Series<'a> {
    pub(crate) name: String,
    pub(crate) colour: &'a str,
    pub(crate) dashed: bool,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Maps data to the plot area.
struct Axes {
    x: (f64, f64),
    y: (f64, f64),
}

impl Axes {
    fn x(&self, value: f64) -> f64 {
        LEFT + (value - self.x.0) / (self.x.1 - self.x.0).max(f64::MIN_POSITIVE) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT
            - BOTTOM
            - (value - self.y.0) / (self.y.1 - self.y.0).max(f64::MIN_POSITIVE) * (HEIGHT - BOTTOM - TOP)
    }

    fn frame(&self, x_label: &str, y_label: &str) -> String {
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{y_label} over {x_label}\">"
        );
        for tick in ticks(self.y) {
            let y = self.y(tick);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                number(tick)
            );
        }
        for tick in ticks(self.x) {
            let x = self.x(tick);
            let _ = write!(
                svg,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                HEIGHT - BOTTOM + 16.0,
                number(tick)
            );
        }
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{1}\" y2=\"{1}\"/>\
             <text class=\"label\" x=\"{2}\" y=\"{3}\" text-anchor=\"middle\">{x_label}</text>\
             <text class=\"label\" transform=\"translate(13 {4}) rotate(-90)\" text-anchor=\"middle\">{y_label}</text>",
            WIDTH - RIGHT,
            HEIGHT - BOTTOM,
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 6.0,
            (TOP + HEIGHT - BOTTOM) / 2.0
        );
        svg
    }
}

/// Line chart with a legend above it.
pub(crate) fn lines(series: &[Series<'_>], x_label: &str, y_label: &str) -> String {
    let all = || series.iter().flat_map(|series| series.points.iter());
    let Some(axes) = bounds(all()) else {
        return "<p class=\"note\">Nothing to draw.</p>".to_owned();
    };
    let mut svg = axes.frame(x_label, y_label);
    let mut legend = String::from("<div class=\"legend\">");
    for line in series {
        let dash = if line.dashed { " stroke-dasharray=\"5 4\"" } else { "" };
        let points: Vec<String> =
            line.points.iter().map(|&(x, y)| format!("{:.1},{:.1}", axes.x(x), axes.y(y))).collect();
        let _ = write!(
            svg,
            "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"2\"{dash} points=\"{}\"/>",
            line.colour,
            points.join(" ")
        );
        // A line through one point cannot be seen.
        if let [(x, y)] = line.points[..] {
            let (x, y) = (axes.x(x), axes.y(y));
            let _ = write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{}\"/>", line.colour);
        }
        // Further lines of the same thing have no name of their own.
        if !line.name.is_empty() {
            let style = if line.dashed { "dashed" } else { "solid" };
            let _ = write!(
                legend,
                "<span><i style=\"border-top:2px {style} {}\"></i>{}</span>",
                line.colour, line.name
            );
        }
    }
    svg.push_str("</svg>");
    legend.push_str("</div>");
    format!("<figure>{legend}{svg}</figure>")
}

/// Histogram of values in `[0, 1]` with a mark at their mean.
pub(crate) fn share_histogram(values: &[f32], x_label: &str) -> String {
    const BINS: usize = 40;
    let mut counts = vec![0; BINS];
    for &value in values {
        counts[((f64::from(value) * BINS as f64) as usize).min(BINS - 1)] += 1;
    }
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64;
    counted_histogram(&counts, mean, x_label)
}

/// Histogram of counts in equal bins of `[0, 1]` with a mark at `mean`.
pub(crate) fn counted_histogram(counts: &[u64], mean: f64, x_label: &str) -> String {
    let most = counts.iter().copied().max().unwrap_or(0);
    if most == 0 {
        return "<p class=\"note\">Nothing to draw.</p>".to_owned();
    }
    let bins = counts.len() as f64;
    let axes = Axes { x: (0.0, 1.0), y: (0.0, most as f64) };
    let mut svg = axes.frame(x_label, "soft tokens");
    for (bin, &count) in counts.iter().enumerate() {
        let (left, right) = (axes.x(bin as f64 / bins), axes.x((bin + 1) as f64 / bins));
        let top = axes.y(count as f64);
        let _ = write!(
            svg,
            "<rect x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"/>",
            left + 0.5,
            right - left - 1.0,
            HEIGHT - BOTTOM - top,
            COLOURS[0]
        );
    }
    let x = axes.x(mean);
    let _ = write!(
        svg,
        "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{}\" stroke=\"{}\" stroke-width=\"2\"/>\
         <text x=\"{:.1}\" y=\"{}\">mean {mean:.3}</text></svg>",
        HEIGHT - BOTTOM,
        COLOURS[1],
        x + 6.0,
        TOP + 12.0
    );
    format!("<figure>{svg}</figure>")
}

/// One row of an interval chart.
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) colour: &'static str,
}

/// Values with their intervals, one row each, on a common scale.
pub(crate) fn intervals(bars: &[Bar], label: &str) -> String {
    let low = bars.iter().map(|bar| bar.low).fold(f64::INFINITY, f64::min);
    let high = bars.iter().map(|bar| bar.high).fold(f64::NEG_INFINITY, f64::max);
    if !(low.is_finite() && high.is_finite()) {
        return String::new();
    }
    let margin = (high - low).max(1e-6) * 0.08;
    let (low, high) = (low - margin, high + margin);
    // A character of the page's 13 px type is about 7 px wide.
    let longest = bars.iter().map(|bar| bar.name.chars().count()).max().unwrap_or(0);
    let (left, row) = ((16.0 + 7.2 * longest as f64).clamp(90.0, 300.0), 26.0);
    let height = row * bars.len() as f64 + 26.0;
    let x = |value: f64| left + (value - low) / (high - low) * (WIDTH - left - 80.0);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{label}\">");
    for (index, bar) in bars.iter().enumerate() {
        let y = row * index as f64 + 16.0;
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{}\" stroke-width=\"3\"/>\
             <circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{}\"/>\
             <text x=\"{}\" y=\"{:.1}\">{}</text>",
            left - 8.0,
            y + 4.0,
            bar.name,
            x(bar.low),
            x(bar.high),
            bar.colour,
            x(bar.value),
            bar.colour,
            WIDTH - 70.0,
            y + 4.0,
            number(bar.value)
        );
    }
    let _ = write!(
        svg,
        "<text class=\"label\" x=\"{left}\" y=\"{:.1}\">{label}, with 95 % bootstrap intervals</text></svg>",
        height - 4.0
    );
    format!("<figure>{svg}</figure>")
}

fn bounds<'a>(points: impl Iterator<Item = &'a (f64, f64)>) -> Option<Axes> {
    let mut axes: Option<Axes> = None;
    for &(x, y) in points {
        let axes = axes.get_or_insert(Axes { x: (x, x), y: (y, y) });
        axes.x = (axes.x.0.min(x), axes.x.1.max(x));
        axes.y = (axes.y.0.min(y), axes.y.1.max(y));
    }
    axes.map(|axes| Axes { x: (0f64.min(axes.x.0), axes.x.1), y: (0f64.min(axes.y.0), axes.y.1 * 1.05) })
}

/// About five round numbers inside a range.
fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    let span = (high - low).max(f64::MIN_POSITIVE);
    let raw = span / 5.0;
    let scale = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|m| m * scale).find(|&s| s >= raw).unwrap_or(raw);
    let first = (low / step).ceil() as i64;
    (first..).map(|n| n as f64 * step).take_while(|&tick| tick <= high + step * 1e-9).take(12).collect()
}

fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 || value == value.trunc() => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside_the_range() {
        assert_eq!(ticks((0.0, 10.0)), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        let ticks = ticks((0.13, 0.87));
        assert!(ticks.len() >= 3 && ticks.iter().all(|&t| (0.13..=0.87).contains(&t)), "{ticks:?}");
    }

    #[test]
    fn long_names_have_room_beside_their_intervals() {
        let bar = |name: &str| Bar { name: name.into(), value: 1.0, low: 0.5, high: 1.5, colour: COLOURS[0] };
        let end = |name: &str| {
            let svg = intervals(&[bar(name)], "bleu");
            let (_, after) = svg.split_once("<text x=\"").unwrap();
            after.split('"').next().unwrap().parse::<f64>().unwrap()
        };
        assert!(end("semantic, MLP 1×256") > 7.0 * 19.0 && end("cf") < 90.0);
    }

    #[test]
    fn a_single_point_and_no_point_draw_without_nan() {
        let series = |points| Series { name: "a".into(), colour: COLOURS[0], dashed: false, points };
        let one = lines(&[series(vec![(1.0, 1.0)])], "x", "y");
        assert!(!one.contains("NaN") && one.contains("<circle"), "{one}");
        assert!(lines(&[series(vec![])], "x", "y").contains("Nothing"));
        assert!(!share_histogram(&[0.0, 1.0], "x").contains("NaN"));
    }
}
