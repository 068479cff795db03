//! The page that lists a directory: sortable without scripts, fit for a phone, light and dark.
//!
//! Names are bytes that anyone may have chosen. In text they are escaped, control characters are
//! shown as their pictures, and each name's writing direction is kept to itself (`bdi`); in links
//! everything but unreserved characters is percent-encoded. The page allows no script at all.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

use crate::files::cache::Settings;
use crate::files::path::encode;
use crate::files::root::{Kind, OpenError, Root};
use std::cmp::Ordering;
use std::io::Write as _;
use std::time::{Duration, UNIX_EPOCH};

/// Most names that a page shows; of larger directories it shows that many, and says so.
pub const MAX_ITEMS: usize = 20_000;

/// What the page may load: its own style, nothing else (Content Security Policy).
pub const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The name, any bytes but `/` and NUL.
    pub name: Vec<u8>,
    /// File or directory.
    pub kind: Kind,
    /// Bytes; of no meaning for a directory.
    pub size: u64,
    /// Last change, in seconds since the epoch.
    pub modified: i64,
}

/// The column that a listing is sorted by. Directories come first in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Column {
    /// By name, without regard to ASCII case.
    #[default]
    Name,
    /// By size.
    Size,
    /// By date of last change.
    Date,
}

/// How a listing is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub column: Column,
    /// Largest first.
    pub descending: bool,
}

impl Sort {
    /// Reads `sort=name|size|date` and `order=asc|desc` from a query; anything else is ignored.
    pub fn from_query(query: Option<&[u8]>) -> Sort {
        let mut sort = Sort::default();
        for pair in query.unwrap_or_default().split(|&b| b == b'&') {
            match pair {
                b"sort=name" => sort.column = Column::Name,
                b"sort=size" => sort.column = Column::Size,
                b"sort=date" => sort.column = Column::Date,
                b"order=asc" => sort.descending = false,
                b"order=desc" => sort.descending = true,
                _ => {}
            }
        }
        sort
    }

    fn compare(self, a: &Item, b: &Item) -> Ordering {
        let directories_first = (a.kind == Kind::File).cmp(&(b.kind == Kind::File));
        let by_name = || {
            let lower = |item: &Item| item.name.to_ascii_lowercase();
            lower(a).cmp(&lower(b)).then_with(|| a.name.cmp(&b.name))
        };
        let by_column = match self.column {
            Column::Name => by_name(),
            Column::Size if a.kind == Kind::File && b.kind == Kind::File => a.size.cmp(&b.size),
            Column::Size => Ordering::Equal,
            Column::Date => a.modified.cmp(&b.modified),
        };
        let by_column = if self.descending { by_column.reverse() } else { by_column };
        directories_first.then(by_column).then_with(by_name)
    }
}

/// The names in a directory.
#[derive(Clone, Debug, Default)]
pub struct Items {
    /// In no order.
    pub items: Vec<Item>,
    /// There are more than [`MAX_ITEMS`].
    pub truncated: bool,
}

/// Reads the directory of a canonical path. Waits for the disk: for the blocking pool.
///
/// Left out is what would not be served: hidden names, unless `hidden`; devices, FIFOs, sockets;
/// symbolic links that lead out of the root or nowhere.
///
/// # Errors
/// [`OpenError`], `NotFound` when it isn't a directory (any more).
pub fn read(root: &Root, path: &[u8], hidden: bool) -> Result<Items, OpenError> {
    system::read(root, path, hidden)
}

