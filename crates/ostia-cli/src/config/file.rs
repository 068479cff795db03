//! Reading a configuration file: what is wrong is named with line, column and remedy, all of it at once.

use super::setting::{self, Kind, Setting};
use crate::errors::Failure;
use std::ffi::OsString;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// No file of settings is longer.
const LONGEST: u64 = 1 << 20;

/// A setting in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The section, none at the top.
    pub section: Option<String>,
    /// The key.
    pub key: String,
    /// The values as the command line would have them.
    pub values: Vec<OsString>,
    /// The line, from 1.
    pub line: usize,
}

/// A file that was read.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// Its path, for messages.
    pub path: PathBuf,
    /// What it sets.
    pub entries: Vec<Entry>,
}

/// Something wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line and column, from 1.
    pub at: (usize, usize),
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl File {
    /// What it says about a setting: its own section first, then the top.
    #[must_use]
    pub fn get(&self, setting: &Setting) -> Option<&Entry> {
        let find = |section: Option<&str>| {
            self.entries.iter().find(|entry| entry.section.as_deref() == section && entry.key == setting.key)
        };
        let common = || if setting.common { find(None) } else { None };
        find(setting.section.as_deref()).or_else(common)
    }
}

/// Reads a file.
///
/// # Errors
/// That it can't be read, or everything that is wrong with it.
pub fn read(path: &Path, settings: &[Setting]) -> Result<File, Failure> {
    let text = text(path)?;
    let (entries, faults) = parse(&text, settings);
    match faults.is_empty() {
        true => Ok(File { path: path.to_owned(), entries }),
        false => Err(failure(path, &faults)),
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    let name = path.display();
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::config(path, &error))?;
    if bytes.len() as u64 > LONGEST {
        return Err(Failure::usage(format!("{name} is longer than 1 MiB"), "name a file of settings with --config"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&byte| byte == b'\n').count() + 1;
        Failure::usage(format!("{name}:{line}: not UTF-8 text"), "write the file in UTF-8, as TOML must be")
    })
}

fn failure(path: &Path, faults: &[Fault]) -> Failure {
    let name = path.display();
    let mut what = String::new();
    for (number, Fault { at: (line, column), what: why, remedy }) in faults.iter().enumerate() {
        if number > 0 {
            // The last remedy is printed by the failure itself.
            what.push_str(&format!("\n  hint: {}\nerror: ", faults[number - 1].remedy));
        }
        what.push_str(&format!("{name}:{line}:{column}: {why}"));
        debug_assert!(!remedy.is_empty(), "{why}");
    }
    Failure::usage(what, faults.last().map_or("", |fault| &fault.remedy))
}

/// Reads the text of a file: what it sets, and what is wrong with it.
#[must_use]
pub fn parse(text: &str, settings: &[Setting]) -> (Vec<Entry>, Vec<Fault>) {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { text, settings, entries: Vec::new(), faults: Vec::new() };
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        reader.fault(
            at,
            format!("not TOML: {}", error.message()),
            "see https://toml.io: sections are [name], lines are key = value, texts stand in quotes",
        );
    }
    if reader.faults.is_empty() {
        reader.top(root.get_ref());
    }
    reader.faults.sort_by_key(|fault| fault.at);
    (reader.entries, reader.faults)
}

