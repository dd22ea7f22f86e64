//! The timeline as a drawing: widths in percent, heights in pixels, so that text keeps its size on every screen.
//!
//! May depend on `evidence::page` and the formats. One reason: where a bar stands is arithmetic, and tested as such.

use serde::Serialize;

use super::format;
use super::words::Words;
use crate::evidence::page::{Bar, BarKind, Page, Span};

/// Bars that are drawn.
pub const MOST_BARS: usize = 40;
/// A row's height.
const ROW: usize = 38;
/// Where the first row begins, below the scale.
const TOP: usize = 26;
/// The narrowest bar that can still be seen, in percent.
const THIN: f64 = 0.8;
/// Distances of the scale's lines, in milliseconds.
const NICE: [u64; 19] = [
    50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000,
    600_000, 1_200_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000,
];
/// Lines that fit a phone.
const MOST_TICKS: u64 = 4;

/// The drawing.
#[derive(Debug, Default, Serialize)]
pub struct Chart {
    /// In pixels; 0 = nothing to draw.
    pub height: usize,
    /// How long it all took, in milliseconds.
    pub total_ms: u64,
    ticks: Vec<Tick>,
    bands: Vec<Band>,
    dots: Vec<Dot>,
    rows: Vec<Row>,
    /// Bars that are left out.
    more: usize,
    band_y: usize,
    dots_y: usize,
}

#[derive(Debug, Serialize)]
struct Tick {
    x: String,
    label: String,
    anchor: &'static str,
}

#[derive(Debug, Serialize)]
struct Band {
    x: String,
    width: String,
    state: &'static str,
}

#[derive(Debug, Serialize)]
struct Dot {
    x: String,
}

#[derive(Debug, Serialize)]
struct Row {
    y: usize,
    /// For wide screens, and for phones.
    label: String,
    short: String,
    took: String,
    x: String,
    width: String,
    outcome: super::view::Shade,
    check: bool,
}

impl Chart {
    /// Draws the page's timeline.
    pub fn of(page: &Page, words: &Words) -> Self {
        let timeline = &page.timeline;
        let ends = timeline
            .bars
            .iter()
            .map(|b| b.from_ms.saturating_add(b.took_ms));
        let ends = ends.chain(timeline.readiness.iter().map(|s| s.to_ms));
        let total_ms = ends
            .chain(timeline.marks.iter().map(|m| m.at_ms))
            .max()
            .unwrap_or(0);
        if timeline.bars.is_empty() && timeline.readiness.is_empty() {
            return Chart::default();
        }
        // A run in no time at all still has a left and a right.
        let total = total_ms.max(1);
        let mut y = TOP;
        let mut chart = Chart {
            total_ms,
            ticks: ticks(words, total),
            more: timeline.bars.len().saturating_sub(MOST_BARS),
            ..Chart::default()
        };
        if !timeline.readiness.is_empty() {
            chart.band_y = y;
            chart.bands = timeline.readiness.iter().map(|s| band(s, total)).collect();
            y += ROW;
        }
        if !timeline.marks.is_empty() {
            chart.dots_y = y;
            chart.dots = timeline
                .marks
                .iter()
                .take(200)
                .map(|m| Dot {
                    // The whole dot stays inside.
                    x: percent((share(m.at_ms, total)).clamp(0.8, 99.2)),
                })
                .collect();
            y += ROW;
        }
        for bar in timeline.bars.iter().take(MOST_BARS) {
            chart.rows.push(row(bar, words, total, y));
            y += ROW;
        }
        chart.height = y + 4;
        chart
    }
}

fn row(bar: &Bar, words: &Words, total: u64, y: usize) -> Row {
    let (x, width) = place(bar.from_ms, bar.took_ms, total);
    let known = match bar.kind {
        BarKind::Check => words.find(&format!("short.{}", bar.id)),
        BarKind::Step => None,
    };
    let title = known.unwrap_or(&bar.title);
    let fit = |columns| {
        super::clean::wrap(title, columns, 1)
            .pop()
            .unwrap_or_else(|| bar.id.clone())
    };
    Row {
        y,
        label: fit(60),
        short: fit(27),
        took: format::duration(words, bar.took_ms),
        x,
        width,
        outcome: super::view::Shade::of_bar(bar),
        check: bar.kind == BarKind::Check,
    }
}

