//! Packet sockets on interfaces that are there already (packet(7)).

use std::cell::Cell;
use std::io;
use std::os::fd::AsFd;

use ostia_wire::{EtherType, Frame};
use rustix::io::Errno;

use super::device::{Device, MOST_PASSED_OVER};
use super::host::find;
use super::netlink::Netlink;
use super::sys::{self, About};
use super::tun::check_name;
use crate::config::{Offload, PacketConfig};
use crate::error::Error;
use crate::facts::{Facts, Medium, Statistics};
use crate::link::{Descriptor, Link};
use crate::vnet::Takes;

/// Octets that may wait to be received or sent, as asked of the kernel: some dozens of super-segments. An ordinary user gets
/// what `net.core.rmem_max` and `wmem_max` allow.
const BUFFER: i32 = 4 << 20;

/// A packet socket: Ethernet frames from and to the network of an interface.
///
/// It sees what comes from the network, not what this host's kernel sends there, and the kernel doesn't see what it sends: the
/// two can talk only over something outside that sends frames back.
#[derive(Debug)]
pub struct Packet {
    device: Device,
    netlink: Netlink,
    /// Whether the kernel leaves out what this host sends; else it is passed over here.
    ignores_outgoing: bool,
    /// Whether the interface was up when it was opened.
    up: bool,
    /// Frames that the kernel had no room for.
    overrun: Cell<u64>,
}

impl Packet {
    /// Opens a socket on an interface, in the network namespace of the calling thread. The interface may be down: nothing
    /// flows until it is up.
    ///
    /// # Errors
    /// [`Error`] says what could not be done and what to do.
    pub fn open(config: &PacketConfig) -> Result<Packet, Error> {
        let name = config.interface.as_str();
        check_name(name)?;
        let fd = sys::packet_socket().map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::PERM | Errno::ACCESS) => {
                Error::Denied { name: format!("a packet socket on {name}"), capability: "cap_net_raw", prepare: None }
            }
            Some(Errno::AFNOSUPPORT) => Error::Unsupported { what: "packet sockets" },
            _ => Error::system("opening a packet socket", error),
        })?;
        let mut netlink = Netlink::open().map_err(|error| Error::system("opening a netlink socket", error))?;
        let interface = find(&mut netlink, name)?;
        let own = interface.mac.filter(|_| matches!(interface.kind, libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK));
        let Some(own) = own else { return Err(Error::NotEthernet { name: name.to_owned() }) };
        let mac = config.mac.unwrap_or(own);

        let option = |option, value| sys::set_option(fd.as_fd(), libc::SOL_PACKET, option, value);
        let failed = |error| Error::system(format!("setting up a packet socket on {name}"), error);
        let header = option(libc::PACKET_VNET_HDR, 1).is_ok();
        option(libc::PACKET_AUXDATA, 1).map_err(failed)?;
        let ignores_outgoing = option(libc::PACKET_IGNORE_OUTGOING, 1).is_ok();
        for buffer in [libc::SO_RCVBUF, libc::SO_SNDBUF] {
            sys::set_option(fd.as_fd(), libc::SOL_SOCKET, buffer, BUFFER).map_err(failed)?;
        }
        for buffer in [libc::SO_RCVBUFFORCE, libc::SO_SNDBUFFORCE] {
            // Beyond what is allowed to all, for those who may.
            let _ = sys::set_option(fd.as_fd(), libc::SOL_SOCKET, buffer, BUFFER);
        }
        // Groups of IPv6 that the kernel has not joined, such as those of the stack's own addresses.
        sys::packet_join(fd.as_fd(), interface.index, libc::PACKET_MR_ALLMULTI).map_err(failed)?;
        if config.promiscuous || mac != own {
            sys::packet_join(fd.as_fd(), interface.index, libc::PACKET_MR_PROMISC).map_err(failed)?;
        }
        sys::packet_bind(fd.as_fd(), interface.index).map_err(failed)?;

        let facts = Facts::new(name.to_owned(), Medium::Ethernet, interface.mtu, Some(mac));
        let (facts, takes) = match config.offload {
            Offload::On if header => (facts.with_offloads(), Takes { tcp: true, udp: true }),
            _ => (facts.with_long_frames(), Takes::default()),
        };
        let device = Device::new(fd, interface.index, facts, header, takes);
        Ok(Packet { device, netlink, ignores_outgoing, up: interface.up, overrun: Cell::new(0) })
    }

    /// Whether the interface was up when the socket was opened on it.
    pub fn was_up(&self) -> bool {
        self.up
    }
}

