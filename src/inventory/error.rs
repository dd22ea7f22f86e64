//! What can be wrong with an inventory, with the place and what to do.

use crate::secrets::KeyError;
use crate::yaml::{Mark, YamlError};

use super::Place;

/// One fault of the inventory or of what was given beside it on the command line.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// A file that is no YAML, or no UTF-8, or too large.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// A file or directory that cannot be read.
    #[error("{file}: cannot be read")]
    Read {
        /// As the user would find it.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something that Ansible understands and monopg does not.
    #[error("{place}: {what}")]
    Unsupported {
        /// Where it stands.
        place: Place,
        /// What it is, as `INI inventories are not read yet`.
        what: String,
        /// What to do instead.
        hint: String,
    },
    /// Something that Ansible would not accept either.
    #[error("{place}: {what}")]
    Invalid {
        /// Where it stands.
        place: Place,
        /// What is wrong.
        what: String,
    },
    /// Something encrypted that the keys at hand do not open.
    #[error("{place}: this cannot be decrypted")]
    Locked {
        /// Where it stands.
        place: Place,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// A variable whose template cannot be rendered.
    #[error("{place}: {variable}: {what}")]
    Template {
        /// Where the template stands.
        place: Place,
        /// The variable, with the way into it, as `a.b[0]`.
        variable: String,
        /// What is wrong.
        what: String,
        /// What to do, if there is more to say.
        hint: Option<String>,
    },
    /// The installed `ansible-inventory` gave no answer that can be used.
    #[error("{program} {what}")]
    Ansible {
        /// The program.
        program: String,
        /// What happened, as `failed (exit status: 4)`.
        what: String,
        /// What it said itself.
        #[source]
        source: Option<Said>,
    },
    /// A `--limit` that leaves no host.
    #[error("--limit {0}: no host of the inventory matches")]
    NothingMatches(String),
    /// No `-i` at all.
    #[error("no inventory is given")]
    NoSource,
}

/// The last lines that a program wrote to its standard error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Said(pub String);

impl InventoryError {
    pub(super) fn invalid(place: Place, what: impl Into<String>) -> Self {
        InventoryError::Invalid {
            place,
            what: what.into(),
        }
    }

    pub(super) fn unsupported(
        place: Place,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        InventoryError::Unsupported {
            place,
            what: what.into(),
            hint: hint.into(),
        }
    }

    /// A file, or one value in it, that a keyring could not open.
    pub fn locked(place: Place, source: KeyError) -> Self {
        let place = match source.line {
            Some(line) => place.at(Mark { line, column: 1 }),
            None => place,
        };
        InventoryError::Locked { place, source }
    }

    /// What to do about it, if there is more to say than the message says.
    pub fn hint(&self) -> Option<&str> {
        match self {
            InventoryError::Unsupported { hint, .. } => Some(hint),
            InventoryError::Locked { source, .. } => source.hint.as_deref(),
            InventoryError::NoSource => {
                Some("name it with -i FILE, or in ansible.cfg: [defaults] inventory = FILE")
            }
            InventoryError::Template { hint, .. } => hint.as_deref(),
            InventoryError::Ansible { source, .. } if source.is_none() => {
                Some("run it by hand: ansible-inventory -i FILE --list")
            }
            InventoryError::NothingMatches(_) => {
                Some("a pattern is a host, a group or a glob; join them with `:`, exclude with `!`")
            }
            _ => None,
        }
    }
}
