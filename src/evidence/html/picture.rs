//! The topology as a drawing: who may connect, through what, to where the data lie. Once for wide screens and paper,
//! once for phones.
//!
//! May depend on the view's words for callers. One reason: SVG does not wrap text, so boxes are laid out here.

use serde::Serialize;

use super::clean::wrap;
use super::view::{CallerView, Shade};

/// Callers that are drawn.
pub const MOST: usize = 8;
/// Between two lines of text.
const LINE: i32 = 17;
/// Between a box's edge and its text.
const PAD: i32 = 12;
/// Between two boxes.
const GAP: i32 = 12;

/// What the picture shows.
pub struct Subject<'a> {
    /// Who connects, or tries to.
    pub callers: &'a [CallerView],
    /// The policy's heading and names, and whether anything is there to refuse.
    pub policy: (String, Vec<String>, Shade),
    /// From the service to the directory: what it is, what it is called, how it is.
    pub chain: Vec<(String, String, Shade)>,
    /// "and N more".
    pub more: Option<String>,
}

/// Rectangles, lines and texts.
#[derive(Debug, Default, Serialize)]
pub struct Drawing {
    width: i32,
    height: i32,
    rects: Vec<Rect>,
    paths: Vec<Path>,
    texts: Vec<Text>,
}

#[derive(Debug, Serialize)]
struct Rect {
    x: i32,
    y: i32,
    w: i32,
    h: i32,
    shade: Shade,
    kind: &'static str,
}

#[derive(Debug, Serialize)]
struct Path {
    d: String,
    shade: Shade,
    kind: &'static str,
}

#[derive(Debug, Serialize)]
struct Text {
    x: i32,
    y: i32,
    text: String,
    kind: &'static str,
    shade: Shade,
}

/// Beside each other, 980 wide: callers, gate, chain.
pub fn wide(subject: &Subject) -> Drawing {
    const CALLERS: i32 = 360;
    const GATE: i32 = 432;
    const GATE_WIDTH: i32 = 144;
    const CHAIN: i32 = 650;
    let mut d = Drawing::new(980);
    let mut y = 2;
    let mut let_in = false;
    for caller in subject.callers.iter().take(MOST) {
        let h = d.caller(caller, 2, y, CALLERS, 40);
        let middle = y + h / 2;
        if caller.gets_in {
            d.arrow(CALLERS + 2, middle, GATE - 4, middle, caller.shade);
            let_in = true;
        } else {
            d.refusal(CALLERS + 2, middle, GATE - 22, middle, caller.shade);
        }
        y += h + GAP;
    }
    if let Some(more) = &subject.more {
        d.text(2 + PAD, y + 12, more, "note", Shade::None);
        y += LINE + GAP;
    }
    let mut chain_y = 2;
    let mut first = 0;
    for (at, (what, name, shade)) in subject.chain.iter().enumerate() {
        let h = d.boxed(what, name, *shade, CHAIN, chain_y, 328, 40);
        if at == 0 {
            first = chain_y + h / 2;
        }
        chain_y += h + 24;
        if at + 1 < subject.chain.len() {
            d.arrow(
                CHAIN + 164,
                chain_y - 24,
                CHAIN + 164,
                chain_y - 4,
                Shade::None,
            );
        }
    }
    let bottom = (y - GAP).max(chain_y - 24).max(120);
    let (heading, names, shade) = &subject.policy;
    d.rect(GATE, 2, GATE_WIDTH, bottom - 2, *shade, "gate");
    let mut line = 26;
    for text in wrap(heading, 13, 4) {
        d.text(GATE + PAD, line, &text, "strong", *shade);
        line += LINE;
    }
    for name in names.iter().take(4) {
        for text in wrap(name, 15, 4) {
            d.text(GATE + PAD, line + 4, &text, "name", Shade::None);
            line += LINE;
        }
        line += 4;
    }
    if let_in {
        d.arrow(GATE + GATE_WIDTH, first, CHAIN - 4, first, Shade::None);
    }
    d.height = bottom.max(line) + 4;
    d
}

/// One below the other, 340 wide.
pub fn narrow(subject: &Subject) -> Drawing {
    const WIDTH: i32 = 290;
    const BUS: i32 = 326;
    let mut d = Drawing::new(340);
    let mut y = 2;
    let mut bus: Option<i32> = None;
    for caller in subject.callers.iter().take(MOST) {
        let h = d.caller(caller, 2, y, WIDTH, 31);
        let middle = y + h / 2;
        if caller.gets_in {
            d.line(
                format!("M{} {middle}H{BUS}", WIDTH + 2),
                caller.shade,
                "wire",
            );
            bus.get_or_insert(middle);
        } else {
            d.refusal(WIDTH + 2, middle, WIDTH + 12, middle, caller.shade);
        }
        y += h + GAP;
    }
    if let Some(more) = &subject.more {
        d.text(2 + PAD, y + 12, more, "note", Shade::None);
        y += LINE + GAP;
    }
    y += 10;
    if let Some(from) = bus {
        d.arrow(BUS, from, BUS, y - 3, Shade::None);
    }
    let (heading, names, shade) = &subject.policy;
    let from = y;
    y += 24;
    for text in wrap(heading, 36, 2) {
        d.text(2 + PAD, y, &text, "strong", *shade);
        y += LINE;
    }
    for text in names.iter().take(4).flat_map(|n| wrap(n, 38, 3)) {
        d.text(2 + PAD, y, &text, "name", Shade::None);
        y += LINE;
    }
    y -= 4;
    d.rect(2, from, 336, y - from, *shade, "gate");
    for (at, (what, name, chain_shade)) in subject.chain.iter().enumerate() {
        if at > 0 || bus.is_some() {
            d.arrow(170, y, 170, y + 20, Shade::None);
        }
        y += 24;
        y += d.boxed(what, name, *chain_shade, 2, y, 336, 38);
    }
    d.height = y + 4;
    d
}

