//! What can be wrong with the bytes of a packet.

use core::fmt;

/// Why bytes could not be read as what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// There are fewer bytes than the fixed part of the header needs.
    Short,
    /// A length field says more than there are bytes, or less than its own header.
    Length,
    /// The version is not that of the protocol.
    Version,
    /// The header length is below the least, or past the end.
    HeaderLength,
    /// A checksum is wrong.
    Checksum,
    /// An option has a length that cannot be: too short for its own head, or past the end.
    Option,
    /// The chain of IPv6 extension headers is not one that a node may process.
    Extension,
    /// A field that names a kind, a code or a hardware type has a value that is not known here.
    Kind,
}

impl Malformed {
    /// A short name in words, for counters and comments.
    pub const fn as_str(self) -> &'static str {
        match self {
            Malformed::Short => "too short for its header",
            Malformed::Length => "wrong length field",
            Malformed::Version => "wrong version",
            Malformed::HeaderLength => "wrong header length",
            Malformed::Checksum => "wrong checksum",
            Malformed::Option => "malformed option",
            Malformed::Extension => "malformed extension headers",
            Malformed::Kind => "unknown kind",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::error::Error for Malformed {}
