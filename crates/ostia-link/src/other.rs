//! Devices on systems where there are none.

use std::io;
use std::net::IpAddr;

use ostia_wire::Frame;

use crate::config::{PacketConfig, TunConfig};
use crate::error::Error;
use crate::facts::{Facts, Statistics};
use crate::link::{Descriptor, Link};

/// A TUN or TAP device: there is none on this system.
#[derive(Debug)]
pub enum Tun {}

impl Tun {
    /// Says that there is none.
    ///
    /// # Errors
    /// [`Error::Unsupported`], always.
    pub fn open(config: &TunConfig) -> Result<Tun, Error> {
        let _ = config;
        Err(Error::Unsupported { what: "TUN and TAP devices" })
    }
}

/// A packet socket: there is none on this system.
#[derive(Debug)]
pub enum Packet {}

impl Packet {
    /// Says that there is none.
    ///
    /// # Errors
    /// [`Error::Unsupported`], always.
    pub fn open(config: &PacketConfig) -> Result<Packet, Error> {
        let _ = config;
        Err(Error::Unsupported { what: "packet sockets" })
    }

    /// Whether the interface was up when the socket was opened on it.
    pub fn was_up(&self) -> bool {
        match *self {}
    }
}

/// The interface of this host that has an address: not known on this system.
///
/// # Errors
/// [`Error::Unsupported`], always.
pub fn holder_of(address: IpAddr) -> Result<Option<String>, Error> {
    let _ = address;
    Err(Error::Unsupported { what: "lists of the host's addresses" })
}

/// The interface on whose network an address is: not known on this system.
///
/// # Errors
/// [`Error::Unsupported`], always.
pub fn network_of(address: IpAddr, but: Option<&str>) -> Result<Option<String>, Error> {
    let _ = (address, but);
    Err(Error::Unsupported { what: "lists of the host's addresses" })
}

macro_rules! never {
    ($name:ty) => {
        impl Link for $name {
            fn facts(&self) -> &Facts {
                match *self {}
            }

            fn descriptor(&self) -> Option<Descriptor<'_>> {
                match *self {}
            }

            fn receive(&mut self, _: &mut Frame) -> io::Result<bool> {
                match *self {}
            }

            fn transmit(&mut self, _: &Frame) -> io::Result<bool> {
                match *self {}
            }

            fn statistics(&self) -> Statistics {
                match *self {}
            }
        }
    };
}

never!(Tun);
never!(Packet);
