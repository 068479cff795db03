//! What Linux and the BSDs have in common, by the same names.

pub(crate) mod calls;
pub(crate) mod codes;
pub(crate) mod descriptor;
pub(crate) mod message;
pub(crate) mod path;

/// The system's types and numbers by the names that libc gives them.
pub(crate) use libc as raw;
