//! Values of fields as short text for people, without what may be a secret.
//!
//! Depends on `secrets` (the mask) and `field_path`. One reason: a diff is read on screens and in logs
//! of others, so what must not stand there is decided by structure, in one place.

use serde_json::Value;

use super::field_path::{FieldPath, Segment};
use crate::secrets::MASK;

/// How many characters of a value are shown.
const WIDTH: usize = 200;

/// A field's value for people. The content of Secrets, environment variables and texts that look like
/// credentials never appear; long values are cut, files in ConfigMaps are counted.
pub fn short(kind: &str, path: &FieldPath, value: &Value) -> String {
    let names = path.names();
    if kind == "Secret" && matches!(names.first(), Some(&("data" | "stringData"))) {
        return "differs".into();
    }
    if names.contains(&"env") || sensitive(names.last().copied().unwrap_or("")) {
        return match (value, path.0.last()) {
            // An entry as a whole: its name says enough.
            (Value::Object(_), Some(Segment::Keyed(_))) => "a variable".into(),
            _ => MASK.into(),
        };
    }
    if names.last() == Some(&"kubectl.kubernetes.io/last-applied-configuration") {
        return "set".into();
    }
    if let ("ConfigMap", Some(&"data"), Value::String(text)) = (kind, names.first(), value)
        && text.contains('\n')
    {
        return format!("{} lines", text.lines().count());
    }
    let text = match value {
        Value::String(s) => s.clone(),
        other => masked(other).to_string(),
    };
    if sensitive(&text) {
        return MASK.into();
    }
    cut(&text.replace(|c: char| c.is_control(), " "))
}

/// The value with what may be secret taken out, at any depth.
fn masked(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(k, v)| {
                    let hidden = k == "env" || k == "data" || k == "stringData" || sensitive(k);
                    (
                        k.clone(),
                        if hidden && !v.is_null() {
                            Value::String("…".into())
                        } else {
                            masked(v)
                        },
                    )
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(masked).collect()),
        Value::String(s) if sensitive(s) => Value::String("…".into()),
        other => other.clone(),
    }
}

/// Words that stand beside credentials.
fn sensitive(text: &str) -> bool {
    let lower = text.to_lowercase();
    [
        "passw",
        "pwd",
        "token",
        "apikey",
        "api_key",
        "credential",
        "://",
    ]
    .iter()
    .any(|w| lower.contains(w))
        && !is_reference(text)
}

/// Kubernetes' own field names that contain such a word but hold a name or a switch.
fn is_reference(text: &str) -> bool {
    matches!(
        text,
        "automountServiceAccountToken" | "serviceAccountToken" | "secretName"
    )
}

fn cut(text: &str) -> String {
    if text.chars().count() <= WIDTH {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(WIDTH - 1).collect();
    short.push('…');
    short
}
