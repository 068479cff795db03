//! The library, loaded, and its table in the tool's own words.

use std::ffi::{CString, c_int, c_longlong, c_uint, c_ulong, c_void};
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use libc::{epoll_event, iovec, loff_t, msghdr, nfds_t, pollfd, sockaddr, socklen_t, ssize_t, timeval};
use ostia_posix::Sockaddr;

type Data = *mut c_void;

/// The structure as the tool's header has it, written down from that and not from the library.
#[allow(dead_code, reason = "every place counts, called or not")]
#[repr(C)]
struct Table {
    userdata: Data,
    free: unsafe extern "C" fn(Data),
    socket: unsafe extern "C" fn(Data, c_int, c_int, c_int) -> c_int,
    bind: unsafe extern "C" fn(Data, c_int, *const sockaddr, socklen_t) -> c_int,
    listen: unsafe extern "C" fn(Data, c_int, c_int) -> c_int,
    accept: unsafe extern "C" fn(Data, c_int, *mut sockaddr, *mut socklen_t) -> c_int,
    connect: unsafe extern "C" fn(Data, c_int, *const sockaddr, socklen_t) -> c_int,
    read: unsafe extern "C" fn(Data, c_int, *mut c_void, usize) -> ssize_t,
    readv: unsafe extern "C" fn(Data, c_int, *const iovec, c_int) -> ssize_t,
    recv: unsafe extern "C" fn(Data, c_int, *mut c_void, usize, c_int) -> ssize_t,
    recvfrom: unsafe extern "C" fn(Data, c_int, *mut c_void, usize, c_int, *mut sockaddr, *mut socklen_t) -> ssize_t,
    recvmsg: unsafe extern "C" fn(Data, c_int, *mut msghdr, c_int) -> ssize_t,
    write: unsafe extern "C" fn(Data, c_int, *const c_void, usize) -> ssize_t,
    writev: unsafe extern "C" fn(Data, c_int, *const iovec, c_int) -> ssize_t,
    send: unsafe extern "C" fn(Data, c_int, *const c_void, usize, c_int) -> ssize_t,
    sendto: unsafe extern "C" fn(Data, c_int, *const c_void, usize, c_int, *const sockaddr, socklen_t) -> ssize_t,
    sendmsg: unsafe extern "C" fn(Data, c_int, *const msghdr, c_int) -> ssize_t,
    fcntl: unsafe extern "C" fn(Data, c_int, c_int, ...) -> c_int,
    ioctl: unsafe extern "C" fn(Data, c_int, c_ulong, ...) -> c_int,
    close: unsafe extern "C" fn(Data, c_int) -> c_int,
    shutdown: unsafe extern "C" fn(Data, c_int, c_int) -> c_int,
    getsockopt: unsafe extern "C" fn(Data, c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int,
    setsockopt: unsafe extern "C" fn(Data, c_int, c_int, c_int, *const c_void, socklen_t) -> c_int,
    poll: unsafe extern "C" fn(Data, *mut pollfd, nfds_t, c_int) -> c_int,
    netdev_send: unsafe extern "C" fn(Data, *const c_void, usize) -> c_int,
    netdev_receive: unsafe extern "C" fn(Data, *mut c_void, *mut usize, *mut c_longlong) -> c_int,
    usleep: unsafe extern "C" fn(Data, c_uint) -> c_int,
    gettimeofday: unsafe extern "C" fn(Data, *mut timeval, *mut c_void) -> c_int,
    epoll_create: unsafe extern "C" fn(Data, c_int) -> c_int,
    epoll_ctl: unsafe extern "C" fn(Data, c_int, c_int, c_int, *mut epoll_event) -> c_int,
    epoll_wait: unsafe extern "C" fn(Data, c_int, *mut epoll_event, c_int, c_int) -> c_int,
    pipe: unsafe extern "C" fn(Data, *mut c_int) -> c_int,
    splice: unsafe extern "C" fn(Data, c_int, *mut loff_t, c_int, *mut loff_t, usize, c_uint) -> ssize_t,
}

/// The library, which cargo has built beside this test.
pub fn load() -> PathBuf {
    let this = std::env::current_exe().expect("this test");
    let library = this.with_file_name("libostia_packetdrill.so");
    assert!(library.exists(), "{} is not there", library.display());
    library
}

pub fn last_error() -> c_int {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// libc's getsockopt: what there is in so much room, or the error.
pub fn libc_option(fd: c_int, level: c_int, name: c_int, room: usize) -> Result<Vec<u8>, c_int> {
    let (mut bytes, mut len) = (vec![0; room], room as socklen_t);
    // SAFETY: the room is this vector's.
    match unsafe { libc::getsockopt(fd, level, name, bytes.as_mut_ptr().cast(), &mut len) } {
        0 => {
            bytes.truncate(len as usize);
            Ok(bytes)
        }
        _ => Err(last_error()),
    }
}

/// A host in the library.
pub struct Host(Table);

// SAFETY: the tool calls the table from two threads.
unsafe impl Sync for Host {}

impl Host {
    pub fn new(library: &std::path::Path, flags: &str) -> Host {
        Host::try_new(library, flags).expect("the table is filled")
    }

    /// Loads the library as the tool does, and has it fill a table; none if it leaves it as it is.
    pub fn try_new(library: &std::path::Path, flags: &str) -> Option<Host> {
        let path = CString::new(library.as_os_str().as_bytes()).expect("a path");
        let flags = CString::new(flags).expect("flags");
        let how = libc::RTLD_NOW | libc::RTLD_LOCAL | libc::RTLD_NODELETE | libc::RTLD_DEEPBIND;
        // SAFETY: the library is this crate's, and its initialisers are Rust's.
        let handle = unsafe { libc::dlopen(path.as_ptr(), how) };
        assert!(!handle.is_null(), "{} can be loaded", library.display());
        // SAFETY: the handle is good, and the name a C string.
        let symbol = unsafe { libc::dlsym(handle, c"packetdrill_interface_init".as_ptr()) };
        assert!(!symbol.is_null(), "it has the function");
        // SAFETY: that is the function's type by the tool's header.
        let init: unsafe extern "C" fn(*const libc::c_char, *mut Table) = unsafe { std::mem::transmute(symbol) };
        let mut table = MaybeUninit::<Table>::zeroed();
        // SAFETY: a C string, and room for a table.
        unsafe { init(flags.as_ptr(), table.as_mut_ptr()) };
        // SAFETY: the second place is a function, or null.
        let filled = unsafe { table.as_ptr().cast::<Data>().add(1).read() };
        // SAFETY: who fills one place fills all.
        (!filled.is_null()).then(|| Host(unsafe { table.assume_init() }))
    }

    /// Whether the table is of a host, and not of none.
    pub fn is_there(&self) -> bool {
        !self.0.userdata.is_null()
    }

    pub fn socket(&self, v4: bool, kind: c_int) -> c_int {
        let domain = if v4 { libc::AF_INET } else { libc::AF_INET6 };
        // SAFETY: the table is the library's, and so in all that follows; pointers are of live objects, with their lengths.
        let fd = unsafe { (self.0.socket)(self.0.userdata, domain, kind, 0) };
        assert!(fd >= 0, "socket: {}", last_error());
        // SAFETY: asking for flags changes nothing.
        assert!(unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0, "a descriptor of the kernel's");
        fd
    }

    pub fn bind(&self, fd: c_int, address: IpAddr, port: u16) {
        let name = Sockaddr::new(address, port);
        let (start, len) = (name.as_bytes().as_ptr().cast(), name.as_bytes().len() as socklen_t);
        // SAFETY: see `socket`.
        assert_eq!(unsafe { (self.0.bind)(self.0.userdata, fd, start, len) }, 0, "bind: {}", last_error());
    }

    pub fn listen(&self, fd: c_int, backlog: c_int) -> c_int {
        // SAFETY: see `socket`.
        unsafe { (self.0.listen)(self.0.userdata, fd, backlog) }
    }

    pub fn accept(&self, fd: c_int) -> c_int {
        // SAFETY: see `socket`.
        let fd = unsafe { (self.0.accept)(self.0.userdata, fd, std::ptr::null_mut(), std::ptr::null_mut()) };
        assert!(fd >= 0, "accept: {}", last_error());
        fd
    }

    pub fn connect(&self, fd: c_int, address: IpAddr, port: u16) -> Result<(), c_int> {
        let name = Sockaddr::new(address, port);
        let (start, len) = (name.as_bytes().as_ptr().cast(), name.as_bytes().len() as socklen_t);
        // SAFETY: see `socket`.
        match unsafe { (self.0.connect)(self.0.userdata, fd, start, len) } {
            0 => Ok(()),
            _ => Err(last_error()),
        }
    }

    pub fn read(&self, fd: c_int) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        // SAFETY: see `socket`.
        let count = unsafe { (self.0.read)(self.0.userdata, fd, bytes.as_mut_ptr().cast(), bytes.len()) };
        bytes.truncate(usize::try_from(count).unwrap_or_else(|_| panic!("read: {}", last_error())));
        bytes
    }

    pub fn write(&self, fd: c_int, bytes: &[u8]) {
        // SAFETY: see `socket`.
        let count = unsafe { (self.0.write)(self.0.userdata, fd, bytes.as_ptr().cast(), bytes.len()) };
        assert_eq!(usize::try_from(count), Ok(bytes.len()), "write: {}", last_error());
    }

    pub fn close(&self, fd: c_int) -> c_int {
        // SAFETY: see `socket`.
        unsafe { (self.0.close)(self.0.userdata, fd) }
    }

    pub fn set(&self, fd: c_int, level: c_int, name: c_int, value: c_int) {
        // SAFETY: see `socket`.
        let answer = unsafe { (self.0.setsockopt)(self.0.userdata, fd, level, name, (&raw const value).cast(), 4) };
        assert_eq!(answer, 0, "setsockopt: {}", last_error());
    }

    pub fn socket_error(&self, fd: c_int) -> c_int {
        let (mut value, mut len) = (0, 4);
        let place = (&raw mut value).cast();
        // SAFETY: see `socket`.
        let answer = unsafe { (self.0.getsockopt)(self.0.userdata, fd, libc::SOL_SOCKET, libc::SO_ERROR, place, &mut len) };
        assert_eq!((answer, len), (0, 4), "getsockopt: {}", last_error());
        value
    }

    /// As C calls it that has no third argument to give.
    pub fn fcntl(&self, fd: c_int, command: c_int) -> c_int {
        // SAFETY: see `socket`; the command takes nothing.
        unsafe { (self.0.fcntl)(self.0.userdata, fd, command) }
    }

    /// As C calls it with an int.
    pub fn fcntl_with(&self, fd: c_int, command: c_int, value: c_int) -> c_int {
        // SAFETY: see `socket`; the command takes an int.
        unsafe { (self.0.fcntl)(self.0.userdata, fd, command, value) }
    }

    pub fn ioctl(&self, fd: c_int, request: c_ulong) -> c_int {
        let mut value: c_int = -1;
        // SAFETY: see `socket`; the request takes a pointer to an int.
        let answer = unsafe { (self.0.ioctl)(self.0.userdata, fd, request, &raw mut value) };
        assert_eq!(answer, 0, "ioctl: {}", last_error());
        value
    }

    /// Waits for one of these; what came of them.
    pub fn poll(&self, fd: c_int, events: i16) -> i16 {
        let mut entry = pollfd { fd, events, revents: 0 };
        // SAFETY: see `socket`.
        assert_eq!(unsafe { (self.0.poll)(self.0.userdata, &mut entry, 1, -1) }, 1);
        entry.revents & events
    }

    pub fn send_packet(&self, packet: &[u8]) {
        assert_eq!(self.try_packet(packet), 0, "netdev_send: {}", last_error());
    }

    pub fn try_packet(&self, packet: &[u8]) -> c_int {
        // SAFETY: see `socket`.
        unsafe { (self.0.netdev_send)(self.0.userdata, packet.as_ptr().cast(), packet.len()) }
    }

    /// The next packet, and when it was sent.
    pub fn receive_packet(&self) -> (Vec<u8>, c_longlong) {
        let (mut bytes, mut len, mut time) = (vec![0; 4096], 4096, 0);
        // SAFETY: see `socket`.
        let answer = unsafe { (self.0.netdev_receive)(self.0.userdata, bytes.as_mut_ptr().cast(), &mut len, &mut time) };
        assert_eq!(answer, 0, "netdev_receive: {}", last_error());
        bytes.truncate(len);
        (bytes, time)
    }

    pub fn usleep(&self, micros: c_uint) {
        // SAFETY: see `socket`.
        assert_eq!(unsafe { (self.0.usleep)(self.0.userdata, micros) }, 0);
    }

    /// In microseconds.
    pub fn now(&self) -> c_longlong {
        self.try_now().expect("the time")
    }

    pub fn try_now(&self) -> Result<c_longlong, c_int> {
        let mut time = timeval { tv_sec: 0, tv_usec: 0 };
        // SAFETY: see `socket`.
        match unsafe { (self.0.gettimeofday)(self.0.userdata, &mut time, std::ptr::null_mut()) } {
            0 => Ok(time.tv_sec * 1_000_000 + time.tv_usec),
            _ => Err(last_error()),
        }
    }

    pub fn epoll(&self) -> c_int {
        // SAFETY: see `socket`.
        let fd = unsafe { (self.0.epoll_create)(self.0.userdata, 1) };
        assert!(fd >= 0, "epoll_create: {}", last_error());
        fd
    }

    pub fn watch(&self, epfd: c_int, fd: c_int, events: c_int, data: u64) {
        let mut event = epoll_event { events: events as u32, u64: data };
        // SAFETY: see `socket`.
        let answer = unsafe { (self.0.epoll_ctl)(self.0.userdata, epfd, libc::EPOLL_CTL_ADD, fd, &mut event) };
        assert_eq!(answer, 0, "epoll_ctl: {}", last_error());
    }

    pub fn events(&self, epfd: c_int, timeout: c_int) -> Vec<(u32, u64)> {
        let mut events = [epoll_event { events: 0, u64: 0 }; 8];
        // SAFETY: see `socket`.
        let count = unsafe { (self.0.epoll_wait)(self.0.userdata, epfd, events.as_mut_ptr(), 8, timeout) };
        let count = usize::try_from(count).unwrap_or_else(|_| panic!("epoll_wait: {}", last_error()));
        events[..count].iter().map(|event| (event.events, event.u64)).collect()
    }

    pub fn pipe(&self) -> [c_int; 2] {
        let mut ends = [0; 2];
        // SAFETY: see `socket`.
        assert_eq!(unsafe { (self.0.pipe)(self.0.userdata, ends.as_mut_ptr()) }, 0);
        ends
    }

    pub fn splice(&self, from: c_int, to: c_int, len: usize) -> ssize_t {
        let none = std::ptr::null_mut();
        // SAFETY: see `socket`.
        unsafe { (self.0.splice)(self.0.userdata, from, none, to, none, len, 0) }
    }
}

/// As the tool uses it: with the buffers that it gives, and what it looks at afterwards.
impl Host {
    /// accept(2) with room for any name: the descriptor, and the name.
    pub fn accept_named(&self, fd: c_int) -> (c_int, Vec<u8>) {
        let mut name = [0u8; size_of::<libc::sockaddr_storage>()];
        let mut len = name.len() as socklen_t;
        // SAFETY: see `socket`.
        let fd = unsafe { (self.0.accept)(self.0.userdata, fd, name.as_mut_ptr().cast(), &mut len) };
        assert!(fd >= 0, "accept: {}", last_error());
        (fd, name[..len as usize].to_vec())
    }

