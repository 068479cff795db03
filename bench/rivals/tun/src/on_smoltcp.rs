//! smoltcp with the TUN device of its own, its interface polled when the device has something or a timer is due.

use std::os::fd::AsRawFd;

use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{Medium, TunTapInterface, wait};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpCidr, Ipv4Cidr};

use crate::{ECHO, Failure, Plan, SINK, SOURCE};

/// The buffers of one socket, each way.
const BUFFER: usize = 256 << 10;

pub fn serve(plan: &Plan) -> Result<(), Failure> {
    // Its device takes one that is there: set up by the kernel's own tool, as its users do.
    let ip = |words: &str| match std::process::Command::new("ip").args(words.split(' ')).status() {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("ip {words}: {other:?}")),
    };
    ip(&format!("tuntap add dev {} mode tun", plan.name))?;
    ip(&format!("addr add {}/24 dev {}", plan.host(), plan.name))?;
    ip(&format!("link set {} mtu {} up", plan.name, plan.mtu))?;
    let mut device = TunTapInterface::new(&plan.name, Medium::Ip)?;
    let fd = device.as_raw_fd();
    let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut device, Instant::now());
    interface.update_ip_addrs(|all| all.push(IpCidr::Ipv4(Ipv4Cidr::new(plan.address, 24))).expect("room for one"));
    let mut sockets = SocketSet::new(Vec::new());
    let handles = [SINK, SOURCE, ECHO].map(|port| {
        let buffer = || SocketBuffer::new(vec![0; BUFFER]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(Some(Duration::from_millis(10)));
        (port, sockets.add(socket))
    });
    println!("ready");
    loop {
        interface.poll(Instant::now(), &mut device, &mut sockets);
        let mut busy = false;
        for &(port, handle) in &handles {
            let socket = sockets.get_mut::<Socket<'_>>(handle);
            if !socket.is_open() {
                socket.listen(port).map_err(|error| format!("{error}"))?;
            }
            busy |= work(port, socket);
            if socket.state() == State::CloseWait {
                socket.close();
            }
        }
        if !busy {
            let delay = interface.poll_delay(Instant::now(), &sockets);
            wait(fd, delay)?;
        }
    }
}

/// Moves what can be moved; whether there was any.
fn work(port: u16, socket: &mut Socket<'_>) -> bool {
    match port {
        SINK => {
            let mut any = false;
            while socket.can_recv() && socket.recv(|bytes| (bytes.len(), bytes.len())).is_ok_and(|count| count > 0) {
                any = true;
            }
            any
        }
        SOURCE => {
            if socket.can_recv() {
                let _ = socket.recv(|bytes| (bytes.len(), ()));
            }
            let mut any = false;
            while socket.can_send() && socket.send(|room| (room.len(), room.len())).is_ok_and(|count| count > 0) {
                any = true;
            }
            any
        }
        _ => {
            if !socket.can_recv() || !socket.can_send() {
                return false;
            }
            let mut buffer = [0; 16 << 10];
            let count = socket.recv_slice(&mut buffer).unwrap_or(0);
            count > 0 && socket.send_slice(&buffer[..count]).is_ok()
        }
    }
}
