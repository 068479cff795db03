//! Leader and followers: one ring that every thread may enter, hand-written.
//!
//! One thread at a time leads: it waits for completions, takes its share of those that are there, lets the next one lead
//! and handles what it took. The ring has neither of the flags that would tie it to one thread (single issuer, deferred
//! task run), so the kernel finishes requests in the context of whichever thread submitted them.
//!
//! A connection has one request under way at a time: an answer and the next receive are submitted together, by one enter,
//! and the answer has no completion of its own when it succeeds. It goes out inside that enter, for the socket has room
//! for what the peer has been waiting for.

use std::cell::UnsafeCell;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, PoisonError};

use io_uring::squeue::{Entry, Flags};
use io_uring::types::Fd;
use io_uring::{IoUring, cqueue, opcode};

use crate::work::{REQUEST, Work};

/// Descriptors that may be open.
const DESCRIPTORS: usize = 16 * 1024;
/// Completions that a leader takes at most.
const BATCH: usize = 16;
/// `IORING_ENTER_GETEVENTS`.
const GET_EVENTS: u32 = 1;

// User data: the kind in the upper half, the descriptor in the lower.
const ACCEPT: u64 = 0 << 32;
const RECV: u64 = 1 << 32;
const SEND: u64 = 2 << 32;

/// A connection's buffers: the next request may arrive while the kernel still looks at the answer.
#[derive(Clone, Copy)]
struct Connection {
    request: [u8; REQUEST],
    answer: [u8; REQUEST],
}

/// Connections by descriptor. Each is touched only by the thread that has taken the completion of its receive, until that
/// thread submits the next one.
struct Connections(Box<[UnsafeCell<Connection>]>);

// SAFETY: see the type: the kernel hands a connection from one thread to the next, one completion at a time.
unsafe impl Sync for Connections {}

struct Server {
    ring: IoUring,
    listener: TcpListener,
    threads: usize,
    connections: Connections,
    /// Whoever holds it leads, and alone reads the completion queue.
    lead: Mutex<()>,
    /// Whoever holds it writes the submission queue.
    submit: Mutex<()>,
}

/// Serves for ever with `threads` threads.
pub fn serve(listener: TcpListener, threads: usize) -> io::Result<()> {
    // Entries are gone from the queue once it has been entered, and each thread enters before it fills in more than two.
    let ring = IoUring::builder().setup_submit_all().setup_cqsize(4096).build(4096)?;
    let empty = Connection { request: [0; REQUEST], answer: [0; REQUEST] };
    let connections = Connections((0..DESCRIPTORS).map(|_| UnsafeCell::new(empty)).collect());
    let server = Server { ring, listener, threads, connections, lead: Mutex::new(()), submit: Mutex::new(()) };
    server.submit(&[server.accept()])?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| server.work())).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked"))))
    })
}

impl Server {
    fn work(&self) -> io::Result<()> {
        let mut taken: Vec<cqueue::Entry> = Vec::with_capacity(BATCH);
        loop {
            self.lead(&mut taken)?;
            for done in taken.drain(..) {
                self.handle(&done)?;
            }
        }
    }

    /// Leads until there is something to do, and takes a share of it.
    fn lead(&self, taken: &mut Vec<cqueue::Entry>) -> io::Result<()> {
        let _leading = self.lead.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            // SAFETY: only the leader reads this queue.
            let mut queue = unsafe { self.ring.completion_shared() };
            let share = queue.len().div_ceil(self.threads).min(BATCH);
            taken.extend(queue.by_ref().take(share));
            drop(queue);
            if !taken.is_empty() {
                return Ok(());
            }
            self.enter(0, 1)?;
        }
    }

    fn handle(&self, done: &cqueue::Entry) -> io::Result<()> {
        let descriptor = done.user_data() as u32 as i32;
        match done.user_data() & !u64::from(u32::MAX) {
            ACCEPT => {
                let again = (!cqueue::more(done.flags())).then(|| self.accept());
                let first = (done.result() >= 0).then(|| self.receive(done.result()));
                self.submit(&again.into_iter().chain(first).collect::<Vec<_>>())
            }
            RECV => {
                let connection = self.connections.0[descriptor as usize].get();
                // SAFETY: this thread has taken the receive's completion, so the connection is its own.
                let connection = unsafe { &mut *connection };
                match Work::of(&connection.request).filter(|_| done.result() == REQUEST as i32) {
                    Some(work) => {
                        work.run();
                        connection.answer = connection.request;
                        let answer = connection.answer.as_ptr();
                        self.submit(&[send(descriptor, answer), self.receive(descriptor)])
                    }
                    None => {
                        // SAFETY: the accept has made this descriptor, and nothing is under way on it.
                        unsafe { libc::close(descriptor) };
                        Ok(())
                    }
                }
            }
            // A send that failed; the receive tells of the end too.
            _ => Ok(()),
        }
    }

    fn accept(&self) -> Entry {
        opcode::AcceptMulti::new(Fd(self.listener.as_raw_fd())).build().user_data(ACCEPT)
    }

    fn receive(&self, descriptor: i32) -> Entry {
        let connection = self.connections.0[descriptor as usize].get();
        // SAFETY: a place within the table; the request's bytes are not looked at before the completion.
        let request = unsafe { &raw mut (*connection).request };
        opcode::Recv::new(Fd(descriptor), request.cast(), REQUEST as u32).build().user_data(RECV | descriptor as u64)
    }

    /// Submits entries by one system call.
    fn submit(&self, entries: &[Entry]) -> io::Result<()> {
        let filling = self.submit.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: under the lock nobody else writes this queue; buffers live as long as the process.
        unsafe { self.ring.submission_shared().push_multiple(entries) }.map_err(io::Error::other)?;
        drop(filling);
        // Which thread's entries this enter takes doesn't matter: each enters for as many as it has filled in.
        self.enter(entries.len() as u32, 0)
    }

    /// Enters the kernel to submit so many entries and to wait for so many completions.
    fn enter(&self, submit: u32, wait: u32) -> io::Result<()> {
        let get_events = if wait > 0 { GET_EVENTS } else { 0 };
        // SAFETY: no argument beside the numbers.
        match unsafe { self.ring.submitter().enter::<libc::sigset_t>(submit, wait, get_events, None) } {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }
}

fn send(descriptor: i32, answer: *const u8) -> Entry {
    let send = opcode::Send::new(Fd(descriptor), answer, REQUEST as u32).flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL);
    send.build().flags(Flags::SKIP_SUCCESS).user_data(SEND | descriptor as u64)
}