struct Reader<'a> {
    text: &'a str,
    settings: &'a [Setting],
    entries: Vec<Entry>,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn place(&self, at: usize) -> (usize, usize) {
        let before = &self.text[..self.text.floor_char_boundary(at)];
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
    }

    fn fault(&mut self, at: usize, what: String, remedy: impl Into<String>) {
        let at = self.place(at);
        self.faults.push(Fault { at, what, remedy: remedy.into() });
    }

    fn top(&mut self, root: &DeTable<'_>) {
        let sections = setting::sections(self.settings);
        for (key, value) in root {
            let name = key.get_ref();
            match value.get_ref() {
                DeValue::Table(table) if sections.contains(&name.as_ref()) => self.section(name, table),
                _ if sections.contains(&name.as_ref()) => {
                    let what = format!("[{name}] is a section, not a {}", type_of(value.get_ref()));
                    self.fault(key.span().start, what, format!("write [{name}] on a line of its own, and its keys below"));
                }
                DeValue::Table(_) if !self.settings.iter().any(|one| one.common && one.key == name.as_ref()) => {
                    let remedy = match nearest(name, sections.iter().copied()) {
                        Some(near) => format!("did you mean [{near}]?"),
                        None => format!("sections are [{}]", sections.join("], [")),
                    };
                    self.fault(key.span().start, format!("unknown section [{name}]"), remedy);
                }
                _ => self.entry(None, key, value),
            }
        }
    }

    fn section(&mut self, section: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            self.entry(Some(section), key, value);
        }
    }

    fn entry(&mut self, section: Option<&str>, key: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>) {
        let name = key.get_ref().as_ref();
        let fits = |one: &&Setting| match section {
            Some(_) => one.section.as_deref() == section,
            None => one.common,
        };
        let settings = self.settings;
        let Some(setting) = settings.iter().filter(fits).find(|one| one.key == name) else {
            return self.unknown(section, key);
        };
        let line = self.place(key.span().start).0;
        let at = value.span().start;
        match values(setting, value.get_ref()) {
            Err(what) => {
                let what = format!("{}: {what}", shown(section, name));
                self.fault(at, what, format!("write {name} = {}", example(setting)));
            }
            Ok(values) => {
                let refused = values.iter().find_map(|value| setting.validate(value).err());
                if let Some(why) = refused {
                    let what = format!("{}: {why}", shown(section, name));
                    return self.fault(at, what, format!("`ostia {} --help` says what it takes", section_command(setting)));
                }
                self.entries.push(Entry { section: section.map(str::to_owned), key: name.to_owned(), values, line });
            }
        }
    }

    fn unknown(&mut self, section: Option<&str>, key: &Spanned<std::borrow::Cow<'_, str>>) {
        let name = key.get_ref().as_ref();
        let here = self.settings.iter().filter(|one| match section {
            Some(_) => one.section.as_deref() == section,
            None => one.common,
        });
        let mut keys: Vec<&str> = here.map(|one| one.key.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        let elsewhere = self.settings.iter().find(|one| one.key == name).and_then(|one| one.section.as_deref());
        let remedy = match (nearest(name, keys.iter().copied()), elsewhere) {
            (Some(near), _) => format!("did you mean '{near}'?"),
            (None, Some(other)) => format!("'{name}' belongs below [{other}]"),
            (None, None) => format!("keys here are {}", keys.join(", ")),
        };
        let place = section.map_or("at the top".to_owned(), |section| format!("in [{section}]"));
        self.fault(key.span().start, format!("unknown key '{name}' {place}"), remedy);
    }
}

fn shown(section: Option<&str>, key: &str) -> String {
    section.map_or_else(|| format!("'{key}'"), |section| format!("'{key}' in [{section}]"))
}

fn section_command(setting: &Setting) -> &str {
    setting.section.as_deref().filter(|section| *section != setting::LOG).unwrap_or_default()
}

/// The values of an entry, as words of a command line.
fn values(setting: &Setting, value: &DeValue<'_>) -> Result<Vec<OsString>, String> {
    let wrong = |expected: &str| Err(format!("must be {expected}, not {}", type_of(value)));
    match (setting.kind, value) {
        (Kind::Flag, DeValue::Boolean(on)) => Ok(vec![on.to_string().into()]),
        (Kind::Flag, _) => wrong("true or false"),
        (Kind::Number, DeValue::Integer(number)) if number.radix() == 10 => Ok(vec![number.as_str().replace('_', "").into()]),
        (Kind::Number, DeValue::Integer(number)) => match i128::from_str_radix(&number.as_str().replace('_', ""), number.radix())
        {
            Ok(number) => Ok(vec![number.to_string().into()]),
            Err(_) => Err("is no number that could be meant".into()),
        },
        (Kind::Number, _) => wrong("a number"),
        (Kind::Text | Kind::List, DeValue::String(text)) => Ok(vec![checked(text)?]),
        (Kind::Text, _) => wrong("a text"),
        (Kind::List, DeValue::Array(items)) if !items.is_empty() => items
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::String(text) => checked(text),
                other => Err(format!("must be a list of texts; one is {}", type_of(other))),
            })
            .collect(),
        (Kind::List, DeValue::Array(_)) => Err("must not be an empty list".into()),
        (Kind::List, _) => wrong("a list of texts"),
    }
}

/// No argument of a program can hold a NUL.
fn checked(text: &str) -> Result<OsString, String> {
    if text.contains('\0') { Err("must not hold a NUL".into()) } else { Ok(text.into()) }
}

fn example(setting: &Setting) -> &'static str {
    match setting.kind {
        Kind::Flag => "true",
        Kind::Number => "4",
        Kind::Text => "\"...\"",
        Kind::List => "[\"...\"]",
    }
}

fn type_of(value: &DeValue<'_>) -> impl fmt::Display {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

/// The word that was most likely meant: at most a third of it is mistyped, or two letters.
#[must_use]
pub fn nearest<'a>(wrong: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = words.map(|word| (distance(wrong, word), word)).min()?;
    let length = wrong.chars().count();
    let most = if length < 3 { 1 } else { length.div_ceil(3).max(2) };
    (near.0 <= most).then_some(near.1)
}

