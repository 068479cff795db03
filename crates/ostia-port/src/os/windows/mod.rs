//! Windows: its own calls behind the names that the rest of the crate uses.

pub(crate) mod child;
pub(crate) mod codes;
