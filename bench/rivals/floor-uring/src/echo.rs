//! The loop: completions in, echoes out.
//!
//! Sends say "don't wait" and "no completion if all went well": they run inside the enter that submits them, so when
//! that enter has returned and no completion told otherwise, the buffer is free. A peer that makes no room gets its
//! remainder by an ordinary send that waits in the kernel. A connection has one send under way at a time, which keeps
//! the order; at most `LIMIT` buffers wait for it, then its receive is cancelled until they are gone.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, Fixed};
use io_uring::{IoUring, cqueue, opcode};

use crate::buffers::{Buffers, COUNT, GROUP};

/// Connections at most.
const CONNECTIONS: u32 = 16 * 1024;
/// Buffers of one connection that wait to be sent before its receive is cancelled.
const LIMIT: u8 = 8;
/// No buffer.
const NONE: u16 = u16::MAX;

// What an operation's user data says about it: the kind in the upper half, the connection in the lower.
const ACCEPT: u64 = 0 << 32;
const RECV: u64 = 1 << 32;
const SEND: u64 = 2 << 32;
const REST: u64 = 3 << 32;
const OTHER: u64 = 4 << 32;

// What is going on with a connection.
const RECEIVING: u8 = 1;
/// The head of its queue is in a send.
const SENDING: u8 = 2;
/// The send under way waits in the kernel for room.
const WAITING: u8 = 4;
/// Nothing more will be received.
const ENDED: u8 = 8;
/// What is queued can't be sent.
const BROKEN: u8 = 16;
/// The send belongs to a turn with an odd number: tells one that was submitted from one that will be.
const ODD: u8 = 32;

#[derive(Clone, Copy)]
struct Connection {
    head: u16,
    tail: u16,
    queued: u8,
    state: u8,
}

const CLOSED: Connection = Connection { head: NONE, tail: NONE, queued: 0, state: 0 };

/// What a filled buffer holds.
#[derive(Clone, Copy, Default)]
struct Filled {
    start: u16,
    len: u16,
    next: u16,
}

pub struct Echo {
    ring: IoUring,
    listener: TcpListener,
    state: State,
}

struct State {
    buffers: Buffers,
    connections: Vec<Connection>,
    filled: Vec<Filled>,
    /// Sends that this turn submits, by connection.
    sends: Vec<u32>,
    /// Connections whose receive has to be armed again.
    rearm: Vec<u32>,
    /// Entries to submit this turn.
    entries: Vec<Entry>,
    /// Something is left to do as soon as this turn's sends are through: don't wait.
    hurry: bool,
    /// `ODD` or 0: the turn whose entries are being gathered.
    turn: u8,
}

impl Echo {
    pub fn new(listener: TcpListener) -> io::Result<Echo> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_coop_taskrun()
            .setup_defer_taskrun()
            .setup_no_sqarray()
            .setup_submit_all()
            .setup_cqsize(4096)
            .build(1024)?;
        ring.submitter().register_files_sparse(CONNECTIONS)?;
        ring.submitter().register_ring_fd()?;
        let buffers = Buffers::new(&ring.submitter())?;
        let state = State {
            buffers,
            connections: Vec::new(),
            filled: vec![Filled::default(); usize::from(COUNT)],
            sends: Vec::new(),
            rearm: Vec::new(),
            entries: Vec::new(),
            hurry: false,
            turn: 0,
        };
        Ok(Echo { ring, listener, state })
    }

    pub fn run(mut self) -> io::Result<()> {
        self.state.entries.push(accept(&self.listener));
        let mut done = Vec::new();
        loop {
            self.state.buffers.refill();
            self.state.rearm();
            self.enter()?;
            std::mem::swap(&mut done, &mut self.state.sends);
            self.state.turn ^= ODD;
            self.reap()?;
            for connection in done.drain(..) {
                self.state.sent(connection);
            }
        }
    }

    /// Submits what is queued and waits for one completion: successful sends post none.
    fn enter(&mut self) -> io::Result<()> {
        let (submitter, mut queue, _) = self.ring.split();
        let mut entries = self.state.entries.as_slice();
        loop {
            let room = queue.capacity() - queue.len();
            let (now, later) = entries.split_at(room.min(entries.len()));
            // SAFETY: buffers stay in the arena, sockets in the file table, until their completions were taken.
            unsafe { queue.push_multiple(now) }.map_err(io::Error::other)?;
            queue.sync();
            entries = later;
            let want = usize::from(entries.is_empty() && !self.state.hurry);
            match submitter.submit_and_wait(want) {
                Ok(_) => {}
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY)) => {}
                Err(error) => return Err(error),
            }
            queue.sync();
            if entries.is_empty() && queue.is_empty() {
                break;
            }
        }
        self.state.entries.clear();
        self.state.hurry = false;
        Ok(())
    }

    /// Takes every completion there is.
    fn reap(&mut self) -> io::Result<()> {
        loop {
            for completion in self.ring.completion() {
                let data = completion.user_data();
                let connection = data as u32;
                match data & !0xffff_ffff {
                    RECV => self.state.received(connection, completion.result(), completion.flags()),
                    SEND => self.state.short(connection, completion.result()),
                    REST => self.state.rest(connection, completion.result()),
                    ACCEPT => self.state.accepted(&self.listener, completion.result(), completion.flags())?,
                    _ => {}
                }
            }
            if !self.ring.submission().cq_overflow() {
                return Ok(());
            }
            self.ring.submit()?;
        }
    }
}

