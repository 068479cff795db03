//! The `Content-Type` of a file, from its name.

/// The media type for a file of this name; bytes that aren't UTF-8 are no obstacle.
///
/// Text is declared as UTF-8, which is what files are written in today; without it browsers fall
/// back to a legacy encoding. Unknown extensions give `application/octet-stream`, which browsers
/// download instead of guessing (`nosniff`).
pub fn content_type(name: &[u8]) -> String {
    let extension = match memchr::memrchr(b'.', name) {
        // A leading dot makes a hidden file, not an extension.
        None | Some(0) => return known_name(name).to_owned(),
        Some(dot) => String::from_utf8_lossy(&name[dot + 1..]),
    };
    let Some(guess) = mime_guess::from_ext(&extension).first_raw() else {
        return match extension.to_ascii_lowercase().as_str() {
            "mjs" => "text/javascript; charset=utf-8".to_owned(),
            "log" | "conf" | "cfg" | "ini" | "lock" | "toml" | "yml" | "yaml" | "rst" => "text/plain; charset=utf-8".to_owned(),
            _ => "application/octet-stream".to_owned(),
        };
    };
    if is_text(guess) { format!("{guess}; charset=utf-8") } else { guess.to_owned() }
}

/// Files that are known by their whole name.
fn known_name(name: &[u8]) -> &'static str {
    let text: [&[u8]; 8] = [b"README", b"LICENSE", b"LICENCE", b"COPYING", b"CHANGELOG", b"Makefile", b"Dockerfile", b"AUTHORS"];
    if text.contains(&name) { "text/plain; charset=utf-8" } else { "application/octet-stream" }
}

fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/")
        || media_type.ends_with("+json")
        || media_type.ends_with("+xml")
        || matches!(
            media_type,
            "application/json" | "application/javascript" | "application/xml" | "application/x-sh" | "application/toml"
        )
}

#[cfg(test)]
mod tests {
    use super::content_type;

    #[test]
    fn types_by_name() {
        for (name, expected) in [
            (&b"index.html"[..], "text/html; charset=utf-8"),
            (b"A.HTML", "text/html; charset=utf-8"),
            (b"a.tar.gz", "application/gzip"),
            (b"a.js", "text/javascript; charset=utf-8"),
            (b"a.json", "application/json; charset=utf-8"),
            (b"a.svg", "image/svg+xml; charset=utf-8"),
            (b"a.png", "image/png"),
            (b"a.wasm", "application/wasm"),
            (b"a.mp4", "video/mp4"),
            (b"a.md", "text/markdown; charset=utf-8"),
            (b"\xff\xfe.txt", "text/plain; charset=utf-8"),
            (b"x.\xff", "application/octet-stream"),
            (b"x.unknown-extension", "application/octet-stream"),
            (b".html", "application/octet-stream"),
            (b"x.", "application/octet-stream"),
            (b"", "application/octet-stream"),
            (b"README", "text/plain; charset=utf-8"),
        ] {
            assert_eq!(content_type(name), expected, "{}", name.escape_ascii());
        }
    }
}
