//! What carries a network's bytes: the operating system, or an engine of one worker's port and its branches on those of others.

use std::io;

use ostia_port::{Address, Engine, EngineId, SocketSpec};

use crate::net::raw::Raw;
use crate::worker::Core;
use crate::{here, task};

/// Who makes a network's sockets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Carrier {
    /// The operating system, on any worker.
    #[default]
    Kernel,
    /// An engine of this worker's port, which other workers reach by branches, if it has such.
    Engine { worker: u32, engine: EngineId, branches: bool },
}

/// A branch of another worker's engine: it is given to this worker's port when it is first used.
pub(crate) struct Branch {
    worker: u32,
    engine: EngineId,
    place: Place,
}

enum Place {
    Aside(Box<dyn Engine + Send>),
    OnPort(EngineId),
}

impl Carrier {
    /// Gives an engine to the current worker's port, and branches of it, if it can have such, to the others.
    pub(crate) fn of(engine: Box<dyn Engine>) -> io::Result<Carrier> {
        here::with(|core| {
            let mut port = core.port.borrow_mut();
            let id = port.add_engine(engine);
            let mut branches = false;
            for sibling in core.siblings.borrow().iter().filter(|sibling| sibling.0 != core.id) {
                let Some(branch) = port.engine_mut(id).and_then(Engine::branch) else { break };
                let branch = Branch { worker: core.id, engine: id, place: Place::Aside(branch) };
                branches = true;
                task::call(sibling.0, move |core| core.branches.borrow_mut().push(branch));
            }
            Carrier::Engine { worker: core.id, engine: id, branches }
        })
        .ok_or_else(here::elsewhere)
    }

    /// What the current worker's port calls the engine, or its branch here.
    fn here(core: &Core, worker: u32, engine: EngineId) -> io::Result<EngineId> {
        if core.id == worker {
            return Ok(engine);
        }
        let mut branches = core.branches.borrow_mut();
        let at = branches.iter().position(|branch| (branch.worker, branch.engine) == (worker, engine));
        let at = at.ok_or_else(here::elsewhere)?;
        if let Place::OnPort(id) = branches[at].place {
            return Ok(id);
        }
        let Branch { place: Place::Aside(branch), .. } = branches.swap_remove(at) else { return Err(here::elsewhere()) };
        let id = core.port.borrow_mut().add_engine(branch);
        branches.push(Branch { worker, engine, place: Place::OnPort(id) });
        Ok(id)
    }

    /// The carrier of sockets with this address: only the system has others than those of IP.
    pub(crate) fn for_address(self, address: &Address) -> Carrier {
        if address.ip().is_some() { self } else { Carrier::Kernel }
    }

    /// Whether all workers of the runtime that made it can have sockets.
    pub(crate) fn is_everywhere(self) -> bool {
        matches!(self, Carrier::Kernel | Carrier::Engine { branches: true, .. })
    }

    /// Makes a socket of the engine; none where there is none, and the system makes it.
    ///
    /// # Errors
    /// As [`Engine::open`]; on a worker that has neither the engine nor a branch of it.
    pub(crate) fn open(self, spec: SocketSpec) -> io::Result<Option<Raw>> {
        let Carrier::Engine { worker, engine, .. } = self else { return Ok(None) };
        let opened = here::with(|core| {
            let engine = Carrier::here(core, worker, engine)?;
            let handle = core.port.borrow_mut().open_socket(engine, spec, 0)?;
            Ok(Some(Raw { worker: core.id, handle }))
        });
        opened.unwrap_or_else(|| Err(here::elsewhere()))
    }

    /// Calls `f` with the engine itself, on its worker.
    pub(crate) fn with<R>(self, f: impl FnOnce(&mut dyn Engine) -> R) -> io::Result<R> {
        let Carrier::Engine { worker, engine, .. } = self else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the operating system's network has no engine"));
        };
        here::home(worker, |core| {
            let mut port = core.port.borrow_mut();
            Ok(f(port.engine_mut(engine).ok_or_else(here::elsewhere)?))
        })
    }
}
