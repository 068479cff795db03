//! What carries a network's bytes: the operating system, or an engine of one worker's port.

use std::io;

use ostia_port::{Address, Engine, EngineId, SocketSpec};

use crate::here;
use crate::net::raw::Raw;

/// Who makes a network's sockets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Carrier {
    /// The operating system, on any worker.
    #[default]
    Kernel,
    /// An engine of this worker's port.
    Engine { worker: u32, engine: EngineId },
}

impl Carrier {
    /// Gives an engine to the current worker's port.
    pub(crate) fn of(engine: Box<dyn Engine>) -> io::Result<Carrier> {
        here::with(|core| Carrier::Engine { worker: core.id, engine: core.port.borrow_mut().add_engine(engine) })
            .ok_or_else(here::elsewhere)
    }

    /// The carrier of sockets with this address: only the system has others than those of IP.
    pub(crate) fn for_address(self, address: &Address) -> Carrier {
        if address.ip().is_some() { self } else { Carrier::Kernel }
    }

    /// The worker that the sockets belong to, if only one can have them.
    pub(crate) fn worker(self) -> Option<u32> {
        if let Carrier::Engine { worker, .. } = self { Some(worker) } else { None }
    }

    /// Makes a socket of the engine; none where there is none, and the system makes it.
    ///
    /// # Errors
    /// As [`Engine::open`]; on another worker than the engine's.
    pub(crate) fn open(self, spec: SocketSpec) -> io::Result<Option<Raw>> {
        let Carrier::Engine { worker, engine } = self else { return Ok(None) };
        here::home(worker, |core| {
            let handle = core.port.borrow_mut().open_socket(engine, spec, 0)?;
            Ok(Some(Raw { worker, handle }))
        })
    }

    /// Calls `f` with the engine.
    pub(crate) fn with<R>(self, f: impl FnOnce(&mut dyn Engine) -> R) -> io::Result<R> {
        let Carrier::Engine { worker, engine } = self else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the operating system's network has no engine"));
        };
        here::home(worker, |core| {
            let mut port = core.port.borrow_mut();
            Ok(f(port.engine_mut(engine).ok_or_else(here::elsewhere)?))
        })
    }
}
