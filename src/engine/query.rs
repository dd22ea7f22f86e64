//! Questions: what a step wants to know about a host, all read-only.
//!
//! May depend on `cluster` (object references) and `secrets`. One reason: a question is data, so
//! the engine can put those of all steps into one exchange.

use crate::cluster::object::{ListRef, ObjectRef};
use crate::secrets::Secret;

/// One question. Equal keys from several steps must mean equal questions; they are asked once.
#[derive(Debug, Clone)]
pub struct Query {
    /// Names the answer, as `facts.os`.
    pub key: String,
    /// What is asked.
    pub ask: Ask,
}

/// The kinds of question.
#[derive(Debug, Clone)]
pub enum Ask {
    /// A POSIX sh snippet that changes nothing; its exit status is part of the answer.
    Shell {
        /// The snippet. It must not hold a secret.
        script: String,
        /// Data for its standard input; a question with data travels by itself.
        stdin: Option<Secret>,
    },
    /// Named cluster objects; missing ones and unknown kinds are answers.
    Objects(Vec<ObjectRef>),
    /// The objects that a file on the host names (a `kubectl -f` list), if that file is there.
    Recorded {
        /// The file's path.
        path: String,
    },
    /// All objects of some types, in all namespaces; an unknown type is an answer.
    Lists(Vec<ListRef>),
}

impl Query {
    /// A shell question.
    pub fn shell(key: impl Into<String>, script: impl Into<String>) -> Self {
        Query {
            key: key.into(),
            ask: Ask::Shell {
                script: script.into(),
                stdin: None,
            },
        }
    }

    /// Named objects. Their answers are found by reference, not by key.
    pub fn objects(refs: impl IntoIterator<Item = ObjectRef>) -> Self {
        Query {
            key: String::new(),
            ask: Ask::Objects(refs.into_iter().collect()),
        }
    }

    /// Lists of types. Their answers are found by reference, not by key.
    pub fn lists(refs: impl IntoIterator<Item = ListRef>) -> Self {
        Query {
            key: String::new(),
            ask: Ask::Lists(refs.into_iter().collect()),
        }
    }
}