    /// connect(2) to a family without an address, in as much room as any name has.
    pub fn connect_family(&self, fd: c_int, family: c_int) -> c_int {
        let mut name = [0u8; size_of::<libc::sockaddr_storage>()];
        name[..2].copy_from_slice(&(family as u16).to_ne_bytes());
        // SAFETY: see `socket`.
        unsafe { (self.0.connect)(self.0.userdata, fd, name.as_ptr().cast(), name.len() as socklen_t) }
    }

    pub fn send_to(&self, fd: c_int, bytes: &[u8], flags: c_int, (address, port): (IpAddr, u16)) -> Result<usize, c_int> {
        let name = Sockaddr::new(address, port);
        let (start, len) = (name.as_bytes().as_ptr().cast(), name.as_bytes().len() as socklen_t);
        // SAFETY: see `socket`.
        answer(unsafe { (self.0.sendto)(self.0.userdata, fd, bytes.as_ptr().cast(), bytes.len(), flags, start, len) })
    }

    pub fn send_message_to(&self, fd: c_int, bytes: &[u8], (address, port): (IpAddr, u16)) -> Result<usize, c_int> {
        let name = Sockaddr::new(address, port);
        let mut row = iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        // SAFETY: a message without anything.
        let mut message: msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        message.msg_name = name.as_bytes().as_ptr().cast_mut().cast();
        message.msg_namelen = name.as_bytes().len() as socklen_t;
        (message.msg_iov, message.msg_iovlen) = (&raw mut row, 1);
        // SAFETY: see `socket`.
        answer(unsafe { (self.0.sendmsg)(self.0.userdata, fd, &message, 0) })
    }