impl Drawing {
    fn new(width: i32) -> Self {
        Drawing {
            width,
            ..Drawing::default()
        }
    }

    /// A caller's box; its height.
    fn caller(&mut self, caller: &CallerView, x: i32, y: i32, w: i32, columns: usize) -> i32 {
        let mut line = y + 22;
        for text in wrap(&caller.name, columns, 3) {
            self.text(x + PAD, line, &text, "strong", Shade::None);
            line += LINE;
        }
        for text in wrap(&caller.word, columns, 3) {
            self.text(x + PAD, line, &text, "word", caller.shade);
            line += LINE;
        }
        let h = line - y - 4;
        self.rect(x, y, w, h, caller.shade, "caller");
        h
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a box is what, where and how wide"
    )]
    fn boxed(
        &mut self,
        what: &str,
        name: &str,
        shade: Shade,
        x: i32,
        y: i32,
        w: i32,
        columns: usize,
    ) -> i32 {
        let mut line = y + 22;
        self.text(x + PAD, line, what, "note", Shade::None);
        for text in wrap(name, columns, 4) {
            line += LINE;
            self.text(x + PAD, line, &text, "name", Shade::None);
        }
        let h = line + 13 - y;
        self.rect(x, y, w, h, shade, "box");
        h
    }

    fn rect(&mut self, x: i32, y: i32, w: i32, h: i32, shade: Shade, kind: &'static str) {
        self.rects.push(Rect {
            x,
            y,
            w,
            h,
            shade,
            kind,
        });
    }

    fn text(&mut self, x: i32, y: i32, text: &str, kind: &'static str, shade: Shade) {
        let text = text.to_owned();
        self.texts.push(Text {
            x,
            y,
            text,
            kind,
            shade,
        });
    }

    fn line(&mut self, d: String, shade: Shade, kind: &'static str) {
        self.paths.push(Path { d, shade, kind });
    }

    /// A line across or down with a head at its end.
    fn arrow(&mut self, x1: i32, y1: i32, x2: i32, y2: i32, shade: Shade) {
        self.line(format!("M{x1} {y1}L{x2} {y2}"), shade, "wire");
        let head = match y1 == y2 {
            true => format!("M{x2} {y2}l-9 -5v10z"),
            false => format!("M{x2} {y2}l-5 -9h10z"),
        };
        self.line(head, shade, "head");
    }

    /// A line that ends at a cross.
    fn refusal(&mut self, x1: i32, y1: i32, x2: i32, y2: i32, shade: Shade) {
        self.line(format!("M{x1} {y1}L{x2} {y2}"), shade, "wire");
        self.line(
            format!("M{} {}l10 10m0 -10l-10 10", x2 + 1, y2 - 5),
            shade,
            "cross",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(name: &str, gets_in: bool) -> CallerView {
        CallerView {
            name: name.into(),
            gets_in,
            ..CallerView::default()
        }
    }

    /// About the widest that a letter of the picture's size is, in pixels.
    const LETTER: i32 = 8;

    #[test]
    fn every_box_and_text_lies_inside_also_with_names_without_end() {
        let long = "/var/lib/rancher/k3s/storage/pvc-".to_owned() + &"0123456789abcdef".repeat(30);
        let callers: Vec<CallerView> = (0..20).map(|i| caller(&long, i % 2 == 0)).collect();
        for count in [0, 1, 20] {
            let subject = Subject {
                callers: &callers[..count],
                policy: (long.clone(), vec![long.clone(); 9], Shade::Good),
                chain: vec![(String::from("Service"), long.clone(), Shade::None); 5],
                more: Some("and 12 more".into()),
            };
            for d in [wide(&subject), narrow(&subject)] {
                for r in &d.rects {
                    assert!(
                        r.x >= 0 && r.x + r.w <= d.width && r.h > 0 && r.y + r.h <= d.height,
                        "{r:?} of {}×{}",
                        d.width,
                        d.height
                    );
                }
                for t in &d.texts {
                    let end = t.x + t.text.chars().count() as i32 * LETTER;
                    assert!(end <= d.width + LETTER * 4 && t.y < d.height, "{t:?}");
                }
            }
        }
    }

    #[test]
    fn boxes_do_not_lie_on_each_other() {
        let callers: Vec<CallerView> = (0..9)
            .map(|i| caller("pods app=shop of namespace apps", i % 3 == 0))
            .collect();
        let subject = Subject {
            callers: &callers,
            policy: ("Network policy".into(), vec!["data/pg".into()], Shade::Good),
            chain: vec![
                (
                    String::from("Service"),
                    String::from("pg.data"),
                    Shade::None
                );
                5
            ],
            more: None,
        };
        for d in [wide(&subject), narrow(&subject)] {
            for (i, a) in d.rects.iter().enumerate() {
                for b in d.rects.iter().skip(i + 1) {
                    let apart = a.x + a.w <= b.x
                        || b.x + b.w <= a.x
                        || a.y + a.h <= b.y
                        || b.y + b.h <= a.y;
                    assert!(apart, "{a:?} {b:?}");
                }
            }
        }
    }
}
