//! Picks plain scalars out of a YAML text while it streams by.
//!
//! May depend on nothing of the crate. One reason: the index of a big Helm repository has tens of
//! megabytes, of which four scalars matter; `yaml`, which keeps every value with its place, refuses
//! such a text for its size.

use saphyr_parser::{Event, Parser};

/// Deeper nesting than this is no Chart.yaml and no index.
const DEEPEST: usize = 64;

/// One step on the way from the top of the document to a scalar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A key of a mapping.
    Key(String),
    /// A place in a sequence, from 0.
    Index(usize),
}

enum Frame {
    Mapping { awaits_value: bool },
    Sequence { next: usize },
}

/// Calls `visit` for each scalar value of the first document, with its path and its text as written
/// (no type is resolved: `1.10` stays `1.10`). Aliases and mappings as keys are passed over.
///
/// # Errors
/// The parser's message when the text is no YAML, or when it is nested too deeply.
pub(crate) fn scalars(text: &str, mut visit: impl FnMut(&[Step], &str)) -> Result<(), String> {
    let mut parser = Parser::new_from_str(text);
    let mut frames: Vec<Frame> = Vec::new();
    let mut path: Vec<Step> = Vec::new();
    while let Some(next) = parser.next_event() {
        let (event, _) = next.map_err(|e| e.to_string())?;
        // True when this event starts or is a node that stands where a key stands.
        let is_key = matches!(
            frames.last(),
            Some(Frame::Mapping {
                awaits_value: false
            })
        );
        match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                open(&mut frames, &mut path, is_key, None);
                if frames.len() >= DEEPEST {
                    return Err(format!("nested deeper than {DEEPEST} levels"));
                }
                frames.push(match event {
                    Event::MappingStart(..) => Frame::Mapping {
                        awaits_value: false,
                    },
                    _ => Frame::Sequence { next: 0 },
                });
            }
            Event::MappingEnd | Event::SequenceEnd => {
                frames.pop();
                close(&mut frames, &mut path);
            }
            Event::Scalar(value, ..) => {
                open(&mut frames, &mut path, is_key, Some(&value));
                if !is_key {
                    visit(&path, &value);
                }
                close(&mut frames, &mut path);
            }
            Event::Alias(_) => {
                open(&mut frames, &mut path, is_key, None);
                close(&mut frames, &mut path);
            }
            Event::DocumentEnd => break,
            _ => {}
        }
    }
    Ok(())
}

/// A node begins: the path gets its key or index.
fn open(frames: &mut [Frame], path: &mut Vec<Step>, is_key: bool, text: Option<&str>) {
    if is_key {
        // A key that is no scalar gets a name that no scalar path is compared with.
        path.push(Step::Key(text.unwrap_or("\u{0}").to_owned()));
    } else if let Some(Frame::Sequence { next }) = frames.last_mut() {
        path.push(Step::Index(*next));
        *next += 1;
    }
}

/// A node has ended: a key stays on the path until its value has ended.
fn close(frames: &mut [Frame], path: &mut Vec<Step>) {
    match frames.last_mut() {
        Some(Frame::Mapping { awaits_value }) => {
            if *awaits_value {
                path.pop();
            }
            *awaits_value = !*awaits_value;
        }
        Some(Frame::Sequence { .. }) => {
            path.pop();
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        scalars(text, |path, value| {
            let path: Vec<String> = path
                .iter()
                .map(|step| match step {
                    Step::Key(key) => key.clone(),
                    Step::Index(at) => at.to_string(),
                })
                .collect();
            seen.push(format!("{}={value}", path.join(".")));
        })
        .unwrap();
        seen
    }

    #[test]
    fn paths_lead_to_scalars() {
        let text = "a: 1.10\nb:\n  - x: y\n    z: [p, q]\n  - {}\n  - last\nc: {d: {e: f}}\n";
        assert_eq!(
            seen(text),
            [
                "a=1.10",
                "b.0.x=y",
                "b.0.z.0=p",
                "b.0.z.1=q",
                "b.2=last",
                "c.d.e=f"
            ]
        );
    }

    #[test]
    fn aliases_and_odd_keys_do_not_shift_what_follows() {
        let text = "a: &x 1\nb: *x\n? [k, l]\n: m\n? {n: o}\n: p\nc: 2\n";
        let seen = seen(text);
        assert_eq!(seen.first().unwrap(), "a=1");
        assert_eq!(seen.last().unwrap(), "c=2");
    }

    #[test]
    fn only_the_first_document_counts() {
        assert_eq!(seen("a: 1\n---\na: 2\n"), ["a=1"]);
    }

    #[test]
    fn deep_nesting_is_an_error() {
        assert!(scalars(&"[".repeat(10_000), |_, _| {}).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,400}") {
            let _ = scalars(&text, |_, _| {});
        }
        #[test]
        fn no_yaml_like_text_makes_it_panic(text in "[-a:?&*!\\[\\]{}, \n'\"|>%#~0-9]{0,120}") {
            let _ = scalars(&text, |_, _| {});
        }
    }
}