/// Adds what the kernel says beside a frame; false if the frame has no room for it.
fn complete(frame: &mut Frame, about: &About, header: bool) -> bool {
    if about.status & libc::TP_STATUS_VLAN_VALID != 0 {
        let (tag, kind) = about.vlan;
        let kind = if about.status & libc::TP_STATUS_VLAN_TPID_VALID != 0 { kind } else { EtherType::VLAN.0 };
        if !put_back_tag(frame, tag, kind) {
            return false;
        }
    }
    // Without the header it can't say where the sum starts; and a partial one is as good as a checked one to who receives it.
    if !header && about.status & (libc::TP_STATUS_CSUMNOTREADY | libc::TP_STATUS_CSUM_VALID) != 0 {
        frame.meta.checksum = ostia_wire::Checksum::Valid;
    }
    true
}

/// Puts a tag that the kernel has taken out of a frame back behind the addresses; false if the frame has none.
fn put_back_tag(frame: &mut Frame, tag: u16, kind: u16) -> bool {
    const ADDRESSES: usize = 12;
    const TAG: usize = 4;
    if frame.len() < ADDRESSES {
        return false;
    }
    frame.push_front(TAG);
    let bytes = frame.as_mut_slice();
    bytes.copy_within(TAG..TAG + ADDRESSES, 0);
    bytes[ADDRESSES..ADDRESSES + 2].copy_from_slice(&kind.to_be_bytes());
    bytes[ADDRESSES + 2..ADDRESSES + TAG].copy_from_slice(&tag.to_be_bytes());
    true
}

impl Link for Packet {
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
            let about = match sys::packet_receive(self.device.fd(), &mut receiving.buffer) {
                Ok(about) => about,
                Err(error) => match Errno::from_io_error(&error) {
                    // Said once each time that the interface goes down, the last time too: whoever deletes it may not have
                    // come to that yet.
                    Some(Errno::NETDOWN) if self.netlink.has(self.device.out.index).unwrap_or(false) => continue,
                    // A super-segment of a kind that the header has no number for.
                    Some(Errno::INVAL) => {
                        self.device.out.statistics.dropped.received_malformed += 1;
                        continue;
                    }
                    code => {
                        *frame = receiving.nothing();
                        return if matches!(code, Some(Errno::AGAIN | Errno::INTR)) { Ok(false) } else { Err(error) };
                    }
                },
            };
            if about.outgoing && !self.ignores_outgoing {
                continue;
            }
            if about.truncated {
                self.device.out.statistics.dropped.received_truncated += 1;
                continue;
            }
            let header = self.device.out.header;
            match self.device.finish(receiving, |frame| complete(frame, &about, header)) {
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
        // The kernel counts from when it was asked last.
        let fresh = sys::packet_drops(self.device.fd()).unwrap_or(0);
        self.overrun.set(self.overrun.get() + u64::from(fresh));
        let mut statistics = self.device.out.statistics;
        statistics.dropped.received_no_room = self.overrun.get();
        statistics
    }
}

#[cfg(test)]
mod tests {
    use ostia_wire::Checksum;

    use super::*;

    #[test]
    fn a_tag_goes_back_behind_the_addresses() {
        let mut frame = Frame::from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 8, 0, 0x45]);
        frame.meta.checksum = Checksum::Partial { start: 34, offset: 16 };
        assert!(put_back_tag(&mut frame, 0x2005, 0x8100));
        assert_eq!(frame.as_slice(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x81, 0, 0x20, 5, 8, 0, 0x45]);
        assert_eq!(frame.meta.checksum, Checksum::Partial { start: 38, offset: 16 });
        assert!(!put_back_tag(&mut Frame::from_slice(&[0; 11]), 1, 0x8100));
    }
}