fn band(span: &Span, total: u64) -> Band {
    let (x, width) = place(span.from_ms, span.to_ms.saturating_sub(span.from_ms), total);
    Band {
        x,
        width,
        state: super::view::readiness(span.state),
    }
}

/// Left edge and width in percent; never too thin to see, never over the right edge.
fn place(from: u64, took: u64, total: u64) -> (String, String) {
    let width = share(took, total).clamp(THIN, 100.0);
    let x = share(from, total).min(100.0 - width);
    (percent(x), percent(width))
}

fn share(part: u64, total: u64) -> f64 {
    (part as f64 / total as f64 * 100.0).min(100.0)
}

fn percent(value: f64) -> String {
    format!("{value:.2}%")
}

fn ticks(words: &Words, total: u64) -> Vec<Tick> {
    let nice = NICE.into_iter().find(|step| total / step <= MOST_TICKS);
    let step = nice.unwrap_or(total / MOST_TICKS).max(1);
    (0..=total / step)
        .map(|i| {
            let at = i.saturating_mul(step);
            let x = share(at, total);
            Tick {
                x: percent(x),
                label: format::tick(words, at),
                anchor: match x {
                    x if x < 6.0 => "start",
                    x if x > 88.0 => "end",
                    _ => "middle",
                },
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::html::Lang;
    use crate::evidence::page::Mark;

    fn number(percent: &str) -> f64 {
        percent.trim_end_matches('%').parse().unwrap()
    }

    #[test]
    fn nothing_leaves_the_drawing_whatever_the_times_are() {
        let words = Words::of(Lang::En);
        let extremes = [0, 1, 999, 60_000, u64::MAX / 2, u64::MAX];
        for a in extremes {
            for b in extremes {
                let mut page = Page::default();
                page.timeline.bars.push(Bar {
                    from_ms: a,
                    took_ms: b,
                    ..Bar::default()
                });
                page.timeline.readiness.push(Span {
                    from_ms: b,
                    to_ms: a,
                    ..Span::default()
                });
                page.timeline.marks.push(Mark {
                    at_ms: a,
                    ..Mark::default()
                });
                let chart = Chart::of(&page, &words);
                let row = &chart.rows[0];
                assert!(
                    number(&row.width) >= THIN && number(&row.x) + number(&row.width) <= 100.01,
                    "{row:?}"
                );
                assert!((0.0..=100.0).contains(&number(&chart.dots[0].x)));
                assert!(
                    (1..=MOST_TICKS as usize + 2).contains(&chart.ticks.len()),
                    "{a} {b}: {}",
                    chart.ticks.len()
                );
            }
        }
    }

    #[test]
    fn a_bar_stands_where_its_times_are() {
        let words = Words::of(Lang::Fr);
        let mut page = Page::default();
        for (from_ms, took_ms) in [(0, 5_000), (5_000, 5_000), (9_999, 1)] {
            page.timeline.bars.push(Bar {
                from_ms,
                took_ms,
                ..Bar::default()
            });
        }
        let chart = Chart::of(&page, &words);
        let rows: Vec<_> = chart
            .rows
            .iter()
            .map(|r| format!("{} {} {}", r.x, r.width, r.took))
            .collect();
        assert_eq!(
            rows,
            [
                "0.00% 50.00% 5,0\u{a0}s",
                "50.00% 50.00% 5,0\u{a0}s",
                "99.20% 0.80% 1\u{a0}ms"
            ]
        );
        let ticks: Vec<_> = chart
            .ticks
            .iter()
            .map(|t| format!("{} {}", t.x, t.label))
            .collect();
        assert_eq!(ticks, ["0.00% 0", "50.00% 5\u{a0}s", "100.00% 10\u{a0}s"]);
        assert_eq!(Chart::of(&Page::default(), &words).height, 0);
    }
}