    /// recvmsg(2) with room for control data and flags that were set before: the bytes, whether there is control data, the flags.
    pub fn receive_message(&self, fd: c_int) -> Result<(Vec<u8>, bool, c_int), c_int> {
        let (mut bytes, mut control) = (vec![0u8; 4096], [0u64; 64]);
        let mut row = iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        // SAFETY: a message without anything.
        let mut message: msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        (message.msg_iov, message.msg_iovlen) = (&raw mut row, 1);
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        message.msg_flags = libc::MSG_TRUNC;
        // SAFETY: see `socket`.
        let count = answer(unsafe { (self.0.recvmsg)(self.0.userdata, fd, &mut message, 0) })?;
        bytes.truncate(count);
        Ok((bytes, message.msg_controllen > 0, message.msg_flags))
    }

    /// read(2) or readv(2), as `vectored` says.
    pub fn try_read(&self, fd: c_int, vectored: bool) -> Result<Vec<u8>, c_int> {
        let mut bytes = vec![0u8; 4096];
        let row = iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        // SAFETY: see `socket`.
        let count = answer(unsafe {
            match vectored {
                true => (self.0.readv)(self.0.userdata, fd, &row, 1),
                false => (self.0.read)(self.0.userdata, fd, row.iov_base, row.iov_len),
            }
        })?;
        bytes.truncate(count);
        Ok(bytes)
    }

