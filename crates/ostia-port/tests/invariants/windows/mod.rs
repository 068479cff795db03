//! Invariants where Windows has its own ways.

mod accepting;
mod ending;
mod handles;
mod wrong;
