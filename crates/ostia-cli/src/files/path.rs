//! From the path of a request to names beneath the root.

use super::windows_names;

/// Why a path names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// Not well formed: a `%` without two hexadecimal digits, or a NUL: 400.
    Malformed,
    /// Well formed, but names nothing that may be served: `.` and `..` in any spelling, an encoded
    /// slash, a hidden file, a name too long, on Windows a name that means something else: 404.
    Nothing,
}

/// Longest name of a directory entry on Linux (NAME_MAX), in bytes.
const NAME_MAX: usize = 255;

/// Longest path the kernel takes in one call (PATH_MAX), in bytes, its NUL not counted.
const PATH_MAX: usize = 4095;

/// Decodes `raw` into its canonical form in `out` (cleared first): `/`, then the names joined by
/// single slashes, then a slash if `raw` ended in one. Escapes are decoded once, so what was
/// escaped twice stays escaped in the name. Names are bytes; they need not be UTF-8,
/// but on Windows.
///
/// # Errors
/// [`PathError`]; `out` then holds nothing of use.
pub fn canonical(raw: &[u8], hidden: bool, out: &mut Vec<u8>) -> Result<(), PathError> {
    out.clear();
    if raw.first() != Some(&b'/') {
        return Err(PathError::Malformed);
    }
    // A refusal must not hide a malformed escape further on, so all is decoded before an answer.
    let mut nothing = false;
    for segment in raw[1..].split(|&b| b == b'/') {
        if segment.is_empty() {
            continue;
        }
        out.push(b'/');
        let start = out.len();
        decode(segment, out)?;
        let name = &out[start..];
        nothing |= name == b"."
            || name == b".."
            || is_none_here(name)
            || memchr::memchr(b'/', name).is_some()
            || !hidden && name.starts_with(b".");
    }
    if raw.last() == Some(&b'/') {
        out.push(b'/');
    }
    if nothing || out.len() > PATH_MAX { Err(PathError::Nothing) } else { Ok(()) }
}

/// Whether this system has no file of that name, or could take the name for something else.
fn is_none_here(name: &[u8]) -> bool {
    if cfg!(windows) { !windows_names::may_name(name) } else { name.len() > NAME_MAX }
}

