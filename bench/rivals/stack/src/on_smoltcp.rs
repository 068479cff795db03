//! smoltcp, as fast as it goes: two interfaces over queues whose buffers are used again, without a copy or a byte cleared in
//! between; its own congestion control off, as it comes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, ChecksumCapabilities, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpCidr, Ipv4Cidr};

use crate::pair::{CLIENT, PORT, SERVER};
use crate::stream::{CHUNK, Pattern, Reader};
use crate::transfer::{Plan, Transfer};

/// Packets under way one way, and buffers that wait to be used again.
#[derive(Default)]
struct Wire {
    packets: VecDeque<(Vec<u8>, usize)>,
    spare: Vec<Vec<u8>>,
    count: u64,
}

type Shared = Rc<RefCell<Wire>>;

struct Queues {
    receive: Shared,
    transmit: Shared,
    mtu: usize,
}

struct Received(Vec<u8>, usize, Shared);
struct Transmitted(Shared);

impl Device for Queues {
    type RxToken<'a> = Received;
    type TxToken<'a> = Transmitted;

    fn receive(&mut self, _: Instant) -> Option<(Received, Transmitted)> {
        let (buffer, len) = self.receive.borrow_mut().packets.pop_front()?;
        Some((Received(buffer, len, self.receive.clone()), Transmitted(self.transmit.clone())))
    }

    fn transmit(&mut self, _: Instant) -> Option<Transmitted> {
        Some(Transmitted(self.transmit.clone()))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.max_transmission_unit = self.mtu;
        capabilities.medium = Medium::Ip;
        // All checksums in software, both ways, as the other side has it.
        capabilities.checksum = ChecksumCapabilities::default();
        capabilities
    }
}

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        let result = take(&self.0[..self.1]);
        self.2.borrow_mut().spare.push(self.0);
        result
    }
}

impl phy::TxToken for Transmitted {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut buffer = self.0.borrow_mut().spare.pop().unwrap_or_default();
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        let result = write(&mut buffer[..len]);
        let mut wire = self.0.borrow_mut();
        wire.packets.push_back((buffer, len));
        wire.count += 1;
        result
    }
}

struct Side {
    device: Queues,
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
}

impl Side {
    fn new(address: std::net::Ipv4Addr, plan: Plan, receive: Shared, transmit: Shared) -> Side {
        let mut device = Queues { receive, transmit, mtu: plan.mtu };
        let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut device, Instant::ZERO);
        interface.update_ip_addrs(|all| all.push(IpCidr::Ipv4(Ipv4Cidr::new(address, 8))).expect("room for one"));
        let buffer = || SocketBuffer::new(vec![0; plan.buffer]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(Some(Duration::from_millis(40)));
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(socket);
        Side { device, interface, sockets, socket }
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.socket)
    }

    fn poll(&mut self, now: Instant) {
        self.interface.poll(now, &mut self.device, &mut self.sockets);
    }
}

pub struct Smoltcp {
    sender: Side,
    receiver: Side,
    forth: Shared,
    back: Shared,
    now: Instant,
    into: Vec<u8>,
    plan: Plan,
}

impl Smoltcp {
    pub fn new(plan: Plan) -> Smoltcp {
        let (forth, back) = (Shared::default(), Shared::default());
        let mut sender = Side::new(CLIENT, plan, back.clone(), forth.clone());
        let mut receiver = Side::new(SERVER, plan, forth.clone(), back.clone());
        receiver.socket().listen(PORT).expect("a port");
        let Side { interface, sockets, socket, .. } = &mut sender;
        let connecting = sockets.get_mut::<Socket<'_>>(*socket).connect(interface.context(), (SERVER, PORT), 50_000);
        connecting.expect("there is a way");
        let mut now = Instant::ZERO;
        while !(sender.socket().may_send() && receiver.socket().may_recv()) {
            now += Duration::from_micros(20);
            sender.poll(now);
            receiver.poll(now);
        }
        Smoltcp { sender, receiver, forth, back, now, into: vec![0; CHUNK], plan }
    }
}

impl Transfer for Smoltcp {
    fn turn(&mut self, sent: &mut u64, pattern: &Pattern, reader: &mut Reader<'_>) -> u64 {
        let before = self.forth.borrow().count + self.back.borrow().count;
        self.now += Duration::from_micros(20);
        let socket = self.sender.socket();
        while socket.can_send() {
            let count = if self.plan.lend {
                // A program that writes straight into the buffer; what it writes is not what is measured.
                socket.send(|room| (room.len(), room.len()))
            } else {
                socket.send_slice(pattern.chunk(*sent))
            };
            *sent += count.expect("it can send") as u64;
        }
        self.sender.poll(self.now);
        self.receiver.poll(self.now);
        let socket = self.receiver.sockets.get_mut::<Socket<'_>>(self.receiver.socket);
        while socket.can_recv() {
            if self.plan.lend {
                socket
                    .recv(|bytes| {
                        reader.pass(bytes.len());
                        (bytes.len(), ())
                    })
                    .expect("it can receive");
            } else {
                let count = socket.recv_slice(&mut self.into).expect("it can receive");
                reader.take(&self.into[..count]);
            }
        }
        self.receiver.poll(self.now);
        self.forth.borrow().count + self.back.borrow().count - before
    }
}
