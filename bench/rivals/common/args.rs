//! The command line that every rival shares, the processor it pins itself to and the line it prints when ready.
//! Included by path, so that each rival stays a package of one file.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};

/// What the command line asked for.
pub struct Args {
    /// Address to listen on; port 0 lets the kernel choose.
    pub addr: SocketAddr,
    /// Options of this rival alone, as name and value.
    #[allow(dead_code, reason = "only some rivals have options of their own")]
    pub own: Vec<(String, OsString)>,
}

impl Args {
    /// Reads `--addr HOST:PORT`, `--pin CPU` and the `--NAME VALUE` pairs listed in `own`; ends the process with a
    /// message and status 2 where it can't.
    pub fn parse(own: &[&str]) -> Args {
        match Args::try_parse(own) {
            Ok(args) => args,
            Err(error) => {
                eprintln!("{error}\nusage: --addr HOST:PORT [--pin CPU]{}", usage(own));
                std::process::exit(2);
            }
        }
    }

    fn try_parse(own: &[&str]) -> Result<Args, lexopt::Error> {
        use lexopt::prelude::*;
        let mut args = Args { addr: SocketAddr::from(([127, 0, 0, 1], 0)), own: Vec::new() };
        let mut parser = lexopt::Parser::from_env();
        while let Some(arg) = parser.next()? {
            match arg {
                Long("addr") => args.addr = parser.value()?.parse()?,
                Long("pin") => pin(parser.value()?.parse()?).map_err(|error| format!("--pin: {error}"))?,
                Long(name) if own.contains(&name) => {
                    let name = name.to_owned();
                    args.own.push((name, parser.value()?));
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(args)
    }

    /// The value of an option of this rival's own, if it was given and is UTF-8.
    #[allow(dead_code, reason = "only some rivals have options of their own")]
    pub fn own(&self, name: &str) -> Option<&str> {
        self.own.iter().rev().find(|(have, _)| have == name).and_then(|(_, value)| value.to_str())
    }
}

fn usage(own: &[&str]) -> String {
    own.iter().map(|name| format!(" [--{name} VALUE]")).collect()
}

/// Binds this thread, and every thread it starts, to one processor.
fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no such processor"));
    }
    // SAFETY: an all-zero cpu_set_t is an empty set, `cpu` is within it, and the kernel only reads it.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A listening socket with a long accept queue and `TCP_NODELAY` set, which Linux hands on to accepted sockets.
#[allow(dead_code, reason = "some libraries bind by themselves")]
pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    use std::os::fd::AsRawFd;
    let listener = TcpListener::bind(addr)?;
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open for the whole call and `on` outlives it.
    let failed = unsafe {
        let fd = listener.as_raw_fd();
        libc::listen(fd, 4096) != 0
            || libc::setsockopt(
                fd,
                libc::IPPROTO_TCP,
                libc::TCP_NODELAY,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            ) != 0
    };
    if failed { Err(io::Error::last_os_error()) } else { Ok(listener) }
}

/// Prints the line that says this server is ready, and where.
pub fn announce(addr: SocketAddr) {
    let mut out = io::stdout().lock();
    // A closed standard output is no reason to stop serving.
    let _ = writeln!(out, "listening on {addr}").and_then(|()| out.flush());
}