impl State {
    fn accepted(&mut self, listener: &TcpListener, result: i32, flags: u32) -> io::Result<()> {
        match result {
            0.. => {
                let slot = result as usize;
                if slot >= self.connections.len() {
                    self.connections.reserve_exact(64);
                    self.connections.resize(slot + 1, CLOSED);
                }
                self.connections[slot] = CLOSED;
                self.rearm.push(slot as u32);
            }
            _ if matches!(-result, libc::EINTR | libc::ECONNABORTED | libc::ECANCELED) => {}
            _ => return Err(io::Error::from_raw_os_error(-result)),
        }
        if !cqueue::more(flags) {
            self.entries.push(accept(listener));
        }
        Ok(())
    }

    /// Arms every receive that is due, if there are buffers.
    fn rearm(&mut self) {
        if self.rearm.is_empty() || !self.buffers.any() {
            return;
        }
        for connection in self.rearm.drain(..) {
            let state = &mut self.connections[connection as usize].state;
            if *state & (RECEIVING | ENDED | BROKEN) == 0 {
                *state |= RECEIVING;
                let receive = opcode::RecvMulti::new(Fixed(connection), GROUP).build();
                self.entries.push(receive.user_data(RECV | u64::from(connection)));
            }
        }
    }

    fn received(&mut self, index: u32, result: i32, flags: u32) {
        // The completion of a failed send comes before any of a receive armed earlier or later.
        self.sent(index);
        let connection = &mut self.connections[index as usize];
        if !cqueue::more(flags) {
            connection.state &= !RECEIVING;
        }
        if result > 0 {
            let Some(buffer) = cqueue::buffer_select(flags) else {
                return;
            };
            self.buffers.taken();
            self.filled[usize::from(buffer)] = Filled { start: 0, len: result as u16, next: NONE };
            connection.queued += 1;
            if connection.tail == NONE {
                connection.head = buffer;
            } else {
                self.filled[usize::from(connection.tail)].next = buffer;
            }
            connection.tail = buffer;
            let state = connection.state;
            if connection.queued == LIMIT && state & RECEIVING != 0 {
                let cancel = opcode::AsyncCancel::new(RECV | u64::from(index)).build();
                self.entries.push(cancel.user_data(OTHER));
            }
            if state & BROKEN != 0 {
                self.give_up(index);
            } else if state & SENDING == 0 {
                self.send(index);
            } else if state & WAITING == 0 {
                self.hurry = true;
            }
            if state & RECEIVING == 0 {
                self.receive_again(index);
            }
        } else if matches!(-result, libc::ENOBUFS | libc::ECANCELED) {
            self.receive_again(index);
        } else {
            connection.state |= ENDED;
            self.hurry |= connection.state & (SENDING | WAITING) == SENDING;
            self.close_if_done(index);
        }
    }

