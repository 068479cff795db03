//! Captures: a pcapng file of all that goes over links.
//!
//! A [`Capture`] is the file, any number of links write to it, each as an interface of its own: [`Capture::link`] puts a link
//! into a [`Captured`], which is a link again. Frames are written as they pass, both ways, with two changes for those who read
//! them: a partial checksum is completed in the copy, so that it isn't shown as wrong, and a super-segment has a comment that
//! says what it stands for.
//!
//! The file is written through a buffer of 256 KiB, when that is full and when [`Capture::flush`] is called or the last user is
//! dropped, so a frame costs a copy, and now and then a write. Where the file fails (the disk is full, a pipe's reader is gone)
//! the capture ends, and says so once; the links go on.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use ostia_wire::pcapng::{Direction, InterfaceId, LinkType, Writer};
use ostia_wire::{Checksum, Frame};

use crate::facts::{Facts, Medium, Statistics};
use crate::link::{Descriptor, Link, Wake};

const BUFFER: usize = 256 << 10;

/// Nanoseconds since 1970.
pub type WallClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Told of an error.
pub type Report = Box<dyn FnOnce(&io::Error) + Send>;

/// How a capture is made.
#[derive(Default)]
pub struct CaptureOptions {
    /// Octets of each frame that are kept, at most; 0: all of them.
    pub snap_len: usize,
    /// What stamps frames; `None`: the system's clock.
    pub clock: Option<WallClock>,
    /// Told once if the file fails, on the thread that noticed. It must not call the capture.
    pub report: Option<Report>,
}

impl fmt::Debug for CaptureOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaptureOptions").field("snap_len", &self.snap_len).finish_non_exhaustive()
    }
}

/// A capture that links write to; clones are the same one.
#[derive(Clone)]
pub struct Capture {
    shared: Arc<Mutex<Shared>>,
    sink: Arc<Mutex<Sink>>,
    clock: WallClock,
    snap_len: usize,
}

type Output = Box<dyn FnMut(&[u8]) + Send>;

struct Shared {
    writer: Writer<Output>,
}

impl Capture {
    /// Makes a capture in a file, in place of what was in it.
    ///
    /// # Errors
    /// The file can't be opened, or the start of it not be written.
    pub fn create(path: impl AsRef<Path>, options: CaptureOptions) -> io::Result<Capture> {
        let capture = Capture::new(File::create(path)?, options);
        capture.flush()?;
        Ok(capture)
    }

    /// Makes a capture that is written to `output`, which had better not block for long.
    pub fn new(output: impl Write + Send + 'static, options: CaptureOptions) -> Capture {
        let CaptureOptions { snap_len, clock, report } = options;
        let output: Box<dyn Write + Send> = Box::new(output);
        let sink = Sink { file: Some(BufWriter::with_capacity(BUFFER, output)), original: None, failure: None, report };
        let sink = Arc::new(Mutex::new(sink));
        let into = sink.clone();
        let output: Output = Box::new(move |block| lock(&into).put(block));
        let shared = Shared { writer: Writer::new("ostia", output) };
        let clock = clock.unwrap_or_else(|| Arc::new(now));
        Capture { shared: Arc::new(Mutex::new(shared)), sink, clock, snap_len }
    }

    /// Puts a link into the capture, under the link's name.
    pub fn link<L: Link>(&self, link: L) -> Captured<L> {
        let kind = match link.facts().medium {
            Medium::Ip => LinkType::Ip,
            Medium::Ethernet => LinkType::Ethernet,
        };
        let interface = lock(&self.shared).writer.interface(&link.facts().name, kind);
        Captured { link, interface, capture: self.clone() }
    }

    /// Writes what is in the buffer to the file.
    ///
    /// # Errors
    /// The file fails, now or before.
    pub fn flush(&self) -> io::Result<()> {
        let mut sink = lock(&self.sink);
        if let Some(file) = &mut sink.file
            && let Err(error) = file.flush()
        {
            sink.fail(error);
        }
        match &sink.failure {
            Some((kind, text)) => Err(io::Error::new(*kind, text.clone())),
            None => Ok(()),
        }
    }

    fn write(&self, interface: InterfaceId, direction: Direction, frame: &Frame) {
        if !lock(&self.sink).is_open() {
            return;
        }
        let copy;
        let bytes = if let Checksum::Partial { .. } = frame.meta.checksum {
            let mut completed = frame.clone();
            completed.complete_checksum();
            copy = completed;
            copy.as_slice()
        } else {
            frame.as_slice()
        };
        let kept = match self.snap_len {
            0 => bytes,
            most => bytes.get(..most).unwrap_or(bytes),
        };
        let comment = match frame.meta.gso_size {
            0 => None,
            size => Some(format!("super-segment: stands for packets of up to {size} octets of payload")),
        };
        let time = (self.clock)();
        let mut shared = lock(&self.shared);
        lock(&self.sink).original = (kept.len() < bytes.len()).then_some(bytes.len());
        shared.writer.packet(interface, time, direction, kept, comment.as_deref());
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("snap_len", &self.snap_len).finish_non_exhaustive()
    }
}

/// The file, as long as it works.
struct Sink {
    file: Option<BufWriter<Box<dyn Write + Send>>>,
    /// How long the frame in the next block was before it was cut.
    original: Option<usize>,
    failure: Option<(io::ErrorKind, String)>,
    report: Option<Report>,
}