const STYLE: &str = "
:root{color-scheme:light dark;--line:#d8dee4;--dim:#59636e;--hover:#f3f5f7;--link:#0757b8}
@media(prefers-color-scheme:dark){:root{--line:#30363d;--dim:#9198a1;--hover:#1c2128;--link:#6cb2ff}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}
h1{font-size:1.15rem;font-weight:600;margin:.5rem 0 1rem;overflow-wrap:anywhere}
a{color:var(--link);text-decoration:none}a:hover,a:focus{text-decoration:underline}
table{width:100%;border-collapse:collapse}
th{font-weight:600;text-align:left;font-size:.9rem}th a{display:block;padding:.6rem .4rem;color:inherit}
td{border-top:1px solid var(--line);padding:0 .4rem}
tbody tr:hover{background:var(--hover)}
td:first-child a{display:block;padding:.6rem 0;overflow-wrap:anywhere}
.n{text-align:right;white-space:nowrap;color:var(--dim);font-variant-numeric:tabular-nums}
th.n{color:inherit}
footer{color:var(--dim);font-size:.9rem;margin:1rem .4rem}
@media(max-width:34rem){body{padding:.5rem}.d{display:none}}
";

/// Reads the directory of a canonical path and makes its page. For the blocking pool.
///
/// # Errors
/// As [`read`].
pub fn page(root: &Root, path: &[u8], settings: Settings, sort: Sort) -> Result<Vec<u8>, OpenError> {
    let mut items = read(root, path, settings.hidden)?;
    if settings.simulated {
        items.items.iter_mut().for_each(|item| item.modified = 0);
    }
    let mut page = Vec::with_capacity(4096 + 256 * items.items.len());
    render(path, items, sort, &mut page);
    Ok(page)
}

/// Appends the page for the directory of this canonical path.
pub fn render(path: &[u8], mut items: Items, sort: Sort, out: &mut Vec<u8>) {
    items.items.sort_by(|a, b| sort.compare(a, b));
    out.extend_from_slice(b"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.extend_from_slice(b"<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>");
    text(path, out);
    let _ = write!(out, "</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>");
    crumbs(path, out);
    out.extend_from_slice(b"</h1>\n<table>\n<thead><tr>");
    heading(out, "Name", "name", Column::Name, "", sort);
    heading(out, "Size", "size", Column::Size, " class=\"n\"", sort);
    heading(out, "Changed (UTC)", "date", Column::Date, " class=\"n d\"", sort);
    out.extend_from_slice(b"</tr></thead>\n<tbody>\n");
    if path != b"/" {
        out.extend_from_slice(b"<tr><td><a href=\"../\">../</a></td><td></td><td class=\"d\"></td></tr>\n");
    }
    for item in &items.items {
        row(item, out);
    }
    let directories = items.items.iter().filter(|item| item.kind == Kind::Directory).count();
    let files = items.items.len() - directories;
    let count = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    let _ = write!(
        out,
        "</tbody>\n</table>\n<footer>{}, {}{}</footer>\n</body>\n</html>\n",
        count(directories, "directory", "directories"),
        count(files, "file", "files"),
        if items.truncated { "; there are more that this page does not show" } else { "" },
    );
}

/// The path, each directory on the way a link.
fn crumbs(path: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"<a href=\"/\">/</a>");
    let mut from = 1;
    while let Some(length) = memchr::memchr(b'/', &path[from..]) {
        let end = from + length + 1;
        out.extend_from_slice(b" <a href=\"");
        encode(&path[..end], out);
        out.extend_from_slice(b"\"><bdi>");
        text(&path[from..end - 1], out);
        out.extend_from_slice(b"</bdi>/</a>");
        from = end;
    }
}

/// A column's heading; following its link sorts by it, or turns the order round.
fn heading(out: &mut Vec<u8>, label: &str, key: &str, column: Column, class: &str, sort: Sort) {
    let current = sort.column == column;
    let (aria, mark) = match (current, sort.descending) {
        (false, _) => ("", ""),
        (true, false) => (" aria-sort=\"ascending\"", " \u{2191}"),
        (true, true) => (" aria-sort=\"descending\"", " \u{2193}"),
    };
    // Sizes and dates are mostly wanted largest and newest first.
    let next = match current {
        true => !sort.descending,
        false => column != Column::Name,
    };
    let order = if next { "desc" } else { "asc" };
    let _ = write!(out, "<th{class}{aria}><a href=\"?sort={key}&amp;order={order}\">{label}{mark}</a></th>");
}

fn row(item: &Item, out: &mut Vec<u8>) {
    let slash = if item.kind == Kind::Directory { "/" } else { "" };
    // The dot keeps a name with a colon from being read as a scheme.
    out.extend_from_slice(b"<tr><td><a href=\"./");
    encode(&item.name, out);
    let _ = write!(out, "{slash}\"><bdi>");
    text(&item.name, out);
    let _ = write!(out, "</bdi>{slash}</a></td><td class=\"n\"");
    match item.kind {
        Kind::Directory => out.push(b'>'),
        Kind::File => {
            let _ = write!(out, " title=\"{} bytes\">{}", item.size, human_size(item.size));
        }
    }
    out.extend_from_slice(b"</td><td class=\"n d\">");
    date(item.modified, out);
    out.extend_from_slice(b"</td></tr>\n");
}

/// Text for HTML, in elements and in quoted attributes.
fn text(bytes: &[u8], out: &mut Vec<u8>) {
    for char in String::from_utf8_lossy(bytes).chars() {
        match char {
            '&' => out.extend_from_slice(b"&amp;"),
            '<' => out.extend_from_slice(b"&lt;"),
            '>' => out.extend_from_slice(b"&gt;"),
            '"' => out.extend_from_slice(b"&quot;"),
            '\'' => out.extend_from_slice(b"&#39;"),
            '\0'..='\x1f' => push(char::from_u32(0x2400 + char as u32).unwrap_or('\u{fffd}'), out),
            '\x7f' => push('\u{2421}', out),
            '\u{80}'..='\u{9f}' => push('\u{fffd}', out),
            char => push(char, out),
        }
    }
}

fn push(char: char, out: &mut Vec<u8>) {
    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Three significant digits and a binary unit.
fn human_size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if value < 1000.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ if value < 9.995 => format!("{value:.2} {unit}"),
        _ if value < 99.95 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// `YYYY-MM-DD HH:MM`; nothing for times that four digits of a year can't hold.
fn date(seconds: i64, out: &mut Vec<u8>) {
    if crate::http::response::http_date(seconds).is_none() {
        return;
    }
    let time = UNIX_EPOCH + Duration::from_secs(seconds as u64);
    let stamp = humantime::format_rfc3339_seconds(time).to_string();
    let (day, clock) = (&stamp[..10], &stamp[11..16]);
    let _ = write!(out, "<time datetime=\"{stamp}\">{day} {clock}</time>");
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
