//! Getting programs ready: building rivals and Ostia, finding nginx.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::target::{Program, Target};

/// Where the programs are, each made ready once.
#[derive(Default)]
pub struct Programs {
    ostia: Option<PathBuf>,
    ready: Vec<(String, Result<PathBuf, String>)>,
}

impl Programs {
    /// `ostia`: Ostia's program, if it need not be built.
    pub fn new(ostia: Option<PathBuf>) -> Programs {
        Programs { ostia, ready: Vec::new() }
    }

    /// The executable of a target, built if that has not been done.
    ///
    /// # Errors
    /// It does not build or is not installed; the message says why and is meant for a table.
    pub fn get(&mut self, target: &Target) -> Result<PathBuf, String> {
        let key = match target.program {
            Program::Ostia(_) => "ostia",
            Program::Rival(package) | Program::Beside { package, .. } => package,
            Program::Stacks { .. } => "stack",
            Program::Nginx { .. } => "nginx",
        };
        if let Some((_, result)) = self.ready.iter().find(|(have, _)| have == key) {
            return result.clone();
        }
        let result = match target.program {
            Program::Ostia(_) => self.ostia.clone().map_or_else(build_ostia, existing),
            Program::Rival(package) | Program::Beside { package, .. } => build_rival(package),
            Program::Stacks { .. } => build_rival("stack"),
            Program::Nginx { .. } => find_nginx(),
        };
        self.ready.push((key.to_owned(), result.clone()));
        result
    }
}

fn existing(path: PathBuf) -> Result<PathBuf, String> {
    if path.is_file() { Ok(path) } else { Err(format!("{} is not a file", path.display())) }
}

fn bench_directory() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn build_ostia() -> Result<PathBuf, String> {
    let workspace = bench_directory().parent().unwrap_or(bench_directory());
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
    build(&workspace.join("Cargo.toml"), &target, &["--package", "ostia-cli"])?;
    existing(target.join("release").join("ostia"))
}

fn build_rival(package: &str) -> Result<PathBuf, String> {
    let directory = bench_directory().join("rivals").join(package);
    let target = directory.join("target");
    build(&directory.join("Cargo.toml"), &target, &[])?;
    existing(target.join("release").join(format!("rival-{package}")))
}

fn build(manifest: &Path, target: &Path, more: &[&str]) -> Result<(), String> {
    eprintln!("building {}", manifest.display());
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--quiet", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(target)
        .args(more)
        .output()
        .map_err(|error| format!("cargo does not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("does not build: {}", first_error(&String::from_utf8_lossy(&output.stderr))))
}

/// The first error of a compiler's or cargo's output, on one line.
fn first_error(output: &str) -> String {
    let error = output.lines().find_map(|line| {
        let rest = line.strip_prefix("error")?;
        Some(rest.split_once(": ").map_or(rest, |(_, message)| message).trim().to_owned())
    });
    error.unwrap_or_else(|| output.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no message").trim().to_owned())
}

/// nginx as the search path or Debian's usual place has it.
fn find_nginx() -> Result<PathBuf, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")]);
    places
        .find_map(|directory| Some(directory.join("nginx")).filter(|file| file.is_file()))
        .ok_or_else(|| "nginx is not installed (Debian: apt install nginx-light)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_becomes_one_line() {
        let rustc = "warning: unused\n --> a\nerror[E0277]: it does not fit\n --> b\nerror: could not compile";
        assert_eq!(first_error(rustc), "it does not fit");
        let cargo = "error: no matching package named `nexio` found\nlocation searched: index\n";
        assert_eq!(first_error(cargo), "no matching package named `nexio` found");
        assert_eq!(first_error("linker gone\n\n"), "linker gone");
        assert_eq!(first_error(""), "no message");
    }

    #[test]
    fn a_package_that_is_not_there_is_an_error_once_and_again() {
        let mut programs = Programs::new(Some(PathBuf::from("/nonexistent/ostia")));
        let target = crate::target::TARGETS[0];
        assert!(programs.get(&target).unwrap_err().contains("/nonexistent/ostia"));
        assert_eq!(programs.get(&target), programs.get(&target));
    }
}
