//! A capture of a link: every frame that was sent into it, with what became of it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ostia_wire::pcapng::{Direction, InterfaceId, LinkType, Writer};

use crate::run::lock;

type Output = Box<dyn FnMut(&[u8]) + Send>;

/// The file.
pub(crate) struct Capture {
    writer: Writer<Output>,
    interface: InterfaceId,
    /// When the world began, in nanoseconds since 1970.
    epoch: u64,
    /// Why nothing more is written, if so.
    failed: Receiver<io::Error>,
    file: Arc<Mutex<Option<BufWriter<File>>>>,
}

impl Capture {
    pub(crate) fn create(path: &Path, link: &str, epoch: Duration) -> io::Result<Capture> {
        let file = BufWriter::with_capacity(256 << 10, File::create(path)?);
        let file = Arc::new(Mutex::new(Some(file)));
        let (tell, failed) = mpsc::channel();
        let into = file.clone();
        let output: Output = Box::new(move |block| {
            let mut file = lock(&into);
            if let Some(open) = &mut *file
                && let Err(error) = open.write_all(block)
            {
                // The first error is the one that tells; there is no use in going on.
                *file = None;
                let _ = tell.send(error);
            }
        });
        let mut writer = Writer::new("ostia sim", output);
        let interface = writer.interface(link, LinkType::Ethernet);
        let epoch = u64::try_from(epoch.as_nanos()).unwrap_or(0);
        Ok(Capture { writer, interface, epoch, failed, file })
    }

    pub(crate) fn frame<'c>(&mut self, now: u64, bytes: &[u8], remarks: impl IntoIterator<Item = &'c str>) {
        self.writer.packet(self.interface, self.epoch.saturating_add(now), Direction::Out, bytes, remarks);
    }

    pub(crate) fn finish(self) -> io::Result<()> {
        if let Ok(error) = self.failed.try_recv() {
            return Err(error);
        }
        match &mut *lock(&self.file) {
            Some(file) => file.flush(),
            None => Ok(()),
        }
    }
}
