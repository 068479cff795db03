//! TUN and TAP devices (`Documentation/networking/tuntap.rst` of Linux).

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use ostia_wire::{Frame, MacAddr};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::device::{Device, MOST_PASSED_OVER};
use super::host::Host;
use super::sys;
use crate::config::{HostSide, Offload, TunConfig, TunKind};
use crate::error::Error;
use crate::facts::{Facts, Medium, Statistics};
use crate::link::{Descriptor, Link};
use crate::vnet::{self, Takes};

const PATH: &str = "/dev/net/tun";

/// The longest MTU of a TUN, and of a TAP, whose header counts.
const MOST_MTU: u32 = 65_535;
const MOST_MTU_TAP: u32 = 65_535 - 14;
/// The least that IPv4 works with (RFC 791, 3.2), and IPv6 (RFC 8200, 5).
const LEAST_MTU: u32 = 68;
const LEAST_MTU_V6: u32 = 1280;

/// A TUN or TAP device.
#[derive(Debug)]
pub struct Tun {
    /// What was set on the kernel's side, undone before the device is closed.
    _host: Host,
    device: Device,
}

impl Tun {
    /// Opens a device, or makes it, and sets up the kernel's side of it. The device is in the network namespace of the calling
    /// thread, and stays usable from others.
    ///
    /// # Errors
    /// [`Error`] says what could not be done and what to do; what had been done before that is undone.
    pub fn open(config: &TunConfig) -> Result<Tun, Error> {
        check_name(&config.name)?;
        check_mtu(config)?;
        Host::check(&config.host)?;
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = rustix::fs::open(Path::new(PATH), flags, Mode::empty()).map_err(|error| match error {
            Errno::NOENT | Errno::NODEV | Errno::NXIO => Error::NoTun,
            Errno::ACCESS | Errno::PERM => Error::TunClosed,
            error => Error::system(format!("opening {PATH}"), error),
        })?;
        let kind = match config.kind {
            TunKind::Tun => libc::IFF_TUN,
            TunKind::Tap => libc::IFF_TAP,
        };
        let header = match config.offload {
            Offload::On => libc::IFF_VNET_HDR,
            Offload::Off => 0,
        };
        let name = sys::tun_set_interface(fd.as_fd(), &config.name, kind | libc::IFF_NO_PI | header)
            .map_err(|error| refused(config, error))?;
        let takes = offload(fd.as_fd(), config.offload, &name)?;
        let persistent = sys::tun_flags(fd.as_fd())
            .map_err(|error| Error::system(format!("reading the flags of {name}"), error))?
            & libc::IFF_PERSIST
            != 0;
        let mut host = Host::open(&name, persistent)?;
        host.set_up(config.mtu, &config.host)?;
        let interface = host.interface();
        let (medium, mac) = match config.kind {
            TunKind::Tun => (Medium::Ip, None),
            TunKind::Tap => (Medium::Ethernet, config.mac.or(interface.mac.map(neighbour))),
        };
        let facts = Facts::new(name, medium, interface.mtu, mac);
        let facts = if takes.is_some() { facts.with_offloads() } else { facts };
        Ok(Tun { _host: host, device: Device::new(fd, interface.index, facts, takes.is_some(), takes.unwrap_or_default()) })
    }
}

/// An address beside the kernel's, the same each time for a device that persists.
fn neighbour(MacAddr([a, b, c, d, e, f]): MacAddr) -> MacAddr {
    MacAddr([a, b, c, d, e, f ^ 1])
}

/// Asks for as much as the kernel has; none if there is to be no header.
fn offload(fd: std::os::fd::BorrowedFd<'_>, offload: Offload, name: &str) -> Result<Option<Takes>, Error> {
    if offload == Offload::Off {
        return Ok(None);
    }
    let failed = |error| Error::system(format!("setting the offloads of {name}"), error);
    sys::tun_set_header(fd, vnet::LEN as i32).map_err(failed)?;
    let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
    // UDP's came with Linux 6.2, both ways at once.
    let udp = sys::tun_set_offload(fd, tcp | libc::TUN_F_USO4 | libc::TUN_F_USO6).is_ok();
    if !udp {
        sys::tun_set_offload(fd, tcp).map_err(failed)?;
    }
    Ok(Some(Takes { tcp: true, udp }))
}