fn decode(segment: &[u8], out: &mut Vec<u8>) -> Result<(), PathError> {
    let mut rest = segment;
    while let Some(percent) = memchr::memchr(b'%', rest) {
        let (plain, escape) = rest.split_at(percent);
        out.extend_from_slice(plain);
        let [b'%', high, low, after @ ..] = escape else {
            return Err(PathError::Malformed);
        };
        let (Some(high), Some(low)) = ((*high as char).to_digit(16), (*low as char).to_digit(16)) else {
            return Err(PathError::Malformed);
        };
        match high << 4 | low {
            0 => return Err(PathError::Malformed),
            byte => out.push(byte as u8),
        }
        rest = after;
    }
    if memchr::memchr(0, rest).is_some() {
        return Err(PathError::Malformed);
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// Appends `path` as it is written in a URL: everything but unreserved characters and slashes is
/// escaped, so the result is safe in a header and in an HTML attribute.
pub fn encode(path: &[u8], out: &mut Vec<u8>) {
    const KEPT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    for part in percent_encoding::percent_encode(path, KEPT) {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(raw: &[u8]) -> Result<Vec<u8>, PathError> {
        let mut out = b"left over".to_vec();
        canonical(raw, false, &mut out).map(|()| out)
    }

    #[test]
    fn paths_have_one_form() {
        // What only some systems have names for.
        let elsewhere: &[(&[u8], &[u8])] = if cfg!(windows) {
            &[]
        } else {
            &[(b"/%ff%FE", b"/\xff\xfe"), (b"/a%0Ab", b"/a\nb"), (b"/a..", b"/a.."), (b"/\\..\\x", b"/\\..\\x")]
        };
        for (raw, path) in [
            (&b"/"[..], &b"/"[..]),
            (b"/a", b"/a"),
            (b"/a/", b"/a/"),
            (b"//a///b//", b"/a/b/"),
            (b"//", b"/"),
            (b"/a%20b/%C3%A4", "/a b/\u{e4}".as_bytes()),
            (b"/%252e%252e/x", b"/%2e%2e/x"),
            (b"/a+b", b"/a+b"),
            (b"/..a..", b""),
            (b"/a..b", b"/a..b"),
        ]
        .iter()
        .chain(elsewhere)
        {
            let expected = if path.is_empty() { Err(PathError::Nothing) } else { Ok(path.to_vec()) };
            assert_eq!(plain(raw), expected, "{}", raw.escape_ascii());
        }
    }

    #[cfg(windows)]
    #[test]
    fn what_windows_would_read_otherwise_is_nothing() {
        for raw in
            ["/C:/", "/C%3A/x", "/..%5Cx", "/a\\b", "/%5C%5C%3F%5CC%3A", "/f::$DATA", "/NUL", "/con.txt", "/f.", "/f%20", "/%ff"]
        {
            assert_eq!(plain(raw.as_bytes()), Err(PathError::Nothing), "{raw}");
        }
    }

    #[test]
    fn nothing_leads_upwards() {
        for raw in [
            "/..",
            "/../",
            "/../etc/passwd",
            "/a/../b",
            "/a/..",
            "/%2e%2e/x",
            "/.%2e/x",
            "/%2E./x",
            "/%2e%2E%2fx",
            "/..%2fx",
            "/..%2F..%2Fx",
            "/a%2fb",
            "/./x",
            "/%2e/x",
            "/....//../x",
            "//../x",
            "/.hidden",
            "/a/.git/config",
            "/%2ehidden",
        ] {
            assert_eq!(plain(raw.as_bytes()), Err(PathError::Nothing), "{raw}");
        }
    }

    #[test]
    fn hidden_names_can_be_let_pass_but_dots_never() {
        let mut out = Vec::new();
        assert_eq!(canonical(b"/.hidden/...x", true, &mut out), Ok(()));
        assert_eq!(out, b"/.hidden/...x");
        assert_eq!(canonical(b"/.", true, &mut out), Err(PathError::Nothing));
        assert_eq!(canonical(b"/%2e.", true, &mut out), Err(PathError::Nothing));
    }

    #[test]
    fn malformed_escapes_and_nul_are_told_apart_from_absence() {
        for raw in ["/%", "/%4", "/%zz", "/%4g", "/%%41", "/a%", "/%00", "/a%00.html", "/../%", "/a\0b", "", "a", "*"] {
            assert_eq!(plain(raw.as_bytes()), Err(PathError::Malformed), "{raw:?}");
        }
    }

    #[test]
    fn names_and_paths_too_long_are_nothing() {
        let name = |n: usize| format!("/{}", "x".repeat(n));
        assert!(plain(name(255).as_bytes()).is_ok());
        assert_eq!(plain(name(256).as_bytes()), Err(PathError::Nothing));
        assert_eq!(plain(name(200).repeat(30).as_bytes()), Err(PathError::Nothing));
    }

    #[test]
    fn encoding_leaves_nothing_special() {
        let mut out = Vec::new();
        encode(b"/a b/<\"'&>\r\n\xff%?#:\\", &mut out);
        assert_eq!(out, b"/a%20b/%3C%22%27%26%3E%0D%0A%FF%25%3F%23%3A%5C");
    }

    proptest! {
        #[test]
        fn a_canonical_path_stays_beneath(raw in "/(%2[eEfF]|%5c|[./a%]|\\PC){0,40}", hidden: bool) {
            let mut out = Vec::new();
            if canonical(raw.as_bytes(), hidden, &mut out).is_ok() {
                prop_assert_eq!(out[0], b'/');
                let mut names: Vec<&[u8]> = out[1..].split(|&b| b == b'/').collect();
                names.pop_if(|last| last.is_empty());
                for name in names {
                    prop_assert!(!name.is_empty() && name != b"." && name != b"..");
                    prop_assert!(hidden || name[0] != b'.');
                }
            }
        }

        #[test]
        fn what_is_encoded_decodes_to_itself(names in proptest::collection::vec("[^/\0]{1,20}", 1..5)) {
            let path = format!("/{}", names.join("/")).into_bytes();
            let mut encoded = Vec::new();
            encode(&path, &mut encoded);
            prop_assert!(encoded.iter().all(u8::is_ascii_graphic));
            let mut out = Vec::new();
            match canonical(&encoded, true, &mut out) {
                Ok(()) => prop_assert_eq!(out, path),
                Err(error) => prop_assert_eq!(error, PathError::Nothing),
            }
        }
    }
}
