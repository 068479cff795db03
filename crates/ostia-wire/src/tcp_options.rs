//! Options of TCP headers: all that are standard are recognised, those that a stack acts on are collected and emitted.

use core::ops::Deref;

use crate::malformed::Malformed;
use crate::tcp::MAX_OPTIONS;

/// Option kinds, as IANA has them.
pub mod kind {
    /// End of options (RFC 9293, 3.2).
    pub const END: u8 = 0;
    /// Padding (RFC 9293, 3.2).
    pub const NO_OPERATION: u8 = 1;
    /// Maximum segment size (RFC 9293, 3.2).
    pub const MSS: u8 = 2;
    /// Window scale (RFC 7323, 2).
    pub const WINDOW_SCALE: u8 = 3;
    /// Selective acknowledgment permitted (RFC 2018, 2).
    pub const SACK_PERMITTED: u8 = 4;
    /// Selective acknowledgment (RFC 2018, 3).
    pub const SACK: u8 = 5;
    /// Timestamps (RFC 7323, 3).
    pub const TIMESTAMPS: u8 = 8;
    /// MD5 signature (RFC 2385).
    pub const MD5: u8 = 19;
    /// User timeout (RFC 5482).
    pub const USER_TIMEOUT: u8 = 28;
    /// Authentication option (RFC 5925).
    pub const AO: u8 = 29;
    /// Multipath TCP (RFC 8684).
    pub const MPTCP: u8 = 30;
    /// Fast Open cookie (RFC 7413).
    pub const FAST_OPEN: u8 = 34;
}

/// The timestamps option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Timestamps {
    /// TSval: the sender's clock.
    pub value: u32,
    /// TSecr: the clock that the sender echoes; counts with ACK only.
    pub echo: u32,
}

/// Up to four blocks of a SACK option: first sequence number, and the one behind the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SackBlocks {
    // Those from `len` on are zero, so that equal blocks are equal.
    blocks: [(u32, u32); SackBlocks::MAX],
    len: u8,
}

impl SackBlocks {
    /// As many as there is room for (RFC 2018, 3).
    pub const MAX: usize = 4;

    /// No blocks.
    pub const fn new() -> SackBlocks {
        SackBlocks { blocks: [(0, 0); SackBlocks::MAX], len: 0 }
    }

    /// Adds a block behind the others; says whether there was room.
    #[inline]
    pub fn push(&mut self, start: u32, end: u32) -> bool {
        let Some(place) = self.blocks.get_mut(usize::from(self.len)) else { return false };
        *place = (start, end);
        self.len += 1;
        true
    }

    /// The blocks, in the order of the option.
    #[inline]
    pub fn as_slice(&self) -> &[(u32, u32)] {
        self.blocks.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl Deref for SackBlocks {
    type Target = [(u32, u32)];

    #[inline]
    fn deref(&self) -> &[(u32, u32)] {
        self.as_slice()
    }
}

impl FromIterator<(u32, u32)> for SackBlocks {
    /// Takes the first four.
    fn from_iter<I: IntoIterator<Item = (u32, u32)>>(blocks: I) -> SackBlocks {
        let mut all = SackBlocks::default();
        for (start, end) in blocks.into_iter().take(SackBlocks::MAX) {
            all.push(start, end);
        }
        all
    }
}

/// A Fast Open cookie; an empty one asks for a cookie (RFC 7413, 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cookie {
    bytes: [u8; 16],
    len: u8,
}

impl Cookie {
    /// The cookie of these octets; none unless there are 0, or an even number from 4 to 16 (RFC 7413, 4.1.1).
    pub fn new(bytes: &[u8]) -> Option<Cookie> {
        if !matches!(bytes.len(), 0 | 4 | 6 | 8 | 10 | 12 | 14 | 16) {
            return None;
        }
        let mut cookie = Cookie { bytes: [0; 16], len: bytes.len() as u8 };
        cookie.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(cookie)
    }

