//! The calls, of the kernel and of a world, behind one face: libc's signatures, with `errno`.

use std::ffi::{c_int, c_ulong, c_void};
use std::sync::Arc;

use libc::{epoll_event, iovec, msghdr, nfds_t, pollfd, sockaddr, socklen_t};
use ostia_posix::{World, c};

/// What answers.
#[derive(Clone, Copy)]
pub enum Api {
    /// libc, and with it the kernel.
    Kernel,
    /// A world.
    World(*mut c_void),
}

// SAFETY: a world may be called from any thread (`World` is `Sync`), and the pointer lives as long as the test.
unsafe impl Send for Api {}
// SAFETY: as above.
unsafe impl Sync for Api {}

impl Api {
    /// A world of its own for whoever asks.
    pub fn world(world: World) -> Api {
        Api::World(c::into_raw(Arc::new(world)))
    }

    /// Ends the world.
    pub fn release(self) {
        if let Api::World(world) = self {
            // SAFETY: it is from `into_raw`, and this is the only one who releases it.
            unsafe { c::release(world) };
        }
    }
}

macro_rules! calls {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        impl Api {
            $(
                pub fn $name(self, $($argument: $kind),*) -> $answer {
                    match self {
                        // SAFETY: every pointer comes from a slice or an object in `run`, with its length, or is null.
                        Api::Kernel => unsafe { libc::$name($($argument),*) },
                        // SAFETY: as above, and the world lives.
                        Api::World(world) => unsafe { c::$name(world, $($argument),*) },
                    }
                }
            )*
        }
    };
}

calls! {
    socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    bind(fd: c_int, name: *const sockaddr, len: socklen_t) -> c_int;
    listen(fd: c_int, backlog: c_int) -> c_int;
    accept4(fd: c_int, name: *mut sockaddr, len: *mut socklen_t, flags: c_int) -> c_int;
    connect(fd: c_int, name: *const sockaddr, len: socklen_t) -> c_int;
    shutdown(fd: c_int, how: c_int) -> c_int;
    close(fd: c_int) -> c_int;
    getsockname(fd: c_int, name: *mut sockaddr, len: *mut socklen_t) -> c_int;
    getpeername(fd: c_int, name: *mut sockaddr, len: *mut socklen_t) -> c_int;
    read(fd: c_int, into: *mut c_void, len: usize) -> isize;
    readv(fd: c_int, rows: *const iovec, count: c_int) -> isize;
    recvfrom(fd: c_int, into: *mut c_void, len: usize, flags: c_int, name: *mut sockaddr, name_len: *mut socklen_t) -> isize;
    recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> isize;
    write(fd: c_int, data: *const c_void, len: usize) -> isize;
    writev(fd: c_int, rows: *const iovec, count: c_int) -> isize;
    sendto(fd: c_int, data: *const c_void, len: usize, flags: c_int, name: *const sockaddr, name_len: socklen_t) -> isize;
    sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> isize;
    getsockopt(fd: c_int, level: c_int, name: c_int, value: *mut c_void, len: *mut socklen_t) -> c_int;
    setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, len: socklen_t) -> c_int;
    poll(entries: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int;
    epoll_create(size: c_int) -> c_int;
    epoll_create1(flags: c_int) -> c_int;
    epoll_ctl(epfd: c_int, op: c_int, fd: c_int, event: *mut epoll_event) -> c_int;
    epoll_wait(epfd: c_int, events: *mut epoll_event, most: c_int, timeout: c_int) -> c_int;
    pipe(ends: *mut c_int) -> c_int;
}

impl Api {
    pub fn fcntl(self, fd: c_int, command: c_int, argument: isize) -> c_int {
        match self {
            // SAFETY: the commands of this test take a number or nothing.
            Api::Kernel => unsafe { libc::fcntl(fd, command, argument) },
            // SAFETY: as above.
            Api::World(world) => unsafe { c::fcntl(world, fd, command, argument) },
        }
    }

    pub fn ioctl(self, fd: c_int, request: c_ulong, place: &mut c_int) -> c_int {
        let place = (&raw mut *place).cast::<c_void>();
        match self {
            // SAFETY: the requests of this test take a pointer to an int.
            Api::Kernel => unsafe { libc::ioctl(fd, request as _, place) },
            // SAFETY: as above.
            Api::World(world) => unsafe { c::ioctl(world, fd, request, place) },
        }
    }

    pub fn splice(self, from: c_int, to: c_int, len: usize) -> isize {
        let none = std::ptr::null_mut();
        match self {
            // SAFETY: there are no offsets.
            Api::Kernel => unsafe { libc::splice(from, none, to, none, len, libc::SPLICE_F_NONBLOCK) },
            // SAFETY: as above.
            Api::World(world) => unsafe { c::splice(world, from, none, to, none, len, libc::SPLICE_F_NONBLOCK) },
        }
    }
}
