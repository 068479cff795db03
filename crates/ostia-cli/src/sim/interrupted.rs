//! Made-up files don't stay behind when a signal ends the program.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level;

static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// From now on the signals that ask the program to end remove this folder, too. By a thread that sleeps in read(2) until then: a
/// signal's handler may only write a byte.
///
/// # Errors
/// No descriptor or thread for that is left.
pub(super) fn removes(folder: &Path) -> io::Result<()> {
    let mut folders = FOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
    if folders.is_empty() {
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            let (mut heard, signalled) = UnixStream::pair()?;
            low_level::pipe::register(signal, signalled)?;
            let listen = move || {
                if heard.read_exact(&mut [0]).is_ok() {
                    for folder in FOLDERS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                        // It may be gone already.
                        let _ = std::fs::remove_dir_all(folder);
                    }
                    let _ = low_level::emulate_default_handler(signal);
                }
            };
            std::thread::Builder::new().name("interrupted".into()).spawn(listen)?;
        }
        // From now on SIGINT is heard by that.
        crate::launch::started();
    }
    folders.push(folder.to_owned());
    Ok(())
}
