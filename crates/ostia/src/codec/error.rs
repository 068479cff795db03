//! What can be wrong with a frame.

use std::fmt;
use std::io;

/// What is wrong with a frame, or with the stream under it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A frame is longer than the codec allows. When receiving, `length` is what is known of it by then: what it announces,
    /// or what has arrived.
    TooLong {
        /// The length of the frame's contents in bytes.
        length: u64,
        /// The most that is allowed.
        most: u64,
    },
    /// A length field says what no frame can have: with the adjustment, less than nothing, or more than can be counted.
    BadLength {
        /// What the field says.
        field: u64,
    },
    /// The stream ends in the middle of a frame.
    Truncated {
        /// How many bytes of the frame there are.
        present: usize,
    },
    /// A line is not UTF-8.
    NotUtf8 {
        /// The line, counted from 1.
        line: u64,
        /// The first byte in it that is wrong, counted from 0.
        byte: usize,
    },
    /// A line to be sent has a line feed in it, or ends with a carriage return: it would be received as another.
    NotALine {
        /// That byte, counted from 0.
        byte: usize,
    },
    /// A frame to be sent doesn't have the length that all have.
    WrongLength {
        /// How long it is.
        length: usize,
        /// How long it must be.
        expected: usize,
    },
    /// A frame was asked for after another had been wrong.
    Lost,
    /// An error of the stream.
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::TooLong { length, most } => write!(f, "a frame of {length} bytes or more, where {most} are allowed"),
            Error::BadLength { field } => write!(f, "a length field says {field}, which no frame can have"),
            Error::Truncated { present } => write!(f, "the stream ends {present} bytes into a frame"),
            Error::NotUtf8 { line, byte } => write!(f, "line {line} is not UTF-8 from its byte {byte} on"),
            Error::NotALine { byte } => write!(f, "the text's byte {byte} would end or change the line"),
            Error::WrongLength { length, expected } => write!(f, "a frame of {length} bytes, where all have {expected}"),
            Error::Lost => f.write_str("a frame was wrong before this, and where the next begins isn't known"),
            Error::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        // One of our own that has been through a reader whose decoder has another type of error.
        match error.downcast::<Error>() {
            Ok(own) => own,
            Err(error) => Error::Io(error),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        let kind = match &error {
            Error::Io(_) => {
                let Error::Io(error) = error else { unreachable!() };
                return error;
            }
            Error::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            Error::NotALine { .. } | Error::WrongLength { .. } => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}
