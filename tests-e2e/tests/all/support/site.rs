//! Files to serve: a temporary folder, pseudo-random content, and its digest.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::mix;

/// A temporary folder that goes away with the value.
pub struct Site {
    folder: TempDir,
}

impl Site {
    /// An empty folder, on a real file system if the build folder is on one.
    pub fn new() -> Site {
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder can be made");
        Site { folder }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a small file.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("the file can be written");
        path
    }

    /// Writes a file full of `pattern`, without holes.
    pub fn fill(&self, name: &str, pattern: Pattern, length: u64) -> Sha {
        let mut file = File::create(self.path(name)).expect("the file can be made");
        let mut digest = Sha256::new();
        let mut block = vec![0; 1 << 20];
        let mut at = 0;
        while at < length {
            let part = usize::try_from((length - at).min(block.len() as u64)).expect("a block");
            pattern.at(at, &mut block[..part]);
            file.write_all(&block[..part]).expect("there is room");
            digest.update(&block[..part]);
            at += part as u64;
        }
        Sha(digest.finalize().into())
    }
}

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sha([u8; 32]);

/// In hexadecimal, as sha256sum(1) prints it.
impl std::fmt::Debug for Sha {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Sha {
    /// Of all that several sources give, one after the other.
    pub fn of(sources: impl IntoIterator<Item = impl Read>) -> Sha {
        let mut digest = Sha256::new();
        let mut block = vec![0; 1 << 18];
        for mut source in sources {
            loop {
                match source.read(&mut block).expect("the source can be read") {
                    0 => break,
                    length => digest.update(&block[..length]),
                }
            }
        }
        Sha(digest.finalize().into())
    }
}

/// Endless pseudo-random bytes, a function of a seed and a position.
#[derive(Clone, Copy)]
pub struct Pattern(pub u64);

impl Pattern {
    /// The bytes from position `offset` on.
    pub fn at(self, offset: u64, bytes: &mut [u8]) {
        let mut word = offset / 8;
        let inside = usize::try_from(offset % 8).expect("below 8");
        let (first, rest) = bytes.split_at_mut(bytes.len().min((8 - inside) % 8));
        if !first.is_empty() {
            first.copy_from_slice(&self.word(word)[inside..inside + first.len()]);
            word += 1;
        }
        for part in rest.chunks_mut(8) {
            part.copy_from_slice(&self.word(word)[..part.len()]);
            word += 1;
        }
    }

    fn word(self, index: u64) -> [u8; 8] {
        mix(self.0 ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes()
    }

    /// The first `length` bytes.
    pub fn bytes(self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.at(0, &mut bytes);
        bytes
    }

    /// Whether `bytes` are those from `offset` on.
    pub fn is_at(self, offset: u64, bytes: &[u8]) -> bool {
        let mut expected = vec![0; bytes.len()];
        self.at(offset, &mut expected);
        expected == bytes
    }
}

#[test]
fn a_pattern_is_the_same_from_any_position() {
    let pattern = Pattern(7);
    let whole = pattern.bytes(100);
    for start in 0..50 {
        for length in 0..50 {
            assert!(pattern.is_at(start as u64, &whole[start..start + length]));
        }
    }
}
