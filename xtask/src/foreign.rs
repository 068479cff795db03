//! What is compiled for systems on which it does not run here: the port for FreeBSD and macOS (`cargo xtask bsd`), and the stack
//! for a machine without any system (`cargo xtask bare`). That it compiles is all that this says.

use std::time::Instant;

use clap::Args;

use crate::packages::{self, Use};
use crate::runner;
use crate::suite::Suite;
use crate::toolchain;
use crate::workspace::Workspace;

/// One such check.
pub struct Foreign {
    /// Its name, which is that of the folder that it is built in.
    name: &'static str,
    targets: &'static [&'static str],
    /// The crates of the standard library that are built for it.
    library: &'static str,
    /// Cargo's arguments, from the subcommand on.
    arguments: &'static [&'static str],
    /// What has been shown when it succeeds.
    shown: &'static str,
}

/// Checking takes no linker: the library, the tests beside its code, and the examples.
pub const BSD: Foreign = Foreign {
    name: "bsd",
    targets: &["x86_64-unknown-freebsd", "aarch64-apple-darwin"],
    library: "std,panic_unwind,test",
    arguments: &["check", "-p", "ostia-port", "--lib", "--examples", "--profile", "test"],
    shown: "type-checked, never run",
};

/// Where there is no standard library, nothing can ask for it by mistake.
pub const BARE: Foreign = Foreign {
    name: "bare",
    targets: &["x86_64-unknown-none"],
    library: "core,alloc",
    arguments: &["build", "-p", "ostia-wire", "-p", "ostia-stack", "--lib", "--profile", "test"],
    shown: "built, with core and alloc alone",
};

#[derive(Args)]
pub struct Options {
    /// Install no Debian packages, even as root
    #[arg(long)]
    no_install: bool,
}

impl Foreign {
    pub fn run(&self, workspace: &Workspace, options: &Options) -> bool {
        if let Some(reason) = obstacle(!options.no_install) {
            eprintln!("xtask: {reason}");
            return false;
        }
        self.compile(workspace)
    }

    /// The check as a part of a larger suite, which counts only its failure: no test has run.
    pub fn part(&self, suite: &mut Suite<'_>) {
        if let Some(reason) = obstacle(!suite.options.no_install) {
            return suite.tally.skip_runner(self.name, &reason);
        }
        let title = format!("{}: compiling", self.name);
        println!("\n== {title}");
        let began = Instant::now();
        if !self.compile(suite.workspace) {
            suite.tally.add(&title, Default::default(), Default::default(), false);
        }
        suite.took(&title, began.elapsed());
    }

    fn compile(&self, workspace: &Workspace) -> bool {
        let folder = workspace.target().join(self.name);
        for target in self.targets {
            let mut command = toolchain::cargo(workspace, &folder, target, self.library, self.arguments);
            command
                .env("RUSTFLAGS", "-D warnings")
                // The standard library is compiled for it, and nobody runs or debugs that.
                .env("CARGO_PROFILE_TEST_OPT_LEVEL", "0")
                .env("CARGO_PROFILE_TEST_DEBUG", "0");
            if !runner::succeeds(&mut command) {
                println!("{}: {target}: FAILED", self.name);
                return false;
            }
            println!("{}: {target}: {}", self.name, self.shown);
        }
        true
    }
}

/// Why this can't be done here, once what may be installed has been.
fn obstacle(install: bool) -> Option<String> {
    let missing = packages::prepare(Use::Foreign, install);
    if !missing.is_empty() {
        return Some(format!("needs the Debian packages {}", missing.join(", ")));
    }
    toolchain::too_old()
}
