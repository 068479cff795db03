//! Settings from four places: flags, the environment, a file, defaults, in this order.
//!
//! What can be set is what the command line defines ([`setting::all`]); values from elsewhere are turned into words of a
//! command line, each checked by itself so that a message can name its place, and the whole is parsed once more.

mod command;
pub mod file;
pub mod setting;

pub use command::{check, show};

use crate::args::{self, Cli};
use crate::errors::Failure;
use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches as _};
use file::File;
use setting::{Kind, Setting};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Flag,
    /// This variable.
    Environment(String),
    /// This line of the configuration file.
    File(PathBuf, usize),
    /// The definition.
    Default,
    /// Nothing sets it.
    Unset,
}

/// A setting and its value.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The setting.
    pub setting: Setting,
    /// Its values; for a flag `true` or `false`.
    pub values: Vec<OsString>,
    /// Where they come from.
    pub source: Source,
}

/// What holds.
#[derive(Debug)]
pub struct Loaded {
    /// The command line, completed.
    pub cli: Cli,
    /// Every setting of the subcommand and of the program.
    pub settings: Vec<Resolved>,
}

/// What keeps a command line from being carried out.
#[derive(Debug)]
pub enum Refused {
    /// Help, version, or a wrong command line: clap's own words.
    Clap(clap::Error),
    /// A wrong value in the file or the environment.
    Failure(Failure),
}

impl From<clap::Error> for Refused {
    fn from(error: clap::Error) -> Refused {
        Refused::Clap(error)
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Refused {
        Refused::Failure(failure)
    }
}

/// The environment: variable to value.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Completes a command line (with the program's name in front) by the environment and the file.
///
/// # Errors
/// What is wrong, and where.
pub fn load(words: &[OsString], environment: Environment<'_>, color: clap::ColorChoice) -> Result<Loaded, Refused> {
    let strict = args::command().color(color);
    // What is required may come from elsewhere.
    let matches = match relaxed().color(color).try_get_matches_from(words) {
        Ok(matches) => matches,
        // The real definition says it better.
        Err(error) => return Err(strict.try_get_matches_from(words).err().unwrap_or(error).into()),
    };
    let Some((name, own)) = matches.subcommand() else {
        return Err(strict.try_get_matches_from(words).err().map_or_else(
            || Refused::Failure(Failure::usage("no subcommand was given", "`ostia --help` lists them")),
            Refused::Clap,
        ));
    };
    let all = setting::all();
    let concerned: Vec<Setting> = all
        .iter()
        .filter(|one| one.section.as_deref().is_none_or(|section| section == setting::LOG || section == name))
        .cloned()
        .collect();
    let file = match path_of_file(own, environment) {
        Some(path) if name != "config" => file::read(&path, &all)?,
        _ => File::default(),
    };
    let mut settings = Vec::new();
    for setting in concerned {
        settings.push(resolve(setting, own, environment, &file)?);
    }
    let words = match own.subcommand() {
        // A subcommand of a subcommand has no settings of its own.
        Some(_) => words.to_vec(),
        None => rebuild(words.first(), name, own, &settings),
    };
    let matches = strict.try_get_matches_from(words)?;
    let cli = Cli::from_arg_matches(&matches)?;
    Ok(Loaded { cli, settings })
}

/// The definition with nothing required.
fn relaxed() -> clap::Command {
    let mut command = args::command();
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |sub| sub.mut_args(|arg| arg.required(false)));
    }
    command
}

