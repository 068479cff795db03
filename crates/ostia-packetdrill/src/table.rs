//! The table of functions that the tool calls (`struct packetdrill_interface` of its packetdrill.h).

use std::ffi::{CStr, c_char, c_int, c_longlong, c_uint, c_ulong, c_void};
use std::sync::Arc;
use std::time::Duration;

use libc::{epoll_event, iovec, loff_t, msghdr, nfds_t, pollfd, sockaddr, socklen_t, timeval};
use ostia_posix::{Errno, World, c};

use crate::{chatter, flags, learn, own};

type Data = *mut c_void;

/// `struct packetdrill_interface`: first a pointer that every function is given, then the functions, in this order. fcntl and
/// ioctl are variadic there; here they have a third argument (see [`c::fcntl`]).
#[allow(missing_docs, reason = "each is libc's function of its name, but for those that the tool's header explains")]
#[repr(C)]
pub struct Interface {
    pub userdata: Data,
    pub free: unsafe extern "C" fn(Data),
    pub socket: unsafe extern "C" fn(Data, c_int, c_int, c_int) -> c_int,
    pub bind: unsafe extern "C" fn(Data, c_int, *const sockaddr, socklen_t) -> c_int,
    pub listen: unsafe extern "C" fn(Data, c_int, c_int) -> c_int,
    pub accept: unsafe extern "C" fn(Data, c_int, *mut sockaddr, *mut socklen_t) -> c_int,
    pub connect: unsafe extern "C" fn(Data, c_int, *const sockaddr, socklen_t) -> c_int,
    pub read: unsafe extern "C" fn(Data, c_int, *mut c_void, usize) -> isize,
    pub readv: unsafe extern "C" fn(Data, c_int, *const iovec, c_int) -> isize,
    pub recv: unsafe extern "C" fn(Data, c_int, *mut c_void, usize, c_int) -> isize,
    pub recvfrom: unsafe extern "C" fn(Data, c_int, *mut c_void, usize, c_int, *mut sockaddr, *mut socklen_t) -> isize,
    pub recvmsg: unsafe extern "C" fn(Data, c_int, *mut msghdr, c_int) -> isize,
    pub write: unsafe extern "C" fn(Data, c_int, *const c_void, usize) -> isize,
    pub writev: unsafe extern "C" fn(Data, c_int, *const iovec, c_int) -> isize,
    pub send: unsafe extern "C" fn(Data, c_int, *const c_void, usize, c_int) -> isize,
    pub sendto: unsafe extern "C" fn(Data, c_int, *const c_void, usize, c_int, *const sockaddr, socklen_t) -> isize,
    pub sendmsg: unsafe extern "C" fn(Data, c_int, *const msghdr, c_int) -> isize,
    pub fcntl: unsafe extern "C" fn(Data, c_int, c_int, isize) -> c_int,
    pub ioctl: unsafe extern "C" fn(Data, c_int, c_ulong, *mut c_void) -> c_int,
    pub close: unsafe extern "C" fn(Data, c_int) -> c_int,
    pub shutdown: unsafe extern "C" fn(Data, c_int, c_int) -> c_int,
    pub getsockopt: unsafe extern "C" fn(Data, c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int,
    pub setsockopt: unsafe extern "C" fn(Data, c_int, c_int, c_int, *const c_void, socklen_t) -> c_int,
    pub poll: unsafe extern "C" fn(Data, *mut pollfd, nfds_t, c_int) -> c_int,
    pub netdev_send: unsafe extern "C" fn(Data, *const c_void, usize) -> c_int,
    pub netdev_receive: unsafe extern "C" fn(Data, *mut c_void, *mut usize, *mut c_longlong) -> c_int,
    pub usleep: unsafe extern "C" fn(Data, c_uint) -> c_int,
    pub gettimeofday: unsafe extern "C" fn(Data, *mut timeval, *mut c_void) -> c_int,
    pub epoll_create: unsafe extern "C" fn(Data, c_int) -> c_int,
    pub epoll_ctl: unsafe extern "C" fn(Data, c_int, c_int, c_int, *mut epoll_event) -> c_int,
    pub epoll_wait: unsafe extern "C" fn(Data, c_int, *mut epoll_event, c_int, c_int) -> c_int,
    pub pipe: unsafe extern "C" fn(Data, *mut c_int) -> c_int,
    pub splice: unsafe extern "C" fn(Data, c_int, *mut loff_t, c_int, *mut loff_t, usize, c_uint) -> isize,
}

/// Makes a host and fills the table with its functions. `flags` are those of `--so_flags`, or null. If there can be none, says
/// why on standard error, and fills the table with functions that fail: the tool has no way to hear of it here, but ends as soon as
/// it can't have the time.
///
/// # Safety
/// `flags` is null or a C string; `interface` is null or has room for an [`Interface`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn packetdrill_interface_init(flags: *const c_char, interface: *mut Interface) {
    let text = match flags.is_null() {
        true => String::new(),
        // SAFETY: not null, so a C string.
        false => unsafe { CStr::from_ptr(flags) }.to_string_lossy().into_owned(),
    };
    let world = flags::read(&text).and_then(|flags| {
        learn::set_v6_mtu(flags.v6_mtu);
        World::new(flags.setup).map_err(|error| format!("no world: {error}"))
    });
    if interface.is_null() {
        eprintln!("ostia: no table to fill");
        return;
    }
    let data = match world {
        Err(reason) => {
            eprintln!("ostia: {reason}");
            std::ptr::null_mut()
        }
        Ok(world) => {
            let world = Arc::new(world);
            own::set_world(Some(Arc::clone(&world)));
            c::into_raw(world)
        }
    };
    // SAFETY: not null, so there is room.
    unsafe { interface.write(filled(data)) };
}

