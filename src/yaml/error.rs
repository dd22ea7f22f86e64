//! What can be wrong with a YAML text, with the place where it stands.

use super::Mark;

/// One fault of a YAML text: where, and which.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {fault}", line = mark.line, column = mark.column)]
pub struct YamlError {
    /// The name under which the text was given to the reader.
    pub file: String,
    /// Where the fault stands.
    pub mark: Mark,
    /// Which fault it is.
    pub fault: Fault,
}

/// The kinds of faults. A text of a scalar is never part of a message unless it is a key, a tag or a
/// value whose type was asked for explicitly: it might be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes are not UTF-8.
    #[error("this is not UTF-8")]
    NotUtf8,
    /// The text is longer than [`super::MAX_BYTES`].
    #[error("the file has {0} bytes; more than {max} are not read", max = super::MAX_BYTES)]
    TooLarge(usize),
    /// A character that YAML does not allow.
    #[error("the control character U+{code:04X} is not allowed in YAML", code = *.0 as u32)]
    ControlCharacter(char),
    /// The text is not YAML; the scanner's own words.
    #[error("not valid YAML: {0}")]
    Syntax(String),
    /// More than [`super::MAX_DEPTH`] levels.
    #[error("nested deeper than {max} levels", max = super::MAX_DEPTH)]
    TooDeep,
    /// More than [`super::MAX_NODES`] values.
    #[error("more than {max} values", max = super::MAX_NODES)]
    TooManyNodes,
    /// An alias that stands inside the node that it names, or names nothing.
    #[error("this alias names no node that is complete before it")]
    BadAlias,
    /// All aliases together would make more than [`super::MAX_EXPANSION`] bytes.
    #[error("the aliases of this file expand to too much data")]
    Expansion,
    /// `<<` with something that cannot be merged.
    #[error("`<<` needs a mapping or a list of mappings, not {0}")]
    BadMerge(&'static str),
    /// Something else than a mapping with one pair in a list of pairs.
    #[error("a list of pairs needs mappings with one pair each, not {0}")]
    BadPair(&'static str),
    /// A list or a mapping as a key.
    #[error("a key must be a plain value, not {0}")]
    BadKey(&'static str),
    /// A scalar that does not fit the type that its tag or its form asks for.
    #[error("`{text}` is not a valid {wanted}")]
    BadScalar {
        /// The scalar.
        text: String,
        /// The type, as `integer`.
        wanted: &'static str,
    },
    /// One document was wanted.
    #[error("a second document begins here; only one is allowed")]
    SeveralDocuments,
    /// A tag that the place where it stands cannot use.
    #[error("the tag {0} is not supported here")]
    UnknownTag(String),
    /// Infinity or not-a-number, which JSON does not have.
    #[error("infinity and not-a-number cannot be used here")]
    NotANumber,
}
