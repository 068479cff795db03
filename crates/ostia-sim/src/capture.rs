//! A capture of a link: every frame that was sent into it, with what became of it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use ostia_wire::pcapng::{Direction, InterfaceId, LinkType, Writer};

type Output = Box<dyn FnMut(&[u8]) + Send>;

/// The file.
pub(crate) struct Capture {
    writer: Writer<Output>,
    interface: InterfaceId,
    /// When the world began, in nanoseconds since 1970.
    epoch: u64,
    ended: std::sync::mpsc::Receiver<io::Error>,
    flush: std::sync::Arc<std::sync::Mutex<Option<BufWriter<File>>>>,
}

impl Capture {
    pub(crate) fn create(path: &Path, link: &str, epoch: Duration) -> io::Result<Capture> {
        let file = BufWriter::with_capacity(256 << 10, File::create(path)?);
        let file = std::sync::Arc::new(std::sync::Mutex::new(Some(file)));
        let (failed, ended) = std::sync::mpsc::channel();
        let into = file.clone();
        let output: Output = Box::new(move |block| {
            let mut file = crate::run::lock(&into);
            if let Some(open) = &mut *file
                && let Err(error) = open.write_all(block)
            {
                // The first error is the one that tells; there is no use in going on.
                *file = None;
                let _ = failed.send(error);
            }
        });
        let mut writer = Writer::new("ostia sim", output);
        let interface = writer.interface(link, LinkType::Ethernet);
        let epoch = u64::try_from(epoch.as_nanos()).unwrap_or(0);
        Ok(Capture { writer, interface, epoch, ended, flush: file })
    }

    pub(crate) fn frame<'c>(&mut self, now: u64, bytes: &[u8], remarks: impl IntoIterator<Item = &'c str>) {
        self.writer.packet(self.interface, self.epoch.saturating_add(now), Direction::Out, bytes, remarks);
    }

    pub(crate) fn finish(self) -> io::Result<()> {
        if let Ok(error) = self.ended.try_recv() {
            return Err(error);
        }
        match &mut *crate::run::lock(&self.flush) {
            Some(file) => file.flush(),
            None => Ok(()),
        }
    }
}
