//! What to run, and how: a builder over the standard library's.

use std::ffi::OsStr;
use std::future::Future;
use std::io;
use std::path::Path;
use std::process::{self, ExitStatus, Output, Stdio};

use crate::here;
use crate::process::failure::{no_runtime, not_started, not_waited_for};
use crate::process::output::LIMIT;
use crate::process::watch::{Process, adopt_orphans};
use crate::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use crate::worker::Core;

/// A program to run with its arguments and surroundings; may be run any number of times.
///
/// It is [`std::process::Command`], which says more about each setting, with waiting and pipes that suit the runtime. What is
/// missing here is set there: [`as_std_mut`](Self::as_std_mut).
#[derive(Debug)]
pub struct Command {
    pub(super) std: process::Command,
    kill_on_drop: bool,
    output_limit: usize,
    /// Which of input, output and error were set here.
    set: [bool; 3],
}

impl Command {
    /// A program by its path, or by a name that is looked for in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        Command::from(process::Command::new(program))
    }

    /// The standard library's command behind this one.
    #[must_use]
    pub fn as_std(&self) -> &process::Command {
        &self.std
    }

    /// As [`as_std`](Self::as_std), to change it. Set input, output and error here instead, for
    /// [`output`](Self::output) replaces those that were not.
    pub fn as_std_mut(&mut self) -> &mut process::Command {
        &mut self.std
    }

    /// The standard library's command; what only this one knows is lost.
    #[must_use]
    pub fn into_std(self) -> process::Command {
        self.std
    }

    /// One more argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Command {
        self.std.arg(arg);
        self
    }

    /// More arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Command {
        self.std.args(args);
        self
    }

    /// Sets an environment variable.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Command {
        self.std.env(key, value);
        self
    }

    /// Sets environment variables.
    pub fn envs(&mut self, all: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>) -> &mut Command {
        self.std.envs(all);
        self
    }

    /// Keeps an environment variable from the child.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Command {
        self.std.env_remove(key);
        self
    }

    /// Keeps the whole environment from the child, but for what is set after this.
    pub fn env_clear(&mut self) -> &mut Command {
        self.std.env_clear();
        self
    }

    /// The directory to run in. A relative path to the program is seen from there.
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Command {
        self.std.current_dir(directory);
        self
    }

    /// The child's input: [`Stdio::inherit`] (unless set otherwise), [`Stdio::null`], [`Stdio::piped`], a file, a descriptor,
    /// or another child's output by `Stdio::try_from`.
    ///
    /// A file or descriptor stays open in this process as long as the command does, not only in the child: whoever waits for
    /// the end of such a pipe waits for the drop of the command.
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Command {
        self.std.stdin(stdin);
        self.set[0] = true;
        self
    }

    /// The child's output; see [`stdin`](Self::stdin).
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Command {
        self.std.stdout(stdout);
        self.set[1] = true;
        self
    }

    /// The child's standard error; see [`stdin`](Self::stdin).
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Command {
        self.std.stderr(stderr);
        self.set[2] = true;
        self
    }

    /// Whether dropping the [`Child`], or the futures of [`status`](Self::status) and [`output`](Self::output), kills the child
    /// (SIGKILL, TerminateProcess). Unless set it goes on by itself. It is reaped in either case.
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Command {
        self.kill_on_drop = kill;
        self
    }

    /// How many bytes of output, and of standard error, [`output`](Self::output) and
    /// [`Child::wait_with_output`] keep; default 64 MiB, `usize::MAX`: any number. A child that writes more is killed, and
    /// they fail.
    pub fn output_limit(&mut self, bytes: usize) -> &mut Command {
        self.output_limit = bytes;
        self
    }

    /// Starts the program. The worker that this is called on watches the child, and its pipes belong to it.
    ///
    /// It returns when the program has begun: starting it takes the worker's time, a millisecond or so, or more if the program
    /// must come from a slow disk.
    ///
    /// # Errors
    /// With the program's name and a remedy, see [`ProcessError::of`](super::ProcessError::of): not found, no permission, no
    /// such directory, limits; outside of a runtime. If descriptors run out after the program has begun, it is killed.
    pub fn spawn(&mut self) -> io::Result<Child> {
        here::with(|core| self.spawn_on(core))
            .unwrap_or_else(|| Err(no_runtime("run", &self.std.get_program().to_string_lossy())))
    }

    fn spawn_on(&mut self, core: &Core) -> io::Result<Child> {
        adopt_orphans(core);
        let mut child = self.std.spawn().map_err(|error| not_started(&self.std, error))?;
        let program = self.std.get_program().to_string_lossy().into_owned();
        let process = Process::new(&child, program.clone()).map_err(|error| {
            // It can't be watched, and a child that nobody reaps must not be left.
            let _ = child.kill();
            let _ = child.wait();
            not_waited_for(&program, error)
        })?;
        process.post(core);
        Ok(Child {
            stdin: child.stdin.take().map(|pipe| ChildStdin::new(core, pipe)),
            stdout: child.stdout.take().map(|pipe| ChildStdout::new(core, pipe)),
            stderr: child.stderr.take().map(|pipe| ChildStderr::new(core, pipe)),
            process,
            kill_on_drop: self.kill_on_drop,
            output_limit: self.output_limit,
        })
    }

    /// Runs the program to its end. Pipes are closed at once: a child that writes to one fails.
    ///
    /// The program is started by this call; the future waits for it and borrows nothing. Cancelled: the child goes on, or is
    /// killed after [`kill_on_drop`](Self::kill_on_drop).
    ///
    /// # Errors
    /// As for [`spawn`](Self::spawn) and [`Child::wait`]. That the program has failed is no error but a status.
    pub fn status(&mut self) -> impl Future<Output = io::Result<ExitStatus>> + use<> {
        let spawned = self.spawn();
        async {
            let mut child = spawned?;
            drop((child.stdin.take(), child.stdout.take(), child.stderr.take()));
            child.wait().await
        }
    }

    /// Runs the program to its end and gathers what it has written, both kinds at once. Unless they were set here, output
    /// and error are pipes and the input is empty; what was set to something else than a pipe gives nothing.
    ///
    /// The program is started by this call; the future borrows nothing. Cancelled: as for [`status`](Self::status); what was
    /// gathered is lost.
    ///
    /// # Errors
    /// As for [`spawn`](Self::spawn) and [`Child::wait_with_output`].
    pub fn output(&mut self) -> impl Future<Output = io::Result<Output>> + use<> {
        self.set_others(Stdio::null, Stdio::piped);
        let spawned = self.spawn();
        // Whoever runs it next finds what was set.
        self.set_others(Stdio::inherit, Stdio::inherit);
        async { spawned?.wait_with_output().await }
    }

    /// Sets the input and the outputs that were not set here.
    fn set_others(&mut self, input: fn() -> Stdio, output: fn() -> Stdio) {
        let [stdin, stdout, stderr] = self.set;
        if !stdin {
            self.std.stdin(input());
        }
        if !stdout {
            self.std.stdout(output());
        }
        if !stderr {
            self.std.stderr(output());
        }
    }
}

impl From<process::Command> for Command {
    fn from(std: process::Command) -> Command {
        Command { std, kill_on_drop: false, output_limit: LIMIT, set: [false; 3] }
    }
}