    /// Its octets.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// An option as it stands in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpOption<'a> {
    /// The largest segment that the sender takes, in octets of data without options.
    MaximumSegmentSize(u16),
    /// By how many bits the sender's window is shifted; more than 14 counts as 14 (RFC 7323, 2.3).
    WindowScale(u8),
    /// The sender understands SACK.
    SackPermitted,
    /// Blocks that the sender has beyond what it acknowledges. More than four cannot be.
    Sack(SackBlocks),
    /// Timestamps.
    Timestamps(Timestamps),
    /// An MD5 digest of 16 octets.
    Md5(&'a [u8]),
    /// How long the sender keeps unacknowledged data: 15 bits, in minutes if the highest bit is set, else in seconds.
    UserTimeout(u16),
    /// An authentication option: key identifiers and code.
    Ao(&'a [u8]),
    /// A message of multipath TCP.
    MultipathTcp(&'a [u8]),
    /// A Fast Open cookie, or the request for one.
    FastOpen(Cookie),
    /// Any other, or one of the above with a length that it cannot have.
    Other {
        /// Its kind.
        kind: u8,
        /// Its data, behind kind and length.
        data: &'a [u8],
    },
}

/// Walks over options. Padding is passed over; behind an option with a wrong length, which is an error, nothing follows.
#[derive(Clone, Debug)]
pub struct OptionIter<'a> {
    bytes: &'a [u8],
}

impl<'a> OptionIter<'a> {
    /// The options in the octets behind the fixed part of a header.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> OptionIter<'a> {
        OptionIter { bytes }
    }
}

impl<'a> Iterator for OptionIter<'a> {
    type Item = Result<TcpOption<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = loop {
            match self.bytes {
                [] | [kind::END, ..] => return None,
                [kind::NO_OPERATION, rest @ ..] => self.bytes = rest,
                bytes => break bytes,
            }
        };
        // RFC 9293, 3.2 MUST-68: every option but the two of one octet has a length, of at least 2.
        let option = bytes.get(1).filter(|len| **len >= 2).and_then(|len| bytes.split_at_checked(usize::from(*len)));
        let Some(([kind, _, data @ ..], rest)) = option else {
            self.bytes = &[];
            return Some(Err(Malformed::Option));
        };
        self.bytes = rest;
        Some(Ok(read(*kind, data)))
    }
}

fn read(kind: u8, data: &[u8]) -> TcpOption<'_> {
    match (kind, data) {
        (kind::MSS, [a, b]) => TcpOption::MaximumSegmentSize(u16::from_be_bytes([*a, *b])),
        (kind::WINDOW_SCALE, [shift]) => TcpOption::WindowScale(*shift),
        (kind::SACK_PERMITTED, []) => TcpOption::SackPermitted,
        (kind::SACK, _) if sack_fits(data.len()) => {
            TcpOption::Sack(data.as_chunks::<8>().0.iter().map(|block| pair(*block)).collect())
        }
        (kind::TIMESTAMPS, _) if let Ok(both) = data.try_into() => {
            let (value, echo) = pair(both);
            TcpOption::Timestamps(Timestamps { value, echo })
        }
        (kind::MD5, [_, ..]) if data.len() == 16 => TcpOption::Md5(data),
        (kind::USER_TIMEOUT, [a, b]) => TcpOption::UserTimeout(u16::from_be_bytes([*a, *b])),
        (kind::AO, [_, _, ..]) => TcpOption::Ao(data),
        (kind::MPTCP, [_, ..]) => TcpOption::MultipathTcp(data),
        (kind::FAST_OPEN, _) if let Some(cookie) = Cookie::new(data) => TcpOption::FastOpen(cookie),
        _ => TcpOption::Other { kind, data },
    }
}

fn sack_fits(len: usize) -> bool {
    len > 0 && len.is_multiple_of(8) && len <= SackBlocks::MAX * 8
}

#[inline]
fn pair(bytes: [u8; 8]) -> (u32, u32) {
    let both = u64::from_be_bytes(bytes);
    ((both >> 32) as u32, both as u32)
}