impl Sink {
    fn is_open(&self) -> bool {
        self.file.is_some()
    }

    fn put(&mut self, block: &[u8]) {
        let Some(file) = &mut self.file else { return };
        let result = match self.original.take() {
            Some(len) => write_cut(file, block, len),
            None => file.write_all(block),
        };
        if let Err(error) = result {
            self.fail(error);
        }
    }

    fn fail(&mut self, error: io::Error) {
        if let Some(file) = self.file.take() {
            // What is in the buffer would only fail again.
            let _ = file.into_parts();
        }
        self.failure = Some((error.kind(), error.to_string()));
        if let Some(report) = self.report.take() {
            report(&error);
        }
    }
}

/// Writes a packet block with another length of the packet as it was (draft-ietf-opsawg-pcapng, section 4.3: behind the block's
/// type and length, the interface, the time and the captured length). The writer takes every packet for whole.
fn write_cut(file: &mut impl Write, block: &[u8], original: usize) -> io::Result<()> {
    const AT: usize = 24;
    let (before, rest) = block.split_at_checked(AT).unwrap_or((block, &[]));
    file.write_all(before)?;
    // A frame is far shorter than the field can say.
    file.write_all(&u32::try_from(original).unwrap_or(u32::MAX).to_be_bytes())?;
    file.write_all(rest.get(4..).unwrap_or_default())
}

fn now() -> u64 {
    // 64 bits of nanoseconds last until 2554.
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in an output or a report is its owner's; what is behind the lock stays whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A link whose frames are written to a [`Capture`]: those that came out of it, and those that it took, even if it dropped them
/// then.
#[derive(Debug)]
pub struct Captured<L> {
    link: L,
    interface: InterfaceId,
    capture: Capture,
}

impl<L> Captured<L> {
    /// The link inside.
    pub fn inner(&self) -> &L {
        &self.link
    }

    /// The link, no longer captured.
    pub fn into_inner(self) -> L {
        self.link
    }
}

impl<L: Link> Link for Captured<L> {
    fn facts(&self) -> &Facts {
        self.link.facts()
    }

    fn descriptor(&self) -> Option<Descriptor<'_>> {
        self.link.descriptor()
    }

    fn set_wake(&mut self, wake: Option<Wake>) {
        self.link.set_wake(wake);
    }

    fn receive(&mut self, frame: &mut Frame) -> io::Result<bool> {
        let got = self.link.receive(frame)?;
        if got {
            self.capture.write(self.interface, Direction::In, frame);
        }
        Ok(got)
    }

    fn transmit(&mut self, frame: &Frame) -> io::Result<bool> {
        let done = self.link.transmit(frame)?;
        if done {
            self.capture.write(self.interface, Direction::Out, frame);
        }
        Ok(done)
    }

    fn statistics(&self) -> Statistics {
        self.link.statistics()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::memory::{self, MemoryConfig};

    /// Takes so many octets, then is full.
    struct Disk {
        room: usize,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let len = bytes.len().min(self.room);
            self.room -= len;
            lock(&self.written).extend(&bytes[..len]);
            if len == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(len) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_ends_the_capture_with_one_report_and_not_the_link() {
        let reports = Arc::new(AtomicUsize::new(0));
        let counted = reports.clone();
        let report = move |error: &io::Error| {
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            counted.fetch_add(1, Ordering::SeqCst);
        };
        let written = Arc::default();
        let disk = Disk { room: 1000, written: Arc::clone(&written) };
        let capture = Capture::new(disk, CaptureOptions { report: Some(Box::new(report)), ..CaptureOptions::default() });
        let (a, mut b) = memory::pair(&MemoryConfig { queue: 1000, ..MemoryConfig::default() });
        let mut a = capture.link(a);
        for _ in 0..500 {
            assert!(a.transmit(&Frame::from_slice(&[0x45; 1400])).unwrap());
        }
        assert_eq!(capture.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(capture.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(reports.load(Ordering::SeqCst), 1);
        assert_eq!((a.statistics().sent.frames, lock(&written).len()), (500, 1000));
        assert!(b.receive(&mut Frame::default()).unwrap());
    }

    #[test]
    fn what_is_cut_keeps_its_length_beside() {
        let written = Arc::default();
        let disk = Disk { room: usize::MAX, written: Arc::clone(&written) };
        let options = CaptureOptions { snap_len: 20, clock: Some(Arc::new(|| 5)), ..CaptureOptions::default() };
        let capture = Capture::new(disk, options);
        let (a, _b) = memory::pair(&MemoryConfig::default());
        let mut a = capture.link(a);
        assert!(a.transmit(&Frame::from_slice(&[0x45; 100])).unwrap());
        assert!(a.transmit(&Frame::from_slice(&[0x46; 8])).unwrap());
        capture.flush().unwrap();
        let written = lock(&written);
        let lengths = |captured: u32, original: u32, first: &[u8]| {
            let mut expected = [[0, 0, 0, 0], 5u32.to_be_bytes()].concat();
            expected.extend([captured.to_be_bytes(), original.to_be_bytes()].concat());
            expected.extend(first);
            written.windows(expected.len()).filter(|window| *window == expected).count()
        };
        assert_eq!((lengths(20, 100, &[0x45; 20]), lengths(8, 8, &[0x46; 8])), (1, 1));
    }
}
