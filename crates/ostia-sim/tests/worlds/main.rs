//! Worlds as programs see them: the same from the same seed, with every fault, and honest about how they end.

mod common;
mod ending;
mod faults;
mod mistakes;
mod replay;
mod sending;
