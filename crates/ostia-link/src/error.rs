//! Why a device could not be opened or set up, and what to do about it.

use std::fmt;
use std::io;

/// Why a device could not be opened or set up. Its text names the remedy.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// This system has no such devices, or this crate does not know them.
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
    /// `/dev/net/tun` is not there.
    NoTun,
    /// `/dev/net/tun` is closed to this user: what it would allow was not even asked.
    TunClosed,
    /// Opening the device needs a capability.
    Denied {
        /// The device.
        name: String,
        /// The capability in lower case, as `setcap` takes it.
        capability: &'static str,
        /// A command by which root makes the device for somebody, if there is one.
        prepare: Option<String>,
    },
    /// Setting the device up needs a capability.
    SetUpDenied {
        /// What was to be set.
        what: String,
        /// A command by which root does so beforehand.
        prepare: String,
    },
    /// Another program has it open.
    Busy {
        /// The device.
        name: String,
    },
    /// There is an interface of this name which is something else.
    WrongKind {
        /// The interface.
        name: String,
        /// What it should have been.
        wanted: &'static str,
    },
    /// A name that no interface can have.
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A longest packet that the device can't have.
    Mtu {
        /// The one asked for, in octets.
        mtu: u32,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An address or network that can't be set.
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The host has the address already, on another interface.
    AddressTaken {
        /// The address.
        address: String,
        /// The interface.
        name: String,
    },
    /// The host has a route to this network already.
    RouteTaken {
        /// The route.
        route: String,
    },
    /// There is no interface of this name.
    NoInterface {
        /// The name.
        name: String,
    },
    /// The interface is not one with Ethernet headers.
    NotEthernet {
        /// The interface.
        name: String,
    },
    /// The system refused for another reason.
    System {
        /// What was being done.
        what: String,
        /// The reason.
        source: io::Error,
    },
}

impl Error {
    #[cfg(target_os = "linux")]
    pub(crate) fn system(what: impl Into<String>, source: impl Into<io::Error>) -> Error {
        Error::System { what: what.into(), source: source.into() }
    }

    /// The kind of an [`io::Error`] that says as much.
    fn kind(&self) -> io::ErrorKind {
        match self {
            Error::Unsupported { .. } => io::ErrorKind::Unsupported,
            Error::NoTun | Error::NoInterface { .. } => io::ErrorKind::NotFound,
            Error::TunClosed | Error::Denied { .. } | Error::SetUpDenied { .. } => io::ErrorKind::PermissionDenied,
            Error::Busy { .. } => io::ErrorKind::ResourceBusy,
            Error::WrongKind { .. } | Error::AddressTaken { .. } | Error::RouteTaken { .. } => io::ErrorKind::AlreadyExists,
            Error::Name { .. } | Error::Mtu { .. } | Error::Address { .. } | Error::NotEthernet { .. } => {
                io::ErrorKind::InvalidInput
            }
            Error::System { source, .. } => source.kind(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unsupported { what } => {
                write!(out, "{what} are not on this system: only Linux has them; a link in memory works everywhere")
            }
            Error::NoTun => out.write_str(
                "/dev/net/tun is not there: load its module (modprobe tun), or give the container the device \
                 (docker run --device /dev/net/tun)",
            ),
            Error::TunClosed => out.write_str(
                "opening /dev/net/tun is not allowed: run as root, or let root open it to all, as is usual: chmod 666 \
                 /dev/net/tun (making a device, or opening one that was made for others, needs cap_net_admin even then)",
            ),
            Error::Denied { name, capability, prepare } => {
                write!(out, "opening {name} is not allowed: run as root, or: setcap {capability}+ep PROGRAM")?;
                prepare.iter().try_for_each(|prepare| write!(out, ", or let root make it once: {prepare}"))
            }
            Error::SetUpDenied { what, prepare } => write!(
                out,
                "setting {what} is not allowed: run as root, or: setcap cap_net_admin+ep PROGRAM, or let root set it \
                 once: {prepare}"
            ),
            Error::Busy { name } => write!(
                out,
                "{name} is in use by another program: stop that, or take another name (with %d in it, the kernel finds a \
                 free one)"
            ),
            Error::WrongKind { name, wanted } => write!(
                out,
                "there is an interface {name} that is no {wanted} device of one queue: take another name, or remove it: ip \
                 link delete {name}"
            ),
            Error::Name { name, why } => write!(out, "no interface can have the name {name:?}: {why}"),
            Error::Mtu { mtu, why } => write!(out, "an MTU of {mtu} is not possible: {why}"),
            Error::Address { address, why } => write!(out, "{address} can't be set: {why}"),
            Error::AddressTaken { address, name } => write!(
                out,
                "this host has the address {address} already, on {name}: take another, or remove it there: ip address \
                 delete {address} dev {name}"
            ),
            Error::RouteTaken { route } => write!(
                out,
                "this host has a route to {route} already: take another network, or remove it: ip route delete {route}"
            ),
            Error::NoInterface { name } => {
                write!(out, "there is no interface {name}: ip link lists those that there are")
            }
            Error::NotEthernet { name } => {
                write!(out, "{name} carries no Ethernet frames: take an interface that does (ip link shows link/ether)")
            }
            Error::System { what, source } => write!(out, "{what}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        io::Error::new(error.kind(), error)
    }
}
