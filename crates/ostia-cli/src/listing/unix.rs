//! The names in a directory, as Linux gives them.

use super::{Item, Items, MAX_ITEMS};
use crate::files::Meta;
use crate::files::root::{Kind, OpenError, Opened, Root, Wait};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};

pub(super) fn read(root: &Root, path: &[u8], hidden: bool) -> Result<Items, OpenError> {
    let Opened::Directory(place, _) = root.find(path, Wait::Allowed)? else {
        return Err(OpenError::NotFound);
    };
    // "." in the place itself: the same directory, whatever its path may be by now.
    let dir = rustix::fs::openat(&place, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut found = Items::default();
    for entry in rustix::fs::Dir::read_from(&dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." || !hidden && name.starts_with(b".") {
            continue;
        }
        if found.items.len() == MAX_ITEMS {
            found.truncated = true;
            break;
        }
        // Names that vanish meanwhile are left out.
        found.items.extend(item(root, path, &dir, name));
    }
    Ok(found)
}

fn item(root: &Root, path: &[u8], dir: &impl rustix::fd::AsFd, name: &[u8]) -> Option<Item> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT).ok()?;
    let (kind, meta) = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => root.kind(&[path, name].concat(), Wait::Allowed).ok()?,
        kind => (Kind::of(kind)?, Meta::from(&stat)),
    };
    Some(Item { name: name.to_vec(), kind, size: meta.size, modified: meta.mtime })
}
