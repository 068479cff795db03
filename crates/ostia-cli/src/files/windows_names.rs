//! Which names a request may use on Windows: those that mean one file of that very name, however they are opened.
//!
//! Windows reads more into a name than Unix: drives, streams, devices, other separators, ends that don't count. What could be
//! read so is refused before anything is opened. Two more readings, another case and a short alias (`PROGRA~1`), can't be told
//! from a name by looking at it; [`super::root`] finds them by what the directory itself calls what was opened.

/// Longest name of a directory entry, in UTF-16 units.
const NAME_MAX: usize = 255;

/// Names of devices ("Naming Files, Paths, and Namespaces"), in every directory and with every extension.
const DEVICES: [&str; 7] = ["CON", "PRN", "AUX", "NUL", "CLOCK$", "CONIN$", "CONOUT$"];

/// Devices that have a number after their name. Superscript digits count as digits.
const NUMBERED: [&str; 2] = ["COM", "LPT"];

/// Whether a decoded name may name a file or a directory.
///
/// Refused: what isn't UTF-8; an empty name or one too long; control characters and `< > : " / \ | ? *`, so drives, streams
/// and every separator; a dot or a space at the end, so `.` and `..` too; devices.
#[must_use]
pub fn may_name(name: &[u8]) -> bool {
    let Ok(name) = std::str::from_utf8(name) else { return false };
    let length = name.encode_utf16().count();
    let separates = |char: char| char.is_control() || "<>:\"/\\|?*".contains(char);
    (1..=NAME_MAX).contains(&length) && !name.contains(separates) && !name.ends_with(['.', ' ']) && !is_device(name)
}

/// Whether Windows takes it for a device: by what stands before the first dot, without the spaces at its end.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end_matches(' ');
    let numbered = || {
        let mut chars = stem.chars();
        let digit = chars.next_back().is_some_and(|last| last.is_ascii_digit() || "\u{b9}\u{b2}\u{b3}".contains(last));
        digit && NUMBERED.iter().any(|device| chars.as_str().eq_ignore_ascii_case(device))
    };
    DEVICES.iter().any(|device| stem.eq_ignore_ascii_case(device)) || numbered()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_names_pass() {
        for name in [
            "file.txt",
            "FILE.TXT",
            "no extension",
            " leading space",
            ".hidden",
            "...x",
            "a..b",
            "a.b.c",
            "~",
            "FILE~1.TXT",
            "a~b",
            "console",
            "con1",
            "xcon",
            "con-",
            "nullable.txt",
            "aux1.h",
            "com",
            "com.txt",
            "com10",
            "com1x",
            "lpt\u{b4}",
            "com\u{2081}",
            "conin",
            "conin$x",
            "$DATA",
            "\u{e4}\u{1f98a}",
            "a\u{a0}",
            "x'`!@#$%^&()-_=+[]{};,",
        ] {
            assert!(may_name(name.as_bytes()), "{name:?}");
        }
    }

    #[test]
    fn what_means_something_else_is_refused() {
        let readings: &[(&str, &[&str])] = &[
            ("upwards", &[".", "..", "...", ". .", ".. "]),
            ("nothing", &[""]),
            ("a drive", &["C:", "c:", "C:file", "C:\\", "\u{e4}:"]),
            ("a stream", &["file:", "file:stream", "file.txt::$DATA", "file::$INDEX_ALLOCATION", ":", "::$DATA"]),
            ("a separator", &["a\\b", "\\", "..\\x", "\\\\server\\share", "\\\\?\\C:", "\\\\.\\NUL", "a/b"]),
            ("a pattern", &["*", "?", "file.tx?", "<", ">", "\"", "a|b", "file.<"]),
            ("a control character", &["a\0b", "a\nb", "\x1f", "\x7f", "a\u{85}"]),
            ("an end that doesn't count", &["file.txt.", "file.txt..", "file.txt ", "file.txt. ", " ", "x .", "\u{e4}."]),
            (
                "a device",
                &[
                    "CON",
                    "con",
                    "Con.txt",
                    "con.tar.gz",
                    "con .txt",
                    "con  .x",
                    "PRN",
                    "prn.",
                    "aux",
                    "aux.h",
                    "NUL",
                    "nul.txt",
                    "nUl .",
                    "CLOCK$",
                    "COM1",
                    "com1.txt",
                    "com9.a.b",
                    "COM0",
                    "com1 .txt",
                    "LPT1",
                    "lpt0",
                    "lpt9.x",
                    "COM\u{b9}",
                    "com\u{b2}.txt",
                    "lpt\u{b3}",
                    "LPT\u{b9} .log",
                    "CONIN$",
                    "conin$.txt",
                    "CONOUT$",
                    "conout$ .x",
                ],
            ),
        ];
        for (reading, names) in readings {
            for name in *names {
                assert!(!may_name(name.as_bytes()), "{reading}: {name:?}");
            }
        }
    }

    #[test]
    fn names_are_text_of_bounded_length() {
        for bytes in [&b"\xff"[..], b"a\xc0\xaf", b"\xed\xa0\x80", b"caf\xe9"] {
            assert!(!may_name(bytes), "{}", bytes.escape_ascii());
        }
        assert!(may_name("x".repeat(255).as_bytes()) && !may_name("x".repeat(256).as_bytes()));
        // Counted in UTF-16: three bytes of UTF-8 are one unit, four are two.
        assert!(may_name("\u{20ac}".repeat(255).as_bytes()) && !may_name("\u{20ac}".repeat(256).as_bytes()));
        assert!(may_name("\u{1f98a}".repeat(127).as_bytes()) && !may_name("\u{1f98a}".repeat(128).as_bytes()));
    }

    proptest! {
        /// Whatever passes is one component that Windows leaves as it is: nothing to split at, nothing to cut off.
        #[test]
        fn what_passes_is_one_name(name in "(\\PC|[.: \\\\/~$]|con|nul|com1){0,8}") {
            if may_name(name.as_bytes()) {
                prop_assert!(!name.contains(['\\', '/', ':', '*', '?', '\0']));
                prop_assert_eq!(name.trim_end_matches(['.', ' ']), name.as_str());
                let stem = name.split('.').next().unwrap_or_default().trim().to_ascii_uppercase();
                prop_assert!(!["CON", "NUL", "COM1"].contains(&stem.as_str()) || name.starts_with(' '));
            }
        }
    }
}