    /// write(2) or writev(2), as `vectored` says.
    pub fn try_write(&self, fd: c_int, bytes: &[u8], vectored: bool) -> Result<usize, c_int> {
        let row = iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        // SAFETY: see `socket`.
        answer(unsafe {
            match vectored {
                true => (self.0.writev)(self.0.userdata, fd, &row, 1),
                false => (self.0.write)(self.0.userdata, fd, row.iov_base, row.iov_len),
            }
        })
    }

    /// splice(2) with offsets that are there.
    pub fn splice_at(&self, (from, mut from_at): (c_int, loff_t), (to, mut to_at): (c_int, loff_t)) -> Result<usize, c_int> {
        // SAFETY: see `socket`.
        answer(unsafe { (self.0.splice)(self.0.userdata, from, &mut from_at, to, &mut to_at, 4096, 0) })
    }

    /// Looks, and doesn't wait; what there is in an entry that said something else before.
    pub fn look(&self, fd: c_int, events: i16) -> (c_int, i16) {
        let mut entry = pollfd { fd, events, revents: 0x7fff };
        // SAFETY: see `socket`.
        let found = unsafe { (self.0.poll)(self.0.userdata, &mut entry, 1, 0) };
        (found, entry.revents)
    }
}

fn answer(count: ssize_t) -> Result<usize, c_int> {
    usize::try_from(count).map_err(|_| last_error())
}

impl Drop for Host {
    fn drop(&mut self) {
        // SAFETY: as the tool does in the end, once.
        unsafe { (self.0.free)(self.0.userdata) };
    }
}
