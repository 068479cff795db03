//! The settings that there are, taken from the definition of the command line: there is no second list.

use crate::args;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};
use std::any::TypeId;
use std::error::Error as _;
use std::ffi::OsString;

/// Subcommands that have nothing to be set: those about the program itself, and `sim`, whose scenario is such a file.
pub(super) const WITHOUT_SETTINGS: [&str; 5] = ["config", "completions", "man", "sim", "help"];
/// The section of the logging options.
pub const LOG: &str = "log";

/// Which values a setting takes in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// One number.
    Number,
    /// One text.
    Text,
    /// Several texts, or one.
    List,
}

/// One option of the command line, as it can be set elsewhere.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The section of the file: a subcommand, `log`, or none for what stands at the top.
    pub section: Option<String>,
    /// The key in that section.
    pub key: String,
    /// Also accepted at the top of the file and without the subcommand in the environment, for all subcommands that have it.
    pub common: bool,
    /// What it takes.
    pub kind: Kind,
    /// Its definition.
    pub arg: Arg,
}

impl Setting {
    fn new(section: Option<&str>, key: &str, arg: &Arg) -> Setting {
        let kind = match arg.get_action() {
            ArgAction::SetTrue => Kind::Flag,
            ArgAction::Append => Kind::List,
            _ if is_number(arg) => Kind::Number,
            _ => Kind::Text,
        };
        Setting { section: section.map(str::to_owned), key: key.to_owned(), common: section.is_none(), kind, arg: arg.clone() }
    }

    /// `idle-timeout in [serve]`.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.section {
            Some(section) => format!("'{}' in [{section}]", self.key),
            None => format!("'{}'", self.key),
        }
    }

    /// The variables that set it, the one that wins first.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        let name = |parts: &[&str]| parts.join("_").replace('-', "_").to_uppercase();
        let mut all = match &self.section {
            Some(section) => vec![name(&["ostia", section, &self.key])],
            None => vec![name(&["ostia", &self.key])],
        };
        if self.common && self.section.is_some() {
            all.push(name(&["ostia", &self.key]));
        }
        all
    }

    /// The words of a command line that give it this value; `None` for a flag that is not set.
    #[must_use]
    pub fn words(&self, value: &OsString) -> Option<OsString> {
        match (self.kind, self.arg.get_long()) {
            (Kind::Flag, Some(long)) => (value == "true").then(|| format!("--{long}").into()),
            (_, Some(long)) => {
                let mut word = OsString::from(format!("--{long}="));
                word.push(value);
                Some(word)
            }
            (_, None) => Some(value.clone()),
        }
    }

    /// Whether the command line would take this value.
    ///
    /// # Errors
    /// Why not, and what it takes.
    pub fn validate(&self, value: &OsString) -> Result<(), String> {
        if self.kind == Kind::Flag {
            return match value == "true" || value == "false" {
                true => Ok(()),
                false => Err(format!("{value:?} is neither true nor false")),
            };
        }
        // By itself, so that nothing else of the command line can be at fault.
        let arg = self.arg.clone().required(false).global(false);
        let arg = blunt(arg);
        let command = Command::new("ostia").no_binary_name(true).disable_help_flag(true).arg(arg);
        let words = match self.arg.get_long() {
            Some(_) => self.words(value).into_iter().collect(),
            None => vec![OsString::from("--"), value.clone()],
        };
        command.try_get_matches_from(words).map(drop).map_err(|error| reason(&error, value))
    }
}

/// The argument without its relations to others, which are not there.
fn blunt(arg: Arg) -> Arg {
    let mut plain = Arg::new(arg.get_id().clone()).action(arg.get_action().clone()).value_parser(arg.get_value_parser().clone());
    if let Some(long) = arg.get_long() {
        plain = plain.long(long.to_owned());
    }
    plain
}

fn is_number(arg: &Arg) -> bool {
    let parsed = arg.get_value_parser().type_id();
    // A size is a number with a unit.
    let has_unit = arg.get_value_names().is_some_and(|names| names.iter().any(|name| name.as_str() == "SIZE"));
    let numbers = [
        TypeId::of::<std::num::NonZeroUsize>(),
        TypeId::of::<usize>(),
        TypeId::of::<u16>(),
        TypeId::of::<std::num::NonZeroU16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<std::num::NonZeroU32>(),
        TypeId::of::<std::num::NonZeroU64>(),
    ];
    !has_unit && numbers.iter().any(|number| parsed == *number)
}