    /// Has the receive armed again as soon as the connection's queue allows.
    fn receive_again(&mut self, index: u32) {
        let connection = &self.connections[index as usize];
        if connection.state & (ENDED | BROKEN) != 0 {
            self.close_if_done(index);
        } else if connection.queued < LIMIT {
            self.rearm.push(index);
        }
    }

    /// Sends the head of the queue.
    fn send(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        connection.state = (connection.state & !ODD) | SENDING | self.turn;
        let filled = self.filled[usize::from(connection.head)];
        self.hurry |= filled.next != NONE || connection.state & RECEIVING == 0;
        let flags = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
        let send = opcode::Send::new(Fixed(index), self.buffers.at(connection.head), u32::from(filled.len))
            .flags(flags)
            .build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(SEND | u64::from(index));
        self.entries.push(send);
        self.sends.push(index);
    }

    /// A send that did not do all: the rest waits in the kernel.
    fn short(&mut self, index: u32, result: i32) {
        if result < 0 && result != -libc::EAGAIN {
            self.broken(index);
            return;
        }
        let connection = &mut self.connections[index as usize];
        connection.state |= WAITING;
        let filled = &mut self.filled[usize::from(connection.head)];
        let done = result.max(0) as u16;
        filled.start += done;
        filled.len -= done;
        // SAFETY: `start` lies within the buffer.
        let from = unsafe { self.buffers.at(connection.head).add(usize::from(filled.start)) };
        let rest = opcode::Send::new(Fixed(index), from, u32::from(filled.len))
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build()
            .user_data(REST | u64::from(index));
        self.entries.push(rest);
    }

    /// The completion of a send that waited.
    fn rest(&mut self, index: u32, result: i32) {
        let connection = &mut self.connections[index as usize];
        connection.state &= !WAITING;
        let left = self.filled[usize::from(connection.head)].len;
        if result < 0 {
            self.broken(index);
        } else if result < i32::from(left) {
            self.short(index, result);
        } else {
            self.advance(index);
        }
    }

    /// If the enter that ran the connection's send has returned and no completion told that it failed or waits: on.
    fn sent(&mut self, index: u32) {
        let submitted = SENDING | (self.turn ^ ODD);
        if self.connections[index as usize].state & (SENDING | WAITING | ODD) == submitted {
            self.advance(index);
        }
    }

    /// The head of the queue was sent: on to the next.
    fn advance(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        let head = connection.head;
        connection.state &= !SENDING;
        connection.head = self.filled[usize::from(head)].next;
        connection.queued -= 1;
        self.buffers.release(head);
        if connection.head != NONE {
            self.send(index);
            return;
        }
        connection.tail = NONE;
        if connection.state & RECEIVING == 0 {
            self.receive_again(index);
        }
    }

    /// The peer is gone: forget what is queued and end the receive.
    fn broken(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        connection.state = (connection.state | BROKEN) & !(SENDING | WAITING);
        if connection.state & RECEIVING != 0 {
            let cancel = opcode::AsyncCancel::new(RECV | u64::from(index)).build();
            self.entries.push(cancel.user_data(OTHER));
        }
        self.give_up(index);
        self.close_if_done(index);
    }

    fn give_up(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        let mut head = connection.head;
        (connection.head, connection.tail, connection.queued) = (NONE, NONE, 0);
        while head != NONE {
            self.buffers.release(head);
            head = self.filled[usize::from(head)].next;
        }
    }

    /// Closes a connection on which nothing is under way any more.
    fn close_if_done(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        let over = connection.state & (ENDED | BROKEN) != 0;
        if over && connection.state & (RECEIVING | SENDING | WAITING) == 0 && connection.head == NONE {
            *connection = CLOSED;
            self.entries.push(opcode::Close::new(Fixed(index)).build().user_data(OTHER).flags(Flags::SKIP_SUCCESS));
        }
    }
}

/// One multishot accept into the ring's file table.
fn accept(listener: &TcpListener) -> Entry {
    opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).allocate_file_index(true).build().user_data(ACCEPT)
}