/// How many characters must be added, removed or replaced to turn one word into the other (Levenshtein 1966).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<Fault> {
        parse(text, &setting::all()).1
    }

    #[test]
    fn what_is_right_is_read() {
        let text =
            "workers = 0x10\n[serve]\naddr = [\"a:1\", \"b:2\"]\nhidden = true\nidle-timeout = \"5s\"\n[echo]\naddr = \"c:3\"\n";
        let (entries, faults) = parse(text, &setting::all());
        assert_eq!(faults, []);
        let file = File { path: "x".into(), entries };
        let get = |section: &str, key: &str| {
            let all = setting::all();
            let setting = all.iter().find(|one| one.section.as_deref() == Some(section) && one.key == key).unwrap();
            file.get(setting).map(|entry| (entry.values.clone(), entry.line))
        };
        assert_eq!(get("serve", "workers"), Some((vec!["16".into()], 1)));
        assert_eq!(get("serve", "addr"), Some((vec!["a:1".into(), "b:2".into()], 3)));
        assert_eq!(get("serve", "hidden"), Some((vec!["true".into()], 4)));
        assert_eq!(get("echo", "addr"), Some((vec!["c:3".into()], 7)));
        assert_eq!(get("echo", "drain"), None);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place_and_a_remedy() {
        let table: &[(&str, (usize, usize), &str, &str)] = &[
            ("[serve]\n idle-timout = \"5s\"", (2, 2), "unknown key 'idle-timout' in [serve]", "did you mean 'idle-timeout'?"),
            ("[lgo]\n", (1, 2), "unknown section [lgo]", "did you mean [log]?"),
            ("[sreve]\n", (1, 2), "unknown section [sreve]", "did you mean [serve]?"),
            ("[kitchen]\n", (1, 2), "unknown section [kitchen]", "[log], [serve], [echo], [doctor]"),
            ("[log]\nhidden = true", (2, 1), "unknown key 'hidden' in [log]", "belongs below [serve]"),
            ("wrokers = 1", (1, 1), "unknown key 'wrokers' at the top", "did you mean 'workers'?"),
            ("[serve]\nworkers = \"4\"", (2, 11), "'workers' in [serve]: must be a number, not a text", "workers = 4"),
            ("[serve]\nworkers = 0", (2, 11), "'0'", "ostia serve --help"),
            ("[serve]\nhidden = 1", (2, 10), "true or false, not a number", "hidden = true"),
            ("[serve]\nidle-timeout = 5", (2, 16), "must be a text, not a number", "idle-timeout = \""),
            ("[serve]\nidle-timeout = \"0s\"", (2, 16), "more than 0", "--help"),
            ("[serve]\naddr = [1]", (2, 8), "list of texts", "addr = ["),
            ("[serve]\naddr = []", (2, 8), "empty", "addr = ["),
            ("serve = 3", (1, 1), "[serve] is a section", "[serve]"),
            ("[serve]\ndrain = \"1s\"\ndrain = \"2s\"", (3, 1), "not TOML: duplicate", "toml.io"),
            ("[serve\n", (1, 7), "not TOML", "toml.io"),
            ("[serve]\nconfig = \"x\"", (2, 1), "unknown key 'config'", "keys here are"),
            ("[serve]\nno-hidden = true", (2, 1), "unknown key 'no-hidden'", "did you mean 'hidden'?"),
        ];
        for (text, at, what, remedy) in table {
            let found = faults(text);
            assert_eq!(found[0].at, *at, "{text:?}: {found:?}");
            assert!(found[0].what.contains(what) && found[0].remedy.contains(remedy), "{text:?}: {found:?}");
        }
    }

    #[test]
    fn all_faults_are_named_in_order() {
        let found = faults("[echo]\nx = 1\n[serve]\nworkers = 0\nhidden = 2\n");
        assert_eq!(found.iter().map(|fault| fault.at.0).collect::<Vec<_>>(), [2, 4, 5]);
        let said = failure(Path::new("f"), &found).to_string();
        assert_eq!((said.matches("error: f:").count(), said.matches("  hint: ").count()), (3, 3), "{said}");
    }

    #[test]
    fn the_nearest_word_is_near() {
        assert_eq!(nearest("idle_timeout", ["idle-timeout", "drain"].into_iter()), Some("idle-timeout"));
        assert_eq!(nearest("x", ["idle-timeout", "drain"].into_iter()), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(\\[(serve|log|x)\\]|[a-z-]{1,8} = |[0-9\"\\[\\],.\u{e9}]|\n| ){0,40}") {
            let (_, faults) = parse(&text, &setting::all());
            for fault in faults {
                proptest::prop_assert!(fault.at.0 >= 1 && fault.at.1 >= 1 && !fault.remedy.is_empty());
            }
        }
    }
}