/// Whether an interface can have a name (`dev_valid_name`).
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name.len() >= libc::IFNAMSIZ {
        "it is longer than 15 octets"
    } else if name == "." || name == ".." || name.chars().any(|c| c == '/' || c == ':' || c == '\0' || c.is_whitespace()) {
        "it is a dot or two, or has a slash, a colon or white space"
    } else if name.replacen("%d", "", 1).contains('%') {
        "a per cent sign stands before a d only, and once"
    } else {
        return Ok(());
    };
    Err(Error::Name { name: name.to_owned(), why })
}

fn check_mtu(config: &TunConfig) -> Result<(), Error> {
    let Some(mtu) = config.mtu else { return Ok(()) };
    let why = match config.kind {
        _ if mtu < LEAST_MTU => "IPv4 needs 68 at least",
        _ if mtu < LEAST_MTU_V6 && speaks_v6(&config.host) => "IPv6 needs 1280 at least",
        TunKind::Tun if mtu > MOST_MTU => "65535 is the most that a TUN has",
        TunKind::Tap if mtu > MOST_MTU_TAP => "65521 is the most that a TAP has",
        _ => return Ok(()),
    };
    Err(Error::Mtu { mtu, why })
}

/// Whether the kernel's side has anything to do with IPv6.
fn speaks_v6(side: &HostSide) -> bool {
    side.addresses.iter().any(|address| address.address.is_ipv6()) || side.routes.iter().any(|route| route.network.is_ipv6())
}

fn denied(config: &TunConfig) -> Error {
    let name = config.name.replace("%d", "0");
    let mode = if config.kind == TunKind::Tun { "tun" } else { "tap" };
    let prepare = format!("ip tuntap add dev {name} mode {mode} user $USER");
    Error::Denied { name, capability: "cap_net_admin", prepare: Some(prepare) }
}

fn refused(config: &TunConfig, error: io::Error) -> Error {
    let name = config.name.clone();
    match Errno::from_io_error(&error) {
        Some(Errno::PERM | Errno::ACCESS) => denied(config),
        Some(Errno::BUSY) => Error::Busy { name },
        Some(Errno::INVAL | Errno::EXIST) => {
            let wanted = if config.kind == TunKind::Tun { "TUN" } else { "TAP" };
            Error::WrongKind { name, wanted }
        }
        _ => Error::system(format!("making the device {name}"), error),
    }
}

impl Link for Tun {
    fn facts(&self) -> &Facts {
        &self.device.facts
    }

    fn descriptor(&self) -> Option<Descriptor<'_>> {
        Some(self.device.fd())
    }

    fn receive(&mut self, frame: &mut Frame) -> io::Result<bool> {
        let mut receiving = self.device.prepare(frame);
        for _ in 0..MOST_PASSED_OVER {
            receiving.rewind();
            let read = rustix::io::read(&self.device.out.fd, rustix::buffer::spare_capacity(&mut receiving.buffer));
            match read {
                Ok(_) => {}
                Err(error) => {
                    *frame = receiving.nothing();
                    return if matches!(error, Errno::AGAIN | Errno::INTR) { Ok(false) } else { Err(error.into()) };
                }
            }
            // What is cut fills all there is, which is more than the longest has.
            if receiving.buffer.len() == receiving.buffer.capacity() {
                self.device.out.statistics.dropped.received_truncated += 1;
                continue;
            }
            match self.device.finish(receiving, |_| true) {
                Ok(got) => {
                    *frame = got;
                    return Ok(true);
                }
                Err(again) => receiving = again,
            }
        }
        *frame = receiving.nothing();
        Ok(false)
    }

    fn transmit(&mut self, frame: &Frame) -> io::Result<bool> {
        self.device.transmit(frame)
    }

    fn statistics(&self) -> Statistics {
        self.device.out.statistics
    }
}
