//! The sockets of engines as a port knows them: numbers in place of descriptors, and who waits for which.

use crate::driver::line::Line;
use crate::engine::SocketId;
use crate::os::RawFd;

/// Numbers of engines' sockets are below this; those of descriptors, and of what stands for none, above it.
const ABOVE: RawFd = -(1 << 30);

/// Whether a number stands for an engine's socket and not for a descriptor.
#[inline]
pub(crate) fn is_hosted(fd: RawFd) -> bool {
    fd < ABOVE
}

/// The number of the socket at this place.
pub(crate) fn number_of(place: u32) -> RawFd {
    RawFd::MIN.wrapping_add_unsigned(place)
}

/// The place of the socket of this number.
pub(crate) fn place_of(fd: RawFd) -> u32 {
    fd.wrapping_sub(RawFd::MIN) as u32
}

/// One socket.
pub(super) struct Socket {
    pub(super) engine: u32,
    pub(super) id: SocketId,
    pub(super) readers: Line,
    pub(super) writers: Line,
    /// It stands in the list of those that are to be tried.
    pub(super) due: bool,
    /// What moves over it keeps its boundaries.
    pub(super) datagrams: bool,
}

/// All of them, by place.
#[derive(Default)]
pub(super) struct Sockets {
    places: Vec<Option<Box<Socket>>>,
    free: Vec<u32>,
}

impl Sockets {
    pub(super) fn insert(&mut self, engine: u32, id: SocketId, datagrams: bool) -> u32 {
        let socket = Socket { engine, id, readers: Line::default(), writers: Line::default(), due: false, datagrams };
        let socket = Some(Box::new(socket));
        match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = socket;
                place
            }
            None => {
                self.places.push(socket);
                self.places.len() as u32 - 1
            }
        }
    }

    pub(super) fn get(&self, place: u32) -> Option<&Socket> {
        self.places.get(place as usize)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut Socket> {
        self.places.get_mut(place as usize)?.as_deref_mut()
    }

    pub(super) fn remove(&mut self, place: u32) -> Option<Box<Socket>> {
        let socket = self.places.get_mut(place as usize)?.take();
        if socket.is_some() {
            self.free.push(place);
        }
        socket
    }
}
