//! What every link can do.

use std::io;
use std::sync::Arc;

use ostia_wire::Frame;

use crate::facts::{Facts, Statistics};

/// What is polled to learn that a link has something, or has room.
#[cfg(unix)]
pub type Descriptor<'a> = std::os::fd::BorrowedFd<'a>;

/// What is polled to learn that a link has something, or has room: no link of this system has such a thing.
#[cfg(not(unix))]
pub type Descriptor<'a> = std::convert::Infallible;

/// Called when a link without a descriptor may have something, or room again. It runs on the thread that made it so, and
/// must not call the link.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// A link: frames in and out, without waiting.
pub trait Link: Send {
    /// What it is like. Read when it was opened: a change from outside (`ip link set`) is not seen.
    fn facts(&self) -> &Facts;

    /// What to poll, level-triggered: readable means [`receive`](Self::receive), writable [`transmit`](Self::transmit). None:
    /// a link in memory, which calls its [`Wake`] in place of this.
    fn descriptor(&self) -> Option<Descriptor<'_>>;

    /// Sets what is called when this end has something to receive, or room after it had none. Each call says only that asking
    /// is worth it: receive until there is nothing; and ask once after setting it. Links with a descriptor never call it.
    fn set_wake(&mut self, wake: Option<Wake>) {
        let _ = wake;
    }

    /// Takes one frame. `frame` is empty, its capacity [`Facts::frame_room`] (where it has less it grows); what was in it is
    /// forgotten. `true`: it has a frame now, and `frame.meta` what the device says of it, the time of arrival left 0.
    /// `false`: there is none now. What can't be taken whole, or says of itself what can't be true, is counted
    /// ([`statistics`](Self::statistics)) and passed over. After a long row of those this is `false` while some are left, so
    /// poll the descriptor again rather than wait for an edge.
    ///
    /// # Errors
    /// The link is gone (`ENODEV`, `EBADFD`, …; [`BrokenPipe`](io::ErrorKind::BrokenPipe) for a link in memory, once all that
    /// the other end sent has been received). A device that is merely down has nothing, which is no error.
    fn receive(&mut self, frame: &mut Frame) -> io::Result<bool>;

    /// Sends one frame. `true`: it is out of the caller's hands, sent, or dropped and counted where the device would never take
    /// it. `false`: there is no room now; keep it, and offer *the same frame* again before any other when there is room, for
    /// some of the packets that it stands for may be out.
    ///
    /// A super-segment, or a partial checksum, that the device can't finish is finished in software.
    ///
    /// TUN and TAP never say `false`: what the kernel has no room for, behind the device, it drops silently; so no more should
    /// be in flight than its backlog holds (`net.core.netdev_max_backlog`, 1000 by default).
    ///
    /// # Errors
    /// The link is gone.
    fn transmit(&mut self, frame: &Frame) -> io::Result<bool>;

    /// What has gone over it, and what was dropped and why.
    fn statistics(&self) -> Statistics;
}

impl<L: Link + ?Sized> Link for Box<L> {
    fn facts(&self) -> &Facts {
        (**self).facts()
    }

    fn descriptor(&self) -> Option<Descriptor<'_>> {
        (**self).descriptor()
    }

    fn set_wake(&mut self, wake: Option<Wake>) {
        (**self).set_wake(wake);
    }

    fn receive(&mut self, frame: &mut Frame) -> io::Result<bool> {
        (**self).receive(frame)
    }

    fn transmit(&mut self, frame: &Frame) -> io::Result<bool> {
        (**self).transmit(frame)
    }

    fn statistics(&self) -> Statistics {
        (**self).statistics()
    }
}
