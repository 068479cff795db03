//! Invariants where Windows has its own ways.

mod wrong;
