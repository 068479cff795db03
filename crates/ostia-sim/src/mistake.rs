//! What can't be in a world, and what could be in its place.

use std::fmt;

/// Why a world can't be as it was described.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// What is wrong, naming it.
    pub what: String,
    /// What would be right.
    pub remedy: String,
}

impl Mistake {
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Mistake {
        Mistake { what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.remedy)
    }
}

impl std::error::Error for Mistake {}
