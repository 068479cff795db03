//! What goes over the link, as a capture that tshark can read.

use std::cell::RefCell;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;

use ostia_stack::Instant;
use ostia_wire::pcapng::{Direction, InterfaceId, LinkType, Writer};

type Output = Box<dyn FnMut(&[u8])>;

/// A capture of one world: each side's interface, with what the side sent.
pub struct Capture {
    path: PathBuf,
    bytes: Rc<RefCell<Vec<u8>>>,
    writer: Writer<Output>,
    sides: [InterfaceId; 2],
}

impl Capture {
    /// One in the folder that `OSTIA_CAPTURES` names (CONTRIBUTING.md); none without that.
    pub fn begin(name: &str) -> Option<Capture> {
        let path = PathBuf::from(env::var_os("OSTIA_CAPTURES")?).join(format!("{name}.pcapng"));
        let bytes = Rc::new(RefCell::new(Vec::new()));
        let into = Rc::clone(&bytes);
        let output: Output = Box::new(move |block| into.borrow_mut().extend_from_slice(block));
        let mut writer = Writer::new("ostia-stack's tests", output);
        let sides = ["opener", "accepter"].map(|side| writer.interface(side, LinkType::Ip));
        Some(Capture { path, bytes, writer, sides })
    }

    /// A frame was sent; what the link did to it, if anything, is its comment.
    pub fn sent(&mut self, side: usize, now: Instant, bytes: &[u8], fate: &'static str) {
        let comment = (!fate.is_empty()).then_some(fate);
        self.writer.packet(self.sides[side], now.0, Direction::Out, bytes, comment);
    }

    pub fn end(self) {
        fs::write(&self.path, &*self.bytes.borrow()).unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));
    }
}
