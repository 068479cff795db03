//! The matrices that the port's conformance suite leaves as text files in one folder, one for each engine.

use std::fs;
use std::path::{Path, PathBuf};

/// Removes those of an earlier run.
pub fn remove(folder: &Path) {
    for file in files_in(folder) {
        if let Err(error) = fs::remove_file(&file) {
            eprintln!("xtask: {}: {error}", file.display());
        }
    }
}

/// Prints all of them, by the engine's name.
pub fn print(folder: &Path) {
    for file in files_in(folder) {
        if let Ok(text) = fs::read_to_string(&file) {
            let name = file.file_stem().unwrap_or_default().to_string_lossy();
            println!("\n== conformance: {name}\n{}", text.trim_end());
        }
    }
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "txt"))
        .collect();
    files.sort();
    files
}
