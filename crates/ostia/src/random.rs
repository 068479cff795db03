//! Random bytes: the system's; in a simulation, those of the host that the caller runs on.

use std::io;

use crate::net::Network;

/// Fills memory with random bytes that nobody can guess, or, in a simulation, with those that its seed gives.
///
/// # Errors
/// Where the system has no source of randomness, or has not gathered enough yet (getrandom(2)).
pub fn fill(bytes: &mut [u8]) -> io::Result<()> {
    match Network::surroundings() {
        Some(surroundings) => {
            surroundings.fill(bytes);
            Ok(())
        }
        None => getrandom::fill(bytes).map_err(io::Error::from),
    }
}

/// A random number, as [`fill`] gives it.
///
/// # Errors
/// As for `fill`.
pub fn number() -> io::Result<u64> {
    let mut bytes = [0; 8];
    fill(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_gives_different_numbers() {
        let drawn: Vec<u64> = (0..8).map(|_| number().expect("a number")).collect();
        assert!(drawn.windows(2).all(|pair| pair[0] != pair[1]), "{drawn:?}");
    }
}
