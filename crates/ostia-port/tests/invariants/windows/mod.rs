//! Invariants where Windows has its own ways.

mod ending;
mod wrong;