fn filled(userdata: Data) -> Interface {
    Interface {
        userdata,
        free,
        socket,
        bind,
        listen: c::listen,
        accept,
        connect,
        read: c::read,
        readv: c::readv,
        recv: c::recv,
        recvfrom: c::recvfrom,
        recvmsg: c::recvmsg,
        write: c::write,
        writev: c::writev,
        send: c::send,
        sendto,
        sendmsg,
        fcntl: c::fcntl,
        ioctl: c::ioctl,
        close,
        shutdown: c::shutdown,
        getsockopt: c::getsockopt,
        setsockopt: c::setsockopt,
        poll: c::poll,
        netdev_send,
        netdev_receive,
        usleep,
        gettimeofday,
        epoll_create,
        epoll_ctl: c::epoll_ctl,
        epoll_wait: c::epoll_wait,
        pipe: c::pipe,
        splice,
    }
}

/// An answer without a number.
fn done(outcome: Result<(), Errno>) -> c_int {
    c::int(outcome.map(|()| 0))
}

unsafe extern "C" fn free(data: Data) {
    own::set_world(None);
    // SAFETY: the tool frees what it was given, once.
    unsafe { c::release(data) }
}

unsafe extern "C" fn socket(data: Data, domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    // SAFETY: the tool's.
    own::opened(unsafe { c::socket(data, domain, kind, protocol) })
}

unsafe extern "C" fn accept(data: Data, fd: c_int, name: *mut sockaddr, len: *mut socklen_t) -> c_int {
    // SAFETY: the tool's.
    own::opened(unsafe { c::accept(data, fd, name, len) })
}

unsafe extern "C" fn epoll_create(data: Data, size: c_int) -> c_int {
    // SAFETY: the tool's.
    own::opened(unsafe { c::epoll_create(data, size) })
}

unsafe extern "C" fn close(data: Data, fd: c_int) -> c_int {
    own::closed(fd);
    // SAFETY: the tool's.
    unsafe { c::close(data, fd) }
}

/// # Safety
/// `len` bytes are readable at `name` unless that is null.
unsafe fn address(name: *const sockaddr, len: socklen_t) -> Option<std::net::IpAddr> {
    // SAFETY: the caller's.
    let name = unsafe { c::bytes(name.cast(), len as usize) }.ok()?;
    learn::of_name(name)
}

/// What goes to a name needs an address of the host's to come from.
///
/// # Safety
/// As [`address`]; `data` is the table's own.
unsafe fn needs(data: Data, name: *const sockaddr, len: socklen_t) {
    // SAFETY: the caller's.
    if let (Ok(world), Some(address)) = unsafe { (c::borrow(data), address(name, len)) } {
        learn::needed(&world, address);
    }
}

/// bind(2): the address is the host's.
unsafe extern "C" fn bind(data: Data, fd: c_int, name: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: the tool's.
    if let (Ok(world), Some(address)) = unsafe { (c::borrow(data), address(name, len)) } {
        learn::seen(&world, address);
    }
    // SAFETY: the tool's.
    unsafe { c::bind(data, fd, name, len) }
}

