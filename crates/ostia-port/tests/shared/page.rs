//! docs/from-iocp.md: what it shows of the example is in the example, and what it names is there.

use std::path::{Path, PathBuf};

/// The page, and the folder of the crate.
fn page() -> (String, PathBuf) {
    let port = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    (read(&port.join("../../docs/from-iocp.md")), port)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every line of Rust on the page stands in the example, in the same order; blocks may be set further to the left.
#[test]
fn the_page_shows_the_example_as_it_is() {
    let (page, port) = page();
    let example = read(&port.join("examples/iocp_server.rs"));
    let lines: Vec<_> = example.lines().collect();
    let mut shown = 0;
    for block in page.split("\n```rust\n").skip(1) {
        let block: Vec<_> = block.split("\n```").next().expect("the first part").lines().collect();
        let stands_at = |at: &[&str]| {
            let margin = at[0].len() - at[0].trim_start().len();
            at.iter().zip(&block).all(|(line, part)| line.get(margin..).unwrap_or_default() == *part)
        };
        assert!(lines.windows(block.len()).any(stands_at), "not in the example:\n{}", block.join("\n"));
        shown += block.len();
    }
    assert!(shown > lines.len() / 2, "the page shows its central parts, not {shown} of {} lines", lines.len());
    assert_eq!(page.matches("```").count() % 2, 0, "every block ends");
}

/// Whatever the page calls `Type::name` is a public name of this crate.
#[test]
fn the_page_names_what_there_is() {
    let (page, port) = page();
    let mut source = String::new();
    gather(&port.join("src"), &mut source);
    let mut names = 0;
    for (at, _) in page.match_indices("::") {
        let is_part = |c: char| !c.is_alphanumeric() && c != '_';
        let owner = page[..at].rsplit(is_part).next().unwrap_or_default();
        let name = page[at + 2..].split(is_part).next().unwrap_or_default();
        // Of the standard library and of the example.
        if ["", "std", "io", "Duration", "Instant", "ErrorKind", "TcpStream", "Mutex", "thread"].contains(&owner) {
            continue;
        }
        let forms = [
            format!("    {name},\n"),
            format!("    {name}("),
            format!("    {name} {{"),
            format!("pub fn {name}("),
            format!("pub fn {name}<"),
            format!("pub {name}: "),
            format!("pub const {name}:"),
        ];
        let declared = [format!("pub struct {owner}"), format!("pub enum {owner}")];
        if page_is_code(&page, at) {
            continue;
        }
        assert!(declared.iter().any(|form| source.contains(form)), "there is no {owner}");
        assert!(forms.iter().any(|form| source.contains(form)), "there is no {owner}::{name}");
        names += 1;
    }
    assert!(names > 40, "only {names} names");
}

/// Whether this place of the page is in a block of code, which the compiler has seen.
fn page_is_code(page: &str, at: usize) -> bool {
    page[..at].matches("\n```").count() % 2 == 1
}

fn gather(folder: &Path, source: &mut String) {
    for entry in std::fs::read_dir(folder).expect("the folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            gather(&path, source);
        } else {
            source.push_str(&read(&path));
        }
    }
}