/// The options of a segment that a stack acts on. Where one stands twice, the last counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// The largest segment that the sender takes, in octets of data without options.
    pub mss: Option<u16>,
    /// By how many bits the sender's window is shifted, as it stands there: more than 14 counts as 14 (RFC 7323, 2.3).
    pub window_scale: Option<u8>,
    /// Whether the sender understands SACK.
    pub sack_permitted: bool,
    /// Blocks that the sender has beyond what it acknowledges.
    pub sack: SackBlocks,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// The user timeout: 15 bits, in minutes if the highest bit is set, else in seconds (RFC 5482, 3).
    pub user_timeout: Option<u16>,
    /// The Fast Open cookie, or an empty one as request.
    pub fast_open: Option<Cookie>,
    /// Whether there is an MD5 signature; never emitted.
    pub md5: bool,
    /// Whether there is an authentication option; never emitted.
    pub ao: bool,
    /// Whether there is a message of multipath TCP; never emitted.
    pub mptcp: bool,
}

impl TcpOptions {
    /// Collects the options behind the fixed part of a header. Those that are not known, and those with a length that they
    /// cannot have, are passed over (RFC 9293, 3.1 MUST-6).
    ///
    /// # Errors
    /// [`Malformed::Option`] if a length is 0, 1, or goes past the end (MUST-7).
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<TcpOptions, Malformed> {
        // The two forms of nearly all segments of a connection.
        match bytes {
            [] => Ok(TcpOptions::default()),
            [kind::NO_OPERATION, kind::NO_OPERATION, kind::TIMESTAMPS, 10, both @ ..] if let Ok(both) = both.try_into() => {
                let (value, echo) = pair(both);
                Ok(TcpOptions { timestamps: Some(Timestamps { value, echo }), ..TcpOptions::default() })
            }
            _ => TcpOptions::collect(bytes),
        }
    }

    fn collect(bytes: &[u8]) -> Result<TcpOptions, Malformed> {
        let mut options = TcpOptions::default();
        for option in OptionIter::new(bytes) {
            match option? {
                TcpOption::MaximumSegmentSize(mss) => options.mss = Some(mss),
                TcpOption::WindowScale(shift) => options.window_scale = Some(shift),
                TcpOption::SackPermitted => options.sack_permitted = true,
                TcpOption::Sack(blocks) => options.sack = blocks,
                TcpOption::Timestamps(timestamps) => options.timestamps = Some(timestamps),
                TcpOption::UserTimeout(timeout) => options.user_timeout = Some(timeout),
                TcpOption::FastOpen(cookie) => options.fast_open = Some(cookie),
                TcpOption::Md5(_) => options.md5 = true,
                TcpOption::Ao(_) => options.ao = true,
                TcpOption::MultipathTcp(_) => options.mptcp = true,
                TcpOption::Other { .. } => {}
            }
        }
        Ok(options)
    }

    /// Octets that they take in a header, a multiple of 4.
    #[inline]
    pub fn encoded_len(&self, order: OptionOrder) -> usize {
        match (self.is_plain(), self.timestamps) {
            (true, None) => 0,
            (true, Some(_)) => 12,
            (false, _) => self.lay_out(order).1,
        }
    }

    /// Writes them to the start of `buf`; returns [`encoded_len`](Self::encoded_len). What does not fit into 40 octets is left out.
    ///
    /// # Panics
    /// If `buf` is shorter than that.
    #[inline]
    pub fn emit(&self, order: OptionOrder, buf: &mut [u8]) -> usize {
        if self.is_plain() && self.timestamps.is_none() {
            return 0;
        }
        let (bytes, len) = self.lay_out(order);
        buf[..len].copy_from_slice(&bytes[..len]);
        len
    }

    /// Whether nothing but timestamps is to be written.
    #[inline]
    fn is_plain(&self) -> bool {
        self.sack.is_empty()
            && self.mss.is_none()
            && self.window_scale.is_none()
            && !self.sack_permitted
            && self.user_timeout.is_none()
            && self.fast_open.is_none()
    }

    fn lay_out(&self, order: OptionOrder) -> ([u8; MAX_OPTIONS], usize) {
        let mut writer = Writer { bytes: [kind::END; MAX_OPTIONS], len: 0 };
        match order {
            OptionOrder::Linux => self.lay_out_linux(&mut writer),
            OptionOrder::Plain => self.lay_out_plain(&mut writer),
        }
        (writer.bytes, writer.len.next_multiple_of(4))
    }

