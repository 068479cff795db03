//! The control bits of TCP.

use core::fmt;
use core::ops::{BitAnd, BitOr, BitOrAssign, Not};

/// Control bits of a TCP header (RFC 9293, 3.1), with the accurate-ECN bit (RFC 9768).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u16);

impl Flags {
    /// None.
    pub const NONE: Flags = Flags(0);
    /// No more data comes from the sender.
    pub const FIN: Flags = Flags(0x001);
    /// Synchronises sequence numbers.
    pub const SYN: Flags = Flags(0x002);
    /// Resets the connection.
    pub const RST: Flags = Flags(0x004);
    /// Push function.
    pub const PSH: Flags = Flags(0x008);
    /// The acknowledgment field counts.
    pub const ACK: Flags = Flags(0x010);
    /// The urgent pointer counts.
    pub const URG: Flags = Flags(0x020);
    /// Congestion was experienced (RFC 3168, 6.1).
    pub const ECE: Flags = Flags(0x040);
    /// The congestion window was reduced (RFC 3168, 6.1).
    pub const CWR: Flags = Flags(0x080);
    /// Accurate ECN.
    pub const AE: Flags = Flags(0x100);
    /// All that are known: the three bits before them are reserved.
    pub const ALL: Flags = Flags(0x1ff);

    /// Whether all flags of `other` are set.
    #[inline]
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any flag of `other` is set.
    #[inline]
    pub const fn intersects(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    /// These flags and those of `other`.
    #[inline]
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// These flags but those of `other`.
    #[inline]
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }
}

impl BitOr for Flags {
    type Output = Flags;

    #[inline]
    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    #[inline]
    fn bitor_assign(&mut self, other: Flags) {
        self.0 |= other.0;
    }
}

impl BitAnd for Flags {
    type Output = Flags;

    #[inline]
    fn bitand(self, other: Flags) -> Flags {
        Flags(self.0 & other.0)
    }
}

impl Not for Flags {
    type Output = Flags;

    #[inline]
    fn not(self) -> Flags {
        Flags(!self.0 & Flags::ALL.0)
    }
}

/// A letter a flag, in the order that tcpdump and packetdrill use: `S.`, `FP.`, `SEW`; `none` without any.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LETTERS: [(Flags, &str); 9] = [
            (Flags::FIN, "F"),
            (Flags::SYN, "S"),
            (Flags::RST, "R"),
            (Flags::PSH, "P"),
            (Flags::ACK, "."),
            (Flags::URG, "U"),
            (Flags::ECE, "E"),
            (Flags::CWR, "W"),
            (Flags::AE, "e"),
        ];
        if !self.intersects(Flags::ALL) {
            return f.write_str("none");
        }
        LETTERS.iter().filter(|(flag, _)| self.contains(*flag)).try_for_each(|(_, letter)| f.write_str(letter))
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_shown_as_tcpdump_has_them() {
        let shown = |flags: Flags| alloc::format!("{flags}");
        assert_eq!(shown(Flags::SYN | Flags::ACK), "S.");
        assert_eq!(shown(Flags::FIN | Flags::PSH | Flags::ACK), "FP.");
        assert_eq!(shown(Flags::SYN | Flags::ECE | Flags::CWR | Flags::AE), "SEWe");
        assert_eq!(shown(Flags::RST | Flags::URG), "RU");
        assert_eq!(shown(Flags::NONE), "none");
    }

    #[test]
    fn sets_are_sets() {
        let flags = Flags::SYN.with(Flags::ACK);
        assert!(
            flags.contains(Flags::SYN) && !flags.contains(Flags::SYN | Flags::FIN) && flags.intersects(Flags::SYN | Flags::FIN)
        );
        assert_eq!((flags.without(Flags::SYN), flags & Flags::SYN, !Flags::ALL), (Flags::ACK, Flags::SYN, Flags::NONE));
    }
}
