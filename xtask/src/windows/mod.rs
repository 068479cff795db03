//! `cargo xtask windows …`: the workspace built for Windows by Debian's cross compiler, and its tests under Wine.

mod binaries;
mod toolchain;
mod wine;

use std::path::PathBuf;

use clap::Subcommand;

use crate::packages::{self, Use};
use crate::runner;
use crate::suite::{Options, Suite};
use crate::workspace::Workspace;
use wine::Wine;

/// The packages of the workspace that are built and tested for Windows; the others are for Linux only.
const PACKAGES: &[&str] = &["ostia-port", "ostia-link", "ostia-net", "ostia", "ostia-cli"];

#[derive(Subcommand)]
pub enum Task {
    /// Build the packages that run on Windows, in release mode, and say where the program lies
    Build {
        /// Install no Debian packages, even as root
        #[arg(long)]
        no_install: bool,
    },
    /// Run the tests of these packages under Wine
    Test(Options),
}

/// The program that was built, and the Wine that runs it.
pub struct Guest {
    pub program: PathBuf,
    pub wine: Wine,
}

pub fn run(workspace: &Workspace, task: &Task) -> bool {
    let done = match task {
        Task::Build { no_install } => build_only(workspace, !no_install),
        Task::Test(options) => test_only(workspace, options),
    };
    done.unwrap_or_else(|error| {
        eprintln!("xtask: {error}");
        false
    })
}

/// The tests under Wine as a part of a larger suite, then the program for its later parts: nothing if there is none, which
/// the sum then tells.
pub fn part(suite: &mut Suite<'_>) -> Option<Guest> {
    let install = !suite.options.no_install;
    if let Some(reason) = obstacle(&[Use::Windows, Use::Wine], install) {
        suite.tally.skip_runner("windows", &reason);
        return None;
    }
    let wine = match Wine::ready(suite.workspace) {
        Ok(wine) => wine,
        Err(error) => {
            eprintln!("xtask: {error}");
            suite.tally.add("Wine", Default::default(), Default::default(), false);
            return None;
        }
    };
    let built = suite.part(&wine.label(), |suite| binaries::run(suite, &wine));
    // Cargo has built the program too, for its tests. That saves a release build of everything, which is nearly as much
    // time again.
    let program = match suite.options.full {
        true => build(suite.workspace),
        false => built.then(|| toolchain::program(suite.workspace, "debug")),
    };
    if built && program.is_none() {
        suite.tally.add("the program for Windows", Default::default(), Default::default(), false);
    }
    program.map(|program| Guest { program, wine })
}

fn build_only(workspace: &Workspace, install: bool) -> Result<bool, String> {
    refuse(obstacle(&[Use::Windows], install))?;
    let program = build(workspace);
    if let Some(program) = &program {
        println!("xtask: {}", program.display());
    }
    Ok(program.is_some())
}

fn test_only(workspace: &Workspace, options: &Options) -> Result<bool, String> {
    refuse(obstacle(&[Use::Windows, Use::Wine], !options.no_install))?;
    let wine = Wine::ready(workspace)?;
    let mut suite = Suite::begin(workspace, options)?;
    suite.tally.label(&wine.label());
    binaries::run(&mut suite, &wine);
    Ok(suite.finish())
}

fn refuse(obstacle: Option<String>) -> Result<(), String> {
    obstacle.map_or(Ok(()), Err)
}

/// Why this can't be done here, once what may be installed has been.
fn obstacle(purposes: &[Use], install: bool) -> Option<String> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Some("needs Linux on x86-64".to_owned());
    }
    let missing: Vec<&str> = purposes.iter().flat_map(|purpose| packages::prepare(*purpose, install)).collect();
    if !missing.is_empty() {
        return Some(format!("needs the Debian packages {}", missing.join(", ")));
    }
    crate::toolchain::too_old()
}

/// Builds in release mode; the program's path if that went well.
fn build(workspace: &Workspace) -> Option<PathBuf> {
    let mut command = toolchain::cargo(workspace, &["build", "--release"]);
    runner::succeeds(&mut command).then(|| toolchain::program(workspace, "release"))
}
