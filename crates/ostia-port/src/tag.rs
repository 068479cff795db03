//! The 64-bit word that goes out with every driver request and comes back with its event.

/// Names a request: what kind of record it belongs to, which one, and of which generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tag(u64);

/// What a tag's index points into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum TagKind {
    /// The receiving (or accepting) side of the handle at this index.
    Receive = 1,
    /// The operation slot at this index.
    Op = 2,
    /// The closing of the handle at this index.
    Close = 3,
    /// Nobody: the event is counted and forgotten (cancels, wake-ups of other ports).
    Nobody = 4,
    /// Somebody else's thread wants this port's attention.
    Wake = 5,
    /// The silent send at this place of its turn's row; the generation is the turn's.
    Silent = 6,
    /// The link of the engine at this index; the generation is the side that is polled.
    Link = 7,
}

impl Tag {
    /// Of a request whose event nobody needs.
    pub(crate) const NOBODY: Tag = Tag::new(TagKind::Nobody, 0, 0);
    /// Of the wake-up from other threads.
    pub(crate) const WAKE: Tag = Tag::new(TagKind::Wake, 0, 0);

    pub(crate) const fn new(kind: TagKind, index: u32, generation: u32) -> Tag {
        Tag((kind as u64) << 56 | ((generation as u64) & 0x00ff_ffff) << 32 | index as u64)
    }

    pub(crate) const fn from_word(word: u64) -> Tag {
        Tag(word)
    }

    pub(crate) const fn word(self) -> u64 {
        self.0
    }

    /// The kind, or none for a word that this crate never made.
    #[inline]
    pub(crate) const fn kind(self) -> Option<TagKind> {
        Some(match (self.0 >> 56) as u8 {
            1 => TagKind::Receive,
            2 => TagKind::Op,
            3 => TagKind::Close,
            4 => TagKind::Nobody,
            5 => TagKind::Wake,
            6 => TagKind::Silent,
            7 => TagKind::Link,
            _ => return None,
        })
    }

    #[inline]
    pub(crate) const fn index(self) -> u32 {
        self.0 as u32
    }

    #[inline]
    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> 32) as u32 & 0x00ff_ffff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_gives_back_what_it_was_made_of() {
        let tag = Tag::new(TagKind::Op, 0xdead_beef, 0xab_cdef);
        let back = Tag::from_word(tag.word());
        assert_eq!(back.kind(), Some(TagKind::Op));
        assert_eq!(back.index(), 0xdead_beef);
        assert_eq!(back.generation(), 0xab_cdef);
        assert_eq!(Tag::from_word(0).kind(), None);
    }
}
