//! The names in a directory, as Windows gives them: left out are also those by which nothing can be asked for.

use super::{Item, Items, MAX_ITEMS};
use crate::files::root::{Kind, OpenError, Root, Wait};
use crate::files::{seconds_since_epoch, windows_names};
use ostia_port::os::wine_version;
use std::fs::DirEntry;
use std::os::windows::fs::MetadataExt as _;

pub(super) fn read(root: &Root, path: &[u8], hidden: bool) -> Result<Items, OpenError> {
    let looks_at_each = wine_version().is_some();
    root.read_dir(path, |entries| {
        let mut found = Items::default();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| windows_names::may_name(name.as_bytes())) else { continue };
            if !hidden && name.starts_with('.') {
                continue;
            }
            if found.items.len() == MAX_ITEMS {
                found.truncated = true;
                break;
            }
            // Names that vanish meanwhile are left out.
            found.items.extend(item(root, path, name, &entry, looks_at_each).ok());
        }
        Ok(found)
    })
}

/// What stands in the directory about a name, or behind it if that is a link. Wine shows a link of the Unix side, and all that
/// is no file, as a file: there each has to be looked at.
fn item(root: &Root, path: &[u8], name: &str, entry: &DirEntry, looks_at_each: bool) -> Result<Item, OpenError> {
    let meta = entry.metadata()?;
    let (kind, size, modified) = match meta.file_type() {
        kind if kind.is_symlink() || looks_at_each => {
            let (kind, meta) = root.kind(&[path, name.as_bytes()].concat(), Wait::Allowed)?;
            (kind, meta.size, meta.mtime)
        }
        kind if kind.is_dir() => (Kind::Directory, 0, seconds_since_epoch(meta.last_write_time())),
        kind if kind.is_file() => (Kind::File, meta.file_size(), seconds_since_epoch(meta.last_write_time())),
        _ => return Err(OpenError::NotFound),
    };
    Ok(Item { name: name.into(), kind, size, modified })
}
