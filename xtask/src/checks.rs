//! The rules of style which a look at the text can check: length, first line, SAFETY, words.

/// The longest a source file may be, in lines.
const LONGEST_FILE: usize = 600;

/// Files that may be longer, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Words with no place in a finished tree, and what is wrong with them. Each is written in
/// two pieces, so that this table does not find itself.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("/ho", "me/", "an absolute path of somebody's machine"),
    ("/ro", "ot/", "an absolute path of somebody's machine"),
    ("/wo", "rk/", "an absolute path of somebody's machine"),
    ("/tmp/tar", "get", "an absolute path of somebody's machine"),
    ("todo", "!(", "unfinished"),
    ("unimple", "mented!(", "unfinished"),
    ("db", "g!(", "left from debugging"),
    ("//! place", "holder", "unfinished"),
];

/// What the rules have to say about a file; `path` is relative to the top of the workspace.
pub fn check(path: &str, content: &str) -> Vec<String> {
    let mut findings = Vec::new();
    // Cargo writes the lock file, and lawyers wrote the licences.
    if path.ends_with("Cargo.lock") || path.starts_with("LICENSE") {
        return findings;
    }
    if path.ends_with(".rs") {
        length(path, content, &mut findings);
        first_line(path, content, &mut findings);
        safety(path, content, &mut findings);
    }
    words(path, content, &mut findings);
    findings
}

fn length(path: &str, content: &str, findings: &mut Vec<String>) {
    let lines = content.lines().count();
    let listed = LONG_FILES.iter().any(|(long, _)| *long == path);
    if lines > LONGEST_FILE && !listed {
        findings.push(format!("{path}: {lines} lines, more than {LONGEST_FILE}"));
    }
}

fn first_line(path: &str, content: &str, findings: &mut Vec<String>) {
    if !content.starts_with("//! ") {
        findings.push(format!("{path}:1: the first line does not say (//!) what the file is for"));
    }
}

/// Each `unsafe` block or implementation has a `SAFETY` comment at it, each `unsafe fn` a
/// `# Safety` section. Clippy checks the same in the workspace; this also sees packages
/// outside of it and code for other targets.
fn safety(path: &str, content: &str, findings: &mut Vec<String>) {
    let lines: Vec<&str> = content.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        if opens_unsafe(line) && !argued(&lines, index) {
            findings.push(format!("{path}:{}: unsafe without SAFETY", index + 1));
        }
    }
}

fn opens_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    // Not in a string literal.
    let code = code.split('"').next().unwrap_or_default();
    ["unsafe {", "unsafe impl"].iter().any(|word| code.contains(word))
}

/// Whether the argument stands on the line, or above the statement which the line is part of.
fn argued(lines: &[&str], index: usize) -> bool {
    let said = |line: &str| line.contains("SAFETY");
    if said(lines[index]) {
        return true;
    }
    let mut seen_code = 0;
    for line in lines[..index].iter().rev() {
        let line = line.trim();
        if line.starts_with("//") || line.starts_with("#[") {
            if said(line) {
                return true;
            }
            continue;
        }
        // A statement may have begun a few lines above the block, but not before a blank
        // line or the end of another statement.
        let ends_statement = line.ends_with(';') || line.ends_with('}');
        if line.is_empty() || ends_statement || seen_code == 6 {
            return false;
        }
        seen_code += 1;
    }
    false
}

fn words(path: &str, content: &str, findings: &mut Vec<String>) {
    for (number, line) in content.lines().enumerate() {
        for (head, tail, wrong) in FORBIDDEN {
            let word = format!("{head}{tail}");
            let found = line.match_indices(&word).any(|(at, _)| {
                // Only at the start of a path, not within one.
                let before = line[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || "_-.$}{>*)".contains(c))
            });
            if found {
                findings.push(format!("{path}:{}: `{word}`: {wrong}", number + 1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_file_passes() {
        let text = "//! What it is for.\n\nfn f() {\n    // SAFETY: p is valid.\n    unsafe { g(p) }\n}\n";
        assert_eq!(check("a.rs", text), Vec::<String>::new());
    }

    #[test]
    fn each_rule_finds_its_breach() {
        let long = format!("//! Long.\n{}", "\n".repeat(LONGEST_FILE));
        let silent_path = format!("see {}{}", "/ro", "ot/notes.txt");
        let table = [
            ("a.rs", long.as_str(), "lines, more than"),
            ("a.rs", "fn f() {}\n", "a.rs:1: the first line"),
            ("a.rs", "//! X.\nfn f() {\n    let a = 1;\n    unsafe { g() }\n}\n", "a.rs:4: unsafe without SAFETY"),
            ("a.rs", "//! X.\nunsafe impl Send for A {}\n", "a.rs:2: unsafe"),
            ("README.md", silent_path.as_str(), "absolute path"),
        ];
        for (path, text, expected) in table {
            let findings = check(path, text);
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert!(findings[0].contains(expected), "{findings:?}");
        }
    }

    #[test]
    fn an_argument_counts_from_above_the_statement_but_not_from_the_one_before() {
        let above = "//! X.\n// SAFETY: fine.\nlet a = f(\n    unsafe { g() },\n);\n";
        assert!(check("a.rs", above).is_empty());
        let other = "//! X.\n// SAFETY: fine.\nlet a = unsafe { g() };\nlet b = unsafe { g() };\n";
        assert_eq!(check("a.rs", other).len(), 1);
    }

    #[test]
    fn words_in_longer_paths_and_lock_files_are_left_alone() {
        let inside = format!("see src{}{}x", "/ro", "ot/");
        assert!(check("README.md", &inside).is_empty());
        let bare = format!("see {}{}x", "/ro", "ot/");
        assert!(check("Cargo.lock", &bare).is_empty());
    }
}