fn reason(error: &clap::Error, value: &OsString) -> String {
    let value = value.to_string_lossy();
    if let Some(source) = error.source() {
        return format!("'{value}' is not accepted: {source}");
    }
    let valid = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(valid)) => valid.join(", "),
        _ => String::new(),
    };
    match error.kind() {
        ErrorKind::InvalidValue if value.is_empty() => "the value is empty".to_owned(),
        _ if !valid.is_empty() => format!("'{value}' is not accepted: it must be one of {valid}"),
        kind => format!("'{value}' is not accepted: {kind}"),
    }
}

/// All settings: those of the program, of logging, then those of each subcommand.
#[must_use]
pub fn all() -> Vec<Setting> {
    let command = args::command();
    let mut found: Vec<Setting> = Vec::new();
    for arg in command.get_arguments().filter(|arg| is_setting(arg)) {
        let long = arg.get_long().unwrap_or_default();
        found.push(match long.strip_prefix("log-") {
            Some(key) => Setting::new(Some(LOG), key, arg),
            None => Setting::new(None, long, arg),
        });
    }
    let subcommands = || command.get_subcommands().filter(|sub| !WITHOUT_SETTINGS.contains(&sub.get_name()));
    for sub in subcommands() {
        for arg in sub.get_arguments().filter(|arg| is_setting(arg)) {
            let key = arg.get_long().unwrap_or(arg.get_id().as_str());
            let mut setting = Setting::new(Some(sub.get_name()), key, arg);
            let has = |other: &&Command| other.get_arguments().any(|arg| arg.get_long().is_some_and(|long| long == key));
            setting.common = subcommands().filter(has).count() > 1;
            found.push(setting);
        }
    }
    found
}

/// The sections that a file may have.
#[must_use]
pub fn sections(all: &[Setting]) -> Vec<&str> {
    let mut sections: Vec<&str> = all.iter().filter_map(|setting| setting.section.as_deref()).collect();
    sections.dedup();
    sections
}

fn is_setting(arg: &Arg) -> bool {
    // The file can't name another, and negations exist only against it.
    let own = matches!(arg.get_id().as_str(), "config" | "help" | "version") || arg.get_id().as_str().starts_with("no-");
    !own && !arg.is_hide_set()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(section: &str, key: &str) -> Setting {
        all().into_iter().find(|one| one.section.as_deref() == Some(section) && one.key == key).unwrap()
    }

    #[test]
    fn the_sections_are_the_subcommands_and_the_log() {
        let all = all();
        assert_eq!(sections(&all), ["log", "serve", "echo", "doctor", "ping", "stack"]);
    }

    #[test]
    fn kinds_follow_the_definition() {
        for (section, key, kind) in [
            ("serve", "dir", Kind::Text),
            ("serve", "addr", Kind::List),
            ("serve", "hidden", Kind::Flag),
            ("serve", "workers", Kind::Number),
            ("echo", "idle-timeout", Kind::Text),
            ("log", "keep", Kind::Number),
            ("log", "max-size", Kind::Text),
        ] {
            assert_eq!(setting(section, key).kind, kind, "{section} {key}");
        }
    }

    #[test]
    fn variables_name_the_subcommand_or_all() {
        assert_eq!(setting("serve", "idle-timeout").variables(), ["OSTIA_SERVE_IDLE_TIMEOUT", "OSTIA_IDLE_TIMEOUT"]);
        assert_eq!(setting("serve", "hidden").variables(), ["OSTIA_SERVE_HIDDEN"]);
        assert_eq!(setting("log", "file").variables(), ["OSTIA_LOG_FILE"]);
    }

    #[test]
    fn values_are_judged_by_the_definition() {
        let says = |section: &str, key: &str, value: &str| setting(section, key).validate(&value.into());
        assert_eq!(says("serve", "idle-timeout", "5s"), Ok(()));
        assert_eq!(says("serve", "dir", "-x"), Ok(()));
        assert!(says("serve", "idle-timeout", "soon").unwrap_err().contains("500ms"));
        assert!(says("serve", "driver", "turbo").unwrap_err().contains(if cfg!(windows) {
            "auto, iocp"
        } else {
            "auto, io_uring, epoll"
        }));
        assert!(says("serve", "workers", "0").is_err());
        assert!(says("log", "keep", "10000").unwrap_err().contains("9999"));
        assert!(says("serve", "hidden", "yes").unwrap_err().contains("true"));
    }
}
