//! The other side of what is tested: connected sockets, pipes, files, and a peer that reads along.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ostia_port::os;
use rustix::net::sockopt;

use super::system;
pub use super::system::pipe;
use super::system::set_segment_size;

/// Two ends of a TCP connection over loopback.
pub fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let near = TcpStream::connect(listener.local_addr().expect("address")).expect("connects");
    let (far, _) = listener.accept().expect("accepts");
    (near, far)
}

/// A connection that holds little: what is sent soon waits for the reader.
pub fn narrow_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    // Accepted connections inherit it, and it must be set before the window is offered.
    sockopt::set_socket_recv_buffer_size(&listener, 8 << 10).expect("SO_RCVBUF");
    set_segment_size(&listener);
    let near = TcpStream::connect(listener.local_addr().expect("address")).expect("connects");
    sockopt::set_socket_send_buffer_size(&near, 16 << 10).expect("SO_SNDBUF");
    let (far, _) = listener.accept().expect("accepts");
    (near, far)
}

/// Ends a connection by a reset.
pub fn reset(stream: TcpStream) {
    sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("SO_LINGER");
    drop(stream);
}

/// Takes what is there from a stream, without waiting; false at its end.
pub fn drain(stream: &TcpStream, into: &mut Vec<u8>) -> bool {
    let mut scratch = [0u8; 16 << 10];
    loop {
        match system::try_recv(stream, &mut scratch) {
            Ok(0) => return false,
            Ok(count) => into.extend_from_slice(&scratch[..count]),
            Err(os::EAGAIN) => return true,
            Err(os::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// Reads until `into` holds `len` bytes, the end, an error, or the suite's patience is over.
pub fn read_up_to(stream: &TcpStream, into: &mut Vec<u8>, len: usize) {
    let deadline = Instant::now() + super::patience();
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("SO_RCVTIMEO");
    let mut scratch = [0u8; 16 << 10];
    while into.len() < len && Instant::now() < deadline {
        let want = scratch.len().min(len - into.len());
        match (&mut &*stream).read(&mut scratch[..want]) {
            Ok(0) => return,
            Ok(count) => into.extend_from_slice(&scratch[..count]),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted) => {}
            Err(_) => return,
        }
    }
}

/// A file in a folder for temporary ones, gone when dropped.
pub struct TempFile {
    pub path: PathBuf,
    pub file: File,
}

impl TempFile {
    pub fn new(contents: &[u8]) -> TempFile {
        TempFile::within(std::env::temp_dir(), contents)
    }

    /// On the file system that holds the build: a real one, where the folder for temporary files may be in memory.
    pub fn on_disk(contents: &[u8]) -> TempFile {
        TempFile::within(PathBuf::from(env!("CARGO_TARGET_TMPDIR")), contents)
    }

    fn within(folder: PathBuf, contents: &[u8]) -> TempFile {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("ostia-port-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = folder.join(name);
        let mut file = File::options().read(true).write(true).create_new(true).open(&path).expect("a temporary file");
        file.write_all(contents).expect("written");
        TempFile { path, file }
    }

    /// Another open file of it, for a port.
    pub fn open(&self) -> File {
        system::for_ports(File::options().read(true).write(true)).open(&self.path).expect("reopens")
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
