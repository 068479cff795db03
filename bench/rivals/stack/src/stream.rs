//! The stream that is sent: a pattern that repeats, so that what arrives can be told from what should.

/// The most bytes that the program hands over, or takes, at once.
pub const CHUNK: usize = 64 << 10;

/// Bytes whose value depends on where in the stream they stand.
pub struct Pattern {
    /// One period, and the beginning of the next, so that every chunk is in one piece.
    bytes: Vec<u8>,
    period: usize,
}

impl Pattern {
    /// A pattern that repeats after so many bytes.
    pub fn new(period: usize) -> Pattern {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut bytes: Vec<u8> = Vec::with_capacity(period + CHUNK);
        // xorshift64* (Vigna 2016), seeded: the same bytes every time.
        while bytes.len() < period {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
        }
        bytes.truncate(period);
        for index in 0..CHUNK {
            bytes.push(bytes[index]);
        }
        Pattern { bytes, period }
    }

    /// All of it, one period and the beginning of the next.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the byte with that number stands.
    pub fn place(&self, number: u64) -> usize {
        (number % self.period as u64) as usize
    }

    /// The bytes from that number on, a chunk of them.
    pub fn chunk(&self, number: u64) -> &[u8] {
        &self.bytes[self.place(number)..][..CHUNK]
    }
}

/// Looks at what arrives.
pub struct Reader<'a> {
    pattern: &'a Pattern,
    /// Bytes so far.
    pub count: u64,
    /// Whether every byte is compared, or the first and the last eight of each piece.
    pub thorough: bool,
}

impl<'a> Reader<'a> {
    pub fn new(pattern: &'a Pattern) -> Reader<'a> {
        Reader { pattern, count: 0, thorough: true }
    }

    /// The next bytes of the stream.
    ///
    /// # Panics
    /// If they are other bytes than were sent.
    #[inline]
    pub fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_at(bytes.len().min(CHUNK));
            let expected = &self.pattern.chunk(self.count)[..head.len()];
            let right = match (head.first_chunk::<8>(), head.last_chunk::<8>()) {
                (Some(first), Some(last)) if !self.thorough => {
                    expected.first_chunk() == Some(first) && expected.last_chunk() == Some(last)
                }
                _ => head == expected,
            };
            assert!(right, "other bytes arrived than were sent, behind byte {}", self.count);
            self.count += head.len() as u64;
            bytes = rest;
        }
    }

    /// Bytes that are not looked at: there was no pattern in them.
    pub fn pass(&mut self, count: usize) {
        self.count += count as u64;
    }
}