/// connect(2): from some address.
unsafe extern "C" fn connect(data: Data, fd: c_int, name: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: the tool's.
    unsafe { needs(data, name, len) };
    // SAFETY: the tool's.
    unsafe { c::connect(data, fd, name, len) }
}

/// sendto(2): a datagram is sent from some address.
unsafe extern "C" fn sendto(
    data: Data,
    fd: c_int,
    bytes: *const c_void,
    count: usize,
    flags: c_int,
    name: *const sockaddr,
    len: socklen_t,
) -> isize {
    // SAFETY: the tool's.
    unsafe { needs(data, name, len) };
    // SAFETY: the tool's.
    unsafe { c::sendto(data, fd, bytes, count, flags, name, len) }
}

/// sendmsg(2), as [`sendto`].
unsafe extern "C" fn sendmsg(data: Data, fd: c_int, message: *const msghdr, flags: c_int) -> isize {
    // SAFETY: the tool's.
    if let Ok(head) = unsafe { c::object(message) } {
        // SAFETY: the tool's.
        unsafe { needs(data, head.msg_name.cast_const().cast(), head.msg_namelen) };
    }
    // SAFETY: the tool's.
    unsafe { c::sendmsg(data, fd, message, flags) }
}

/// splice(2). The tool gives what a script says of an offset by a pointer to it, where the kernel is given the number itself: a
/// null pointer is a pointer to 0.
unsafe extern "C" fn splice(
    data: Data,
    from: c_int,
    from_at: *mut loff_t,
    to: c_int,
    to_at: *mut loff_t,
    len: usize,
    flags: c_uint,
) -> isize {
    // SAFETY: the tool's.
    let [from_at, to_at] = [from_at, to_at].map(|at| match unsafe { c::object(at.cast_const()) } {
        Ok(0) => std::ptr::null_mut(),
        _ => at,
    });
    // SAFETY: the tool's.
    unsafe { c::splice(data, from, from_at, to, to_at, len, flags) }
}

/// A raw IP packet for the host.
unsafe extern "C" fn netdev_send(data: Data, packet: *const c_void, len: usize) -> c_int {
    // SAFETY: the tool's.
    let (world, packet) = unsafe { (c::borrow(data), c::bytes(packet, len)) };
    let outcome = world.and_then(|world| {
        let packet = packet?;
        learn::seen(&world, learn::destination(packet)?);
        world.inject(packet)
    });
    done(outcome)
}

/// The next IP packet that leaves the host, and when it left, in microseconds of [`gettimeofday`]. Sleeps until there is one.
unsafe extern "C" fn netdev_receive(data: Data, into: *mut c_void, len: *mut usize, micros: *mut c_longlong) -> c_int {
    // SAFETY: the tool's.
    let (world, room) = unsafe { (c::borrow(data), c::object(len.cast_const())) };
    let outcome = world.and_then(|world| {
        // SAFETY: the tool says how much room there is.
        let into = unsafe { c::bytes_mut(into, room?) }?;
        let packet = loop {
            let packet = world.take_packet(None)?;
            if !chatter::is_chatter(packet.frame.as_slice()) {
                break packet;
            }
        };
        let bytes = packet.frame.as_slice();
        let count = bytes.len().min(into.len());
        into[..count].copy_from_slice(&bytes[..count]);
        // SAFETY: the tool's.
        unsafe {
            c::put(len, count)?;
            c::put(micros, (packet.at.0 / 1000) as c_longlong)
        }
    });
    done(outcome)
}

unsafe extern "C" fn usleep(_data: Data, micros: c_uint) -> c_int {
    std::thread::sleep(Duration::from_micros(micros.into()));
    0
}

/// The world's time. It is asked for in a loop, and takes no lock.
unsafe extern "C" fn gettimeofday(data: Data, place: *mut timeval, _zone: *mut c_void) -> c_int {
    // SAFETY: the tool's.
    let outcome = unsafe { c::borrow(data) }.and_then(|world| {
        let micros = world.now().0 / 1000;
        let time = timeval { tv_sec: (micros / 1_000_000) as _, tv_usec: (micros % 1_000_000) as _ };
        // SAFETY: the tool's.
        unsafe { c::put(place, time) }
    });
    done(outcome)
}
