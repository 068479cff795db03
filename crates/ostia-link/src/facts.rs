//! What a link is like, and what has gone over it.

use ostia_wire::MacAddr;

/// What the frames of a link start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Medium {
    /// An IPv4 or IPv6 header.
    Ip,
    /// An Ethernet header.
    Ethernet,
}

impl Medium {
    /// Octets in front of the IP packet, at most: for Ethernet, its header and one tag.
    pub(crate) fn most_front(self) -> usize {
        match self {
            Medium::Ip => 0,
            Medium::Ethernet => 18,
        }
    }
}

/// What a link is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its name: the interface's, where it has one.
    pub name: String,
    /// What its frames start with.
    pub medium: Medium,
    /// The longest IP packet, in octets, but for super-segments.
    pub mtu: u32,
    /// The address that the stack has on it; none where there are no such addresses.
    pub mac: Option<MacAddr>,
    /// The most octets of payload in a super-segment that it takes as it is; 0: it takes none, and cuts what it is given in
    /// software.
    pub max_gso: u32,
    /// Whether it completes partial checksums; else they are completed in software.
    pub checksum_offload: bool,
    /// The longest frame that can arrive, in octets.
    pub(crate) longest: usize,
}

impl Facts {
    /// The most payload in a super-segment: with the longest headers of IPv4 or IPv6 and of TCP, no packet is longer than its
    /// length field can say.
    pub(crate) const MAX_GSO: u32 = 65_535 - 60 - 60;

    /// Facts about a link without offloads.
    pub fn plain(name: String, medium: Medium, mtu: u32, mac: Option<MacAddr>) -> Facts {
        let longest = mtu as usize + medium.most_front();
        Facts { name, medium, mtu, mac, max_gso: 0, checksum_offload: false, longest }
    }

    /// Facts about a link that takes super-segments and partial checksums.
    pub(crate) fn with_offloads(mut self) -> Facts {
        self.max_gso = Facts::MAX_GSO;
        self.checksum_offload = true;
        self.with_long_frames()
    }

    /// Facts about a link from which super-segments come.
    pub(crate) fn with_long_frames(mut self) -> Facts {
        // An IPv6 header does not count itself.
        self.longest = self.longest.max(65_535 + 40 + self.medium.most_front());
        self
    }

    /// The capacity in octets of a frame that is to be received into. One more than the longest frame has, so that one that
    /// was cut shows.
    pub fn frame_room(&self) -> usize {
        self.longest + 1
    }

    /// The longest frame that stands for itself only.
    pub(crate) fn longest_single(&self) -> usize {
        self.mtu as usize + self.medium.most_front()
    }
}

/// How much went one way. A super-segment counts as one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames.
    pub frames: u64,
    /// Octets in them.
    pub bytes: u64,
}

impl Traffic {
    pub(crate) fn count(&mut self, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes as u64;
    }
}

/// Frames dropped, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Received, but longer than can be: the rest is missing.
    pub received_truncated: u64,
    /// Received with a description that can't be true: a checksum outside of the frame, a super-segment of an unknown kind.
    pub received_malformed: u64,
    /// Arrived when the queue of a packet socket was full.
    pub received_no_room: u64,
    /// To be sent, but with headers or a description that the device, or software in its place, can't work with.
    pub sent_malformed: u64,
    /// To be sent, but longer than the link takes.
    pub sent_too_big: u64,
    /// To be sent, but the device's queue was full, or memory was short.
    pub sent_no_room: u64,
    /// To be sent, but the device was down.
    pub sent_down: u64,
}

/// What has gone over a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// What was received.
    pub received: Traffic,
    /// What was sent.
    pub sent: Traffic,
    /// What was dropped.
    pub dropped: Dropped,
}
