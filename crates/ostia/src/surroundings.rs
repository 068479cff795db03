//! What surrounds a program beside its network: the time of day and a source of randomness, which a simulation replaces.

use std::fmt;
use std::time::SystemTime;

/// The surroundings of the programs in a network's scope: see [`Network::with_surroundings`](crate::net::Network::with_surroundings).
///
/// A program that takes the time from [`time`](crate::time), randomness from [`random`](crate::random), and connections, names
/// and files from this crate, does the same each time it is run in the same simulation.
pub trait Surroundings: fmt::Debug + Send + Sync + 'static {
    /// The time of day.
    fn wall(&self) -> SystemTime;

    /// Fills memory with random bytes.
    fn fill(&self, bytes: &mut [u8]);
}
