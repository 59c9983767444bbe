//! Values over steps as lines, as for the loss of a training run.

use super::drawing::{Anchor, Color, Drawing};

const PAPER: Color = Color(252, 251, 248);
const INK: Color = Color(43, 45, 66);
const FAINT: Color = Color(130, 130, 140);
const GRID: Color = Color(228, 225, 217);
const HUES: [Color; 4] = [Color(38, 84, 160), Color(200, 80, 30), Color(20, 130, 110), Color(150, 50, 120)];

const WIDTH: f64 = 820.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 72.0;
const BOTTOM: f64 = 52.0;

/// One line of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub name: String,
    /// `(x, y)` by rising x; points that are no numbers are left out.
    pub points: Vec<(f64, f64)>,
}

/// Lines over one axis.
#[derive(Clone, Debug, PartialEq)]
pub struct LineChart {
    pub title: String,
    /// Name of the horizontal axis.
    pub x: String,
    pub lines: Vec<Line>,
}

/// Draws the lines with their names, and the last and lowest value of each.
pub fn line_chart(chart: &LineChart) -> Drawing {
    let mut drawing = Drawing::new(WIDTH, HEIGHT, PAPER);
    drawing.text((LEFT, 30.0), 16.0, Anchor::Start, INK, &chart.title);
    let lines: Vec<(&str, Vec<(f64, f64)>)> =
        chart.lines.iter().map(|line| (line.name.as_str(), finite(line))).collect();
    let points = || lines.iter().flat_map(|(_, points)| points);
    let x_axis = Axis::around(points().map(|point| point.0), LEFT, WIDTH - RIGHT);
    let y_axis = Axis::around(points().map(|point| point.1), HEIGHT - BOTTOM, TOP);
    for tick in y_axis.ticks() {
        let y = y_axis.place(tick);
        drawing.line((LEFT, y), (WIDTH - RIGHT, y), 0.8, GRID);
        drawing.text((LEFT - 8.0, y + 4.0), 11.0, Anchor::End, FAINT, &y_axis.label(tick));
    }
    for tick in x_axis.ticks() {
        let x = x_axis.place(tick);
        drawing.line((x, TOP), (x, HEIGHT - BOTTOM), 0.8, GRID);
        drawing.text((x, HEIGHT - BOTTOM + 18.0), 11.0, Anchor::Middle, FAINT, &x_axis.label(tick));
    }
    drawing.line((LEFT, HEIGHT - BOTTOM), (WIDTH - RIGHT, HEIGHT - BOTTOM), 1.2, INK);
    drawing.text(((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 14.0), 12.0, Anchor::Middle, INK, &chart.x);
    for (index, (name, points)) in lines.iter().enumerate() {
        let color = HUES[index % HUES.len()];
        let at = |point: &(f64, f64)| (x_axis.place(point.0), y_axis.place(point.1));
        for pair in points.windows(2) {
            drawing.line(at(&pair[0]), at(&pair[1]), 2.0, color);
        }
        for point in points.iter().filter(|_| points.len() <= 60) {
            let (x, y) = at(point);
            drawing.rect((x - 2.2, y - 2.2), (4.4, 4.4), 2.2, color);
        }
        let x = LEFT + 360.0 * index as f64;
        drawing.rect((x, 46.0), (14.0, 4.0), 2.0, color);
        let mut text = (*name).to_owned();
        let lowest = points.iter().map(|point| point.1).min_by(f64::total_cmp);
        if let (Some(last), Some(lowest)) = (points.last(), lowest) {
            text = format!("{name}: {:.3}, lowest {lowest:.3}", last.1);
        }
        drawing.text((x + 20.0, 52.0), 12.0, Anchor::Start, INK, &text);
    }
    drawing
}

fn finite(line: &Line) -> Vec<(f64, f64)> {
    line.points.iter().filter(|point| point.0.is_finite() && point.1.is_finite()).copied().collect()
}

/// Values laid out between two places, with round ticks.
struct Axis {
    low: f64,
    high: f64,
    step: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn around(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Axis {
        let (mut low, mut high) =
            values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let span = (high - low).max(high.abs() * 1e-3).max(1e-9);
        let rough = span / 6.0;
        let power = 10f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|step| *step >= rough).unwrap_or(rough);
        Axis { low: (low / step).floor() * step, high: ((low + span) / step).ceil() * step, step, from, to }
    }

    fn place(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let count = ((self.high - self.low) / self.step).round() as u32;
        (0..=count.min(20)).map(|index| self.low + f64::from(index) * self.step)
    }

    fn label(&self, value: f64) -> String {
        let decimals = (-self.step.log10().floor()).clamp(0.0, 6.0) as usize;
        format!("{value:.decimals$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> LineChart {
        let line = Line { name: "loss".into(), points };
        LineChart { title: "run".into(), x: "step".into(), lines: vec![line] }
    }

    #[test]
    fn axes_end_at_round_numbers_around_the_values() {
        let axis = Axis::around([1.3, 4.2].into_iter(), 0.0, 100.0);
        assert_eq!((axis.low, axis.high, axis.step), (1.0, 4.5, 0.5));
        assert_eq!(axis.label(1.5), "1.5");
        assert_eq!(Axis::around([0.0, 4200.0].into_iter(), 0.0, 1.0).label(1000.0), "1000");
    }

    #[test]
    fn charts_without_points_or_with_one_still_draw() {
        for points in [vec![], vec![(1.0, 2.0)], vec![(0.0, f64::NAN), (1.0, 0.0)]] {
            let svg = line_chart(&chart(points)).to_svg();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
