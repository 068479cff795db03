//! The `ostia` program.
fn main() {}
