//! Label selectors: whom they select.
//!
//! Pure; depends on `facts`. One reason: policies, Services, controllers and monitors all choose by labels, and an
//! expression that is not understood must not pass for one that selects nobody.

use serde_json::Value;

use super::facts::{list, text};

/// Whether a map of labels (a Service's `selector`, `matchLabels`) holds for these labels. An empty one does.
pub fn labels_match(wanted: Option<&Value>, labels: Option<&Value>) -> bool {
    let Some(wanted) = wanted.and_then(Value::as_object) else {
        return true;
    };
    wanted
        .iter()
        .all(|(key, value)| labels.and_then(|l| l.get(key)) == Some(value))
}

/// Whether a `LabelSelector` (matchLabels and matchExpressions) selects something with these labels. An empty one
/// selects everything; whoever means nothing by an absent one decides that before. An operator that is not known
/// counts as fulfilled: it is better to look at too much than at too little.
pub fn selects(selector: &Value, labels: Option<&Value>) -> bool {
    labels_match(selector.get("matchLabels"), labels)
        && list(selector, "/matchExpressions").iter().all(|e| {
            let have = labels.and_then(|l| l.get(text(e, "/key")));
            let among = || have.is_some_and(|h| list(e, "/values").contains(h));
            match text(e, "/operator") {
                "In" => among(),
                "NotIn" => !among(),
                "Exists" => have.is_some(),
                "DoesNotExist" => have.is_none(),
                _ => true,
            }
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn as_kubernetes_documents_them() {
        let labels = json!({"app": "api", "tier": "web"});
        let e = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        for (selector, selected) in [
            (json!({}), true),
            (json!({"matchLabels": {}}), true),
            (json!({"matchLabels": {"app": "api"}}), true),
            (json!({"matchLabels": {"app": "db"}}), false),
            (json!({"matchLabels": {"app": "api", "x": "y"}}), false),
            (e("app", "In", &["db", "api"]), true),
            (e("app", "In", &["db"]), false),
            (e("x", "In", &["db"]), false),
            (e("app", "NotIn", &["api"]), false),
            (e("x", "NotIn", &["api"]), true),
            (e("tier", "Exists", &[]), true),
            (e("x", "Exists", &[]), false),
            (e("tier", "DoesNotExist", &[]), false),
            (e("x", "DoesNotExist", &[]), true),
            (e("tier", "Newer", &[]), true),
        ] {
            assert_eq!(selects(&selector, Some(&labels)), selected, "{selector}");
        }
        assert!(!labels_match(Some(&json!({"a": "b"})), None));
        assert!(labels_match(None, None));
    }
}
