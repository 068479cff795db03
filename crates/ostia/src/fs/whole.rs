//! Files taken whole: read into memory, written from it.

use std::io;
use std::path::Path;

use ostia_port::Buffer;

use crate::fs::File;
use crate::fs::failure::naming;

/// How much more is asked for of what can't tell its size, such as a pipe.
const MORE: usize = 8 << 10;

/// Reads a whole file; of a pipe or a device, until its end. Cancelled: nothing happened, but that what a pipe gave is lost.
///
/// # Errors
/// As openat2(2) and pread(2), naming the path; outside of a runtime.
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    let file = File::open(path).await?;
    let read = async {
        match file.metadata().await?.is_file() {
            true => file.read_to_end(0).await,
            // It has no places to read from: directories answer EISDIR to this too.
            false => read_on(&file).await,
        }
    };
    read.await.map_err(|error| naming("read", path, error))
}

/// Reads from the file's own position to its end.
async fn read_on(file: &File) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::new();
    loop {
        if buffer.capacity() == buffer.len() {
            buffer.reserve(MORE);
        }
        let (read, back) = file.read(buffer).await;
        buffer = back;
        if read? == 0 {
            return Ok(buffer);
        }
    }
}

/// As [`read`], as text. Cancelling as there.
///
/// # Errors
/// As there; InvalidData if it is not UTF-8.
pub async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let path = path.as_ref();
    let bytes = read(path).await?;
    String::from_utf8(bytes).map_err(|error| naming("read", path, io::Error::new(io::ErrorKind::InvalidData, error.utf8_error())))
}

/// Makes a file hold exactly `data`: it is made or emptied, written and closed. Not synced, nor all at once: a crash, or
/// somebody who reads meanwhile, may find a part. The [module](crate::fs)'s documentation shows how to replace a file whole.
/// Not for pipes, for which there is [`File::write`].
///
/// Cancelled: it may have been made or emptied, and a part written; what is in flight may still be.
///
/// # Errors
/// As openat2(2), pwrite(2) and close(2), naming the path; outside of a runtime.
pub async fn write(path: impl AsRef<Path>, data: impl Into<Buffer>) -> io::Result<()> {
    let (path, data) = (path.as_ref(), data.into());
    let file = File::create(path).await?;
    let written = async {
        file.write_all_at(data, 0).await?;
        file.close().await
    };
    written.await.map_err(|error| naming("write", path, error))
}