/// The file that `--config` or `OSTIA_CONFIG` names.
pub(crate) fn path_of_file(matches: &ArgMatches, environment: Environment<'_>) -> Option<PathBuf> {
    let flag = matches.try_get_one::<PathBuf>("config").ok().flatten().cloned();
    flag.or_else(|| environment("OSTIA_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from))
}

fn resolve(setting: Setting, matches: &ArgMatches, environment: Environment<'_>, file: &File) -> Result<Resolved, Failure> {
    let id = setting.arg.get_id().as_str();
    let given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    // `ids` may lack the id: `config` has no settings but the program's.
    let known = matches.try_contains_id(id).is_ok();
    let back = setting.arg.get_long().map(args::negation).unwrap_or_default();
    if known && given(id) {
        let values = match setting.kind {
            Kind::Flag => vec!["true".into()],
            _ => raw(matches, id),
        };
        return Ok(Resolved { setting, values, source: Source::Flag });
    }
    if setting.kind == Kind::Flag && known && given(&back) {
        return Ok(Resolved { setting, values: vec!["false".into()], source: Source::Flag });
    }
    for variable in setting.variables() {
        // An empty variable is one that is not set, as in many shells and units.
        let Some(value) = environment(&variable).filter(|value| !value.is_empty()) else { continue };
        let values = split(&setting, &value);
        if let Some(why) = values.iter().find_map(|value| setting.validate(value).err()) {
            let help =
                format!("`ostia {} --help` says what it takes; or unset {variable}", setting.section.as_deref().unwrap_or(""));
            return Err(Failure::usage(format!("{variable}: {why}"), help));
        }
        return Ok(Resolved { setting, values, source: Source::Environment(variable) });
    }
    if let Some(entry) = file.get(&setting) {
        let source = Source::File(file.path.clone(), entry.line);
        return Ok(Resolved { setting, values: entry.values.clone(), source });
    }
    let values = match setting.kind {
        Kind::Flag => vec!["false".into()],
        _ => setting.arg.get_default_values().iter().map(|value| OsString::from(value.as_os_str())).collect(),
    };
    let source = if values.is_empty() { Source::Unset } else { Source::Default };
    Ok(Resolved { setting, values, source })
}

fn raw(matches: &ArgMatches, id: &str) -> Vec<OsString> {
    matches.get_raw(id).into_iter().flatten().map(OsStr::to_owned).collect()
}

/// Several values stand in one variable with commas between.
fn split(setting: &Setting, value: &OsString) -> Vec<OsString> {
    match (setting.kind, value.to_str()) {
        (Kind::List, Some(text)) => text.split(',').map(|one| one.trim().into()).collect(),
        (Kind::Flag, Some("1")) => vec!["true".into()],
        (Kind::Flag, Some("0")) => vec!["false".into()],
        _ => vec![value.clone()],
    }
}

/// A command line that says all of it.
fn rebuild(program: Option<&OsString>, name: &str, matches: &ArgMatches, settings: &[Resolved]) -> Vec<OsString> {
    let mut words = vec![program.cloned().unwrap_or_else(|| "ostia".into()), name.into()];
    let mut positional = Vec::new();
    let mut known = vec!["config".to_owned()];
    words.extend(raw(matches, "config").into_iter().map(|path| {
        let mut word = OsString::from("--config=");
        word.push(path);
        word
    }));
    for Resolved { setting, values, source } in settings {
        known.push(setting.arg.get_id().to_string());
        if matches!(source, Source::Default | Source::Unset) {
            continue;
        }
        let said = values.iter().filter_map(|value| setting.words(value));
        match setting.arg.get_long() {
            Some(_) => words.extend(said),
            None => positional.extend(said),
        }
    }
    // What is no setting: hidden flags, and the arguments of the other subcommands.
    let command = args::command();
    let sub = command.find_subcommand(name);
    for arg in sub.into_iter().flat_map(clap::Command::get_arguments) {
        let id = arg.get_id().as_str();
        if known.iter().any(|one| one == id) || matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        match (arg.get_action(), arg.get_long()) {
            (clap::ArgAction::SetTrue, Some(long)) if !id.starts_with("no-") => words.push(format!("--{long}").into()),
            (clap::ArgAction::SetTrue, _) => {}
            (_, Some(long)) => words.extend(raw(matches, id).into_iter().map(|value| {
                let mut word = OsString::from(format!("--{long}="));
                word.push(value);
                word
            })),
            (_, None) => positional.extend(raw(matches, id)),
        }
    }
    if !positional.is_empty() {
        words.push("--".into());
        words.extend(positional);
    }
    words
}

#[cfg(test)]
mod tests;
