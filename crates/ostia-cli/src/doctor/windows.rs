//! What the doctor looks at on Windows: its version, or Wine's, and what Winsock offers beyond its plain calls.

use super::Found;
use crate::args::Driver;
use crate::errors::Failure;
use ostia_port::os::{extension_functions, windows_version, wine_version};
use ostia_port::{Config, Port};

/// Above the features.
pub(super) const FEATURES: &str = "extension functions of Winsock";

/// Of a function that is not there.
pub(super) const ABSENT: &str = "no";

pub(super) fn name() -> String {
    let (major, minor, build) = windows_version();
    let name = format!("Windows {major}.{minor}.{build}, {}", std::env::consts::ARCH);
    match wine_version() {
        Some(version) => format!("{name} (as Wine {version} says)"),
        None => name,
    }
}

pub(super) fn examine(asked: Driver) -> Result<Found, Failure> {
    let config = Config { driver: asked.into(), ..Config::default() };
    let port = Port::with(config).map_err(|error| Failure::start(&error))?;
    let because = match asked {
        Driver::Auto => "completion ports are what Windows itself offers",
        Driver::Iocp => "--driver asked for it",
    };
    Ok(Found { kind: port.driver(), because: because.to_owned(), features: extension_functions() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_driver_is_made_of_is_there() {
        let found = examine(Driver::Iocp).unwrap();
        for name in ["AcceptEx", "ConnectEx", "TransmitFile"] {
            assert!(found.features.contains(&(name, true)), "{found:?}");
        }
        assert!(name().starts_with("Windows "));
    }
}
