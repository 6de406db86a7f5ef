//! Draws lines as SVG, to stand in a page.
//!
//! Knows axes and points; must not know what they mean.

use std::fmt::Write as _;

/// A chart.
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x: String,
    pub(crate) y: String,
    /// Equal steps for equal factors.
    pub(crate) logarithmic: bool,
    pub(crate) lines: Vec<Line>,
}

/// A line in it.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
    /// Of a second result.
    pub(crate) dashed: bool,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 40.0;
const LEGEND: f64 = 16.0;
/// Told apart also by those who do not see all colours (Okabe and Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"];
const TICKS: usize = 5;

impl Chart {
    /// The drawing; nothing if there is no point.
    pub(crate) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points).filter(|point| self.shows(point));
        if points().next().is_none() {
            return String::new();
        }
        let x_max = points().fold(0.0, |most: f64, (x, _)| most.max(*x)).max(1e-9);
        let y_max = points().fold(0.0, |most: f64, (_, y)| most.max(*y)).max(1e-9);
        let y_min = points().fold(y_max, |least: f64, (_, y)| least.min(*y));
        let scale = Scale::new(self.logarithmic, y_min, y_max, x_max);
        let height = HEIGHT + LEGEND * self.lines.len() as f64;
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\"><title>{0}</title><text x=\"{LEFT}\" y=\"16\" \
             class=\"title\">{0}</text>",
            escape(&self.title)
        );
        self.axes(&mut svg, &scale);
        for (number, line) in self.lines.iter().enumerate() {
            self.line(&mut svg, &scale, number, line);
        }
        svg.push_str("</svg>");
        svg
    }

    fn shows(&self, (x, y): &(f64, f64)) -> bool {
        x.is_finite() && y.is_finite() && (!self.logarithmic || *y > 0.0)
    }

    fn axes(&self, svg: &mut String, scale: &Scale) {
        for (value, y) in scale.y_ticks() {
            let (end, label) = (WIDTH - RIGHT, LEFT - 6.0);
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{end}\"/><text class=\"left\" x=\"{label}\" y=\"{:.1}\">{}</text>",
                y + 4.0,
                number(value)
            );
        }
        for step in 0..=TICKS {
            let value = scale.x_max * step as f64 / TICKS as f64;
            let _ = write!(
                svg,
                "<text class=\"below\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                scale.x(value),
                HEIGHT - BOTTOM + 16.0,
                number(value)
            );
        }
        let (x, y) = (escape(&self.x), escape(&self.y));
        let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
        let _ = write!(svg, "<text class=\"below\" x=\"{middle}\" y=\"{:.1}\">{x}</text>", HEIGHT - BOTTOM + 32.0);
        let _ = write!(svg, "<text class=\"left\" x=\"{:.1}\" y=\"16\">{y}</text>", WIDTH - RIGHT);
    }

    fn line(&self, svg: &mut String, scale: &Scale, number: usize, line: &Line) {
        let colour = COLOURS[number % COLOURS.len()];
        let dashes = if line.dashed { " stroke-dasharray=\"5 4\"" } else { "" };
        let mut path = String::new();
        let mut pen = 'M';
        for point in &line.points {
            if self.shows(point) {
                let _ = write!(path, "{pen}{:.1} {:.1}", scale.x(point.0), scale.y(point.1));
                pen = 'L';
            } else {
                pen = 'M'; // a gap
            }
        }
        let at = HEIGHT + LEGEND * number as f64;
        let _ = write!(
            svg,
            "<path class=\"line\" stroke=\"{colour}\"{dashes} d=\"{path}\"/>\
             <path class=\"line\" stroke=\"{colour}\"{dashes} d=\"M{LEFT} {0:.1}h28\"/>\
             <text x=\"{1:.1}\" y=\"{2:.1}\">{3}</text>",
            at - 4.0,
            LEFT + 36.0,
            at,
            escape(&line.name)
        );
    }
}

/// Where values stand.
struct Scale {
    logarithmic: bool,
    y_min: f64,
    y_max: f64,
    x_max: f64,
}

impl Scale {
    fn new(logarithmic: bool, least: f64, most: f64, x_max: f64) -> Self {
        if logarithmic {
            let (y_min, y_max) = (10_f64.powf(least.log10().floor()), 10_f64.powf(most.log10().ceil()));
            return Self { logarithmic, y_min, y_max: y_max.max(y_min * 10.0), x_max };
        }
        // Up to the next round step, so that the highest point does not touch the edge.
        let step = 10_f64.powf((most / TICKS as f64).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * step).into_iter().find(|step| step * TICKS as f64 >= most);
        Self { logarithmic, y_min: 0.0, y_max: step.unwrap_or(most) * TICKS as f64, x_max }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + value / self.x_max * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value / self.y_min).log10() / (self.y_max / self.y_min).log10()
        } else {
            value / self.y_max
        };
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }

    fn y_ticks(&self) -> Vec<(f64, f64)> {
        let decades = (self.y_max / self.y_min.max(f64::MIN_POSITIVE)).log10().round() as i32;
        let values: Vec<f64> = if self.logarithmic {
            (0..=decades).map(|decade| self.y_min * 10_f64.powi(decade)).collect()
        } else {
            (0..=TICKS).map(|step| self.y_max * step as f64 / TICKS as f64).collect()
        };
        values.into_iter().map(|value| (value, self.y(value))).collect()
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || size.fract() < 1e-9 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Text in a page.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(logarithmic: bool, points: Vec<(f64, f64)>) -> Chart {
        let line = Line { name: "a<b".to_owned(), points, dashed: false };
        Chart { title: "t".to_owned(), x: "s".to_owned(), y: "ms".to_owned(), logarithmic, lines: vec![line] }
    }

    #[test]
    fn points_stand_where_they_belong() {
        let svg = chart(false, vec![(0.0, 0.0), (10.0, 100.0)]).svg();
        // From the lower left corner to the upper right one.
        assert!(svg.contains("d=\"M64.0 260.0L748.0 28.0\""), "{svg}");
        assert!(svg.contains("a&lt;b") && svg.ends_with("</svg>"), "{svg}");
        let svg = chart(true, vec![(0.0, 1.0), (10.0, 100.0)]).svg();
        assert!(svg.contains("d=\"M64.0 260.0L748.0 28.0\""), "{svg}");
    }

    #[test]
    fn what_is_missing_is_a_gap() {
        let svg = chart(true, vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 1.0), (4.0, 10.0)]).svg();
        assert_eq!(svg.matches('M').count() - svg.matches("class=\"grid\" d=\"M").count(), 3, "{svg}");
        assert_eq!(chart(false, vec![]).svg(), "");
    }
}
