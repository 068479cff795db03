//! Names of hosts: those that can be asked for, and those that need no asking.

use std::fmt;
use std::io;
use std::sync::Arc;

/// The longest name, written out (RFC 1035, section 2.3.4: 255 octets on the wire).
const LONGEST: usize = 253;
/// The longest part between dots.
const LONGEST_LABEL: usize = 63;

/// A host's full name, in lower case and without a dot at its end. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct HostName(Arc<str>);

/// Names that mean the same everywhere (RFC 6761).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Special {
    /// `localhost` (section 6.3).
    Loopback,
    /// `invalid` (section 6.4).
    Nowhere,
}

impl HostName {
    /// Reads a name, as people write it.
    ///
    /// # Errors
    /// InvalidInput that says what is wrong with it.
    pub(super) fn parse(text: &str) -> io::Result<HostName> {
        let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.len() > LONGEST {
            return Err(wrong(format!("a name has {LONGEST} letters at most, this one {}", name.len())));
        }
        for label in name.split('.') {
            if label.is_empty() || label.len() > LONGEST_LABEL {
                return Err(wrong(format!("between its dots a name has 1 to {LONGEST_LABEL} letters")));
            }
            if !label.is_ascii() {
                return Err(wrong("letters beyond ASCII are asked for in their other form, as in xn--bcher-kva".to_owned()));
            }
            if !label.bytes().all(is_letter) {
                return Err(wrong("a name is made of letters, digits, hyphens and dots".to_owned()));
            }
        }
        if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(wrong("this is neither a name nor an IP address".to_owned()));
        }
        Ok(HostName(name.to_ascii_lowercase().into()))
    }

    /// The name that these labels make, if it is one that can be asked for.
    pub(super) fn of_labels<'a>(labels: impl Iterator<Item = &'a [u8]>) -> Option<HostName> {
        let mut name = String::new();
        for label in labels {
            if !name.is_empty() {
                name.push('.');
            }
            if label.is_empty() || label.len() > LONGEST_LABEL || !label.iter().copied().all(is_letter) {
                return None;
            }
            name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
        }
        (!name.is_empty() && name.len() <= LONGEST).then(|| HostName(name.into()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// What it means without anybody being asked.
    pub(super) fn special(&self) -> Option<Special> {
        match self.0.rsplit('.').next() {
            Some("localhost") => Some(Special::Loopback),
            Some("invalid") => Some(Special::Nowhere),
            _ => None,
        }
    }
}

/// What names of hosts are made of (RFC 1123, section 2.1), and the underscore, which aliases have.
fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_what_is_none() {
        for (text, read) in
            [("Example.ORG.", "example.org"), ("a", "a"), ("_x.y-z.1a", "_x.y-z.1a"), ("1.2.3.4.example", "1.2.3.4.example")]
        {
            assert_eq!(HostName::parse(text).expect(text).as_str(), read);
        }
        let label = "x".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "x".repeat(61));
        assert!(HostName::parse(&longest).is_ok());
        let long = [format!("{longest}x"), format!("{label}x.org"), longest + ".x"];
        let wrong = ["", ".", "a..b", ".a", "b\u{fc}cher.example", "a b", "a\0b", "a/b", "256.1.1.1", "1.2.3", "a\\.b", "*.org"];
        for text in wrong.into_iter().chain(long.iter().map(String::as_str)) {
            let error = HostName::parse(text).expect_err(text);
            assert!(error.kind() == io::ErrorKind::InvalidInput && !error.to_string().is_empty());
        }
    }

    #[test]
    fn labels_make_the_same_name() {
        let of = |labels: &[&[u8]]| HostName::of_labels(labels.iter().copied());
        assert_eq!(of(&[b"WWW", b"Example", b"org"]), HostName::parse("www.example.org").ok());
        let wrong: [&[&[u8]]; 6] = [&[], &[b"a.b"], &[b""], &[b"\xff"], &[&[b'x'; 64]], &[[b'x'; 63].as_slice(); 4]];
        for labels in wrong {
            assert_eq!(of(labels), None);
        }
    }
}