    /// Every group starts at a multiple of 4, padded in front, but for the cookie.
    fn lay_out_linux(&self, writer: &mut Writer) {
        if let Some(mss) = self.mss {
            writer.mss(mss);
        }
        match (self.timestamps, self.sack_permitted) {
            (Some(timestamps), permitted) => {
                // "SACK permitted" has the place of the padding.
                writer.put(if permitted { &[kind::SACK_PERMITTED, 2] } else { &[kind::NO_OPERATION; 2] });
                writer.timestamps(timestamps);
            }
            (None, true) => writer.put(&[kind::NO_OPERATION, kind::NO_OPERATION, kind::SACK_PERMITTED, 2]),
            (None, false) => {}
        }
        if let Some(shift) = self.window_scale {
            writer.put(&[kind::NO_OPERATION, kind::WINDOW_SCALE, 3, shift]);
        }
        writer.sack(&self.sack, &[kind::NO_OPERATION; 2]);
        if let Some(cookie) = self.fast_open {
            writer.fast_open(&cookie);
            while !writer.len.is_multiple_of(4) {
                writer.put(&[kind::NO_OPERATION]);
            }
        }
        if let Some(timeout) = self.user_timeout {
            writer.user_timeout(timeout);
        }
    }

    fn lay_out_plain(&self, writer: &mut Writer) {
        if let Some(mss) = self.mss {
            writer.mss(mss);
        }
        if let Some(shift) = self.window_scale {
            writer.put(&[kind::WINDOW_SCALE, 3, shift]);
        }
        if self.sack_permitted {
            writer.put(&[kind::SACK_PERMITTED, 2]);
        }
        if let Some(timestamps) = self.timestamps {
            writer.timestamps(timestamps);
        }
        if let Some(timeout) = self.user_timeout {
            writer.user_timeout(timeout);
        }
        if let Some(cookie) = self.fast_open {
            writer.fast_open(&cookie);
        }
        writer.sack(&self.sack, &[]);
    }
}

/// How options are laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OptionOrder {
    /// As Linux has them: what peers and middleboxes see most, and what fingerprints a host the least. On a SYN this is MSS,
    /// SACK permitted, timestamps, padding, window scale; on others padding, timestamps, padding, SACK.
    #[default]
    Linux,
    /// In the order of their kinds with SACK behind all, without padding between them.
    Plain,
}

struct Writer {
    bytes: [u8; MAX_OPTIONS],
    len: usize,
}

impl Writer {
    fn room(&self) -> usize {
        MAX_OPTIONS - self.len
    }

    /// Writes the bytes, or none of them if there is no room.
    fn put(&mut self, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            place.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    fn mss(&mut self, mss: u16) {
        let [a, b] = mss.to_be_bytes();
        self.put(&[kind::MSS, 4, a, b]);
    }

    fn timestamps(&mut self, Timestamps { value, echo }: Timestamps) {
        let mut option = [kind::TIMESTAMPS, 10, 0, 0, 0, 0, 0, 0, 0, 0];
        option[2..6].copy_from_slice(&value.to_be_bytes());
        option[6..].copy_from_slice(&echo.to_be_bytes());
        self.put(&option);
    }

    fn user_timeout(&mut self, timeout: u16) {
        let [a, b] = timeout.to_be_bytes();
        self.put(&[kind::USER_TIMEOUT, 4, a, b]);
    }

    fn fast_open(&mut self, cookie: &Cookie) {
        let len = 2 + cookie.as_slice().len();
        if len <= self.room() {
            self.put(&[kind::FAST_OPEN, len as u8]);
            self.put(cookie.as_slice());
        }
    }

    /// As many blocks as fit: the first ones are the newest (RFC 2018, 4).
    fn sack(&mut self, blocks: &[(u32, u32)], padding: &[u8]) {
        let count = (self.room().saturating_sub(padding.len() + 2) / 8).min(blocks.len());
        if count == 0 {
            return;
        }
        self.put(padding);
        self.put(&[kind::SACK, (2 + 8 * count) as u8]);
        for (start, end) in blocks.iter().take(count) {
            self.put(&start.to_be_bytes());
            self.put(&end.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
