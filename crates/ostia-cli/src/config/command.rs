//! `ostia config`: check a file, show what holds.

use super::{Environment, Loaded, Refused, Resolved, Source, file, load, setting};
use crate::errors::Failure;
use crate::output;
use serde_json::{Value, json};
use setting::Kind;
use std::ffi::OsString;
use std::path::Path;

/// Reads a file, all of its sections, and says that it is right.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check(path: &Path) -> Result<(), Failure> {
    let file = file::read(path, &setting::all())?;
    output::print(
        &format!("{}: {} settings, nothing wrong", path.display(), file.entries.len()),
        || json!({ "file": path.display().to_string(), "settings": file.entries.len(), "ok": true }),
    );
    Ok(())
}

/// Shows the settings of one command line, or of every subcommand; one a line.
///
/// # Errors
/// What is wrong with the file, the environment or the command line.
pub fn show(path: Option<&Path>, command: &[OsString], environment: Environment<'_>) -> Result<(), Refused> {
    let with_file = |variable: &str| match (variable, path) {
        ("OSTIA_CONFIG", Some(path)) => Some(path.into()),
        _ => environment(variable),
    };
    let mut all: Vec<Resolved> = Vec::new();
    if command.is_empty() {
        let settings = setting::all();
        for section in setting::sections(&settings).into_iter().filter(|section| *section != setting::LOG) {
            // Whatever it requires is only to be shown.
            all.extend(settings_of(&[OsString::from("ostia"), section.into()], &with_file)?);
        }
    } else {
        let words: Vec<OsString> = [OsString::from("ostia")].into_iter().chain(command.iter().cloned()).collect();
        all.extend(load(&words, &with_file, clap::ColorChoice::Auto).map(|Loaded { settings, .. }| settings)?);
    }
    // What all subcommands have is shown once.
    let mut seen = Vec::new();
    all.retain(|one| {
        let name = (one.setting.section.clone(), one.setting.key.clone());
        let new = !seen.contains(&name);
        seen.push(name);
        new
    });
    let mut section = None;
    for one in &all {
        if section.as_ref() != Some(&one.setting.section) {
            section = Some(one.setting.section.clone());
            heading(one.setting.section.as_deref());
        }
        output::print(&line(one), || object(one));
    }
    Ok(())
}

fn settings_of(words: &[OsString], environment: Environment<'_>) -> Result<Vec<Resolved>, Refused> {
    let name = words[1].to_string_lossy();
    let matches = super::relaxed().try_get_matches_from(words)?;
    let Some((_, own)) = matches.subcommand() else { return Ok(Vec::new()) };
    let all = setting::all();
    let file = match super::path_of_file(own, environment) {
        Some(path) => file::read(&path, &all)?,
        None => file::File::default(),
    };
    let concerned =
        all.into_iter().filter(|one| one.section.as_deref().is_none_or(|section| section == setting::LOG || section == name));
    concerned.map(|setting| super::resolve(setting, own, environment, &file).map_err(Refused::from)).collect()
}

fn heading(section: Option<&str>) {
    if let (Some(section), false) = (section, output::is_json()) {
        output::print(&format!("\n[{section}]"), || Value::Null);
    }
}

/// A line of TOML, with the source as its comment.
fn line(one: &Resolved) -> String {
    let texts: Vec<String> = one.values.iter().map(|value| toml_text(one.setting.kind, &value.to_string_lossy())).collect();
    let key = &one.setting.key;
    let set = match (one.setting.kind, texts.as_slice()) {
        (_, []) => format!("# {key} ="),
        (Kind::List, texts) => format!("{key} = [{}]", texts.join(", ")),
        (_, texts) => format!("{key} = {}", texts.join(" ")),
    };
    let from = match &one.source {
        Source::Flag => "flag".to_owned(),
        Source::Environment(variable) => format!("environment: {variable}"),
        Source::File(path, line) => format!("file: {}:{line}", path.display()),
        Source::Default => "default".to_owned(),
        Source::Unset => "not set".to_owned(),
    };
    format!("{set:40}  # {from}")
}

fn toml_text(kind: Kind, value: &str) -> String {
    match kind {
        Kind::Flag | Kind::Number => value.to_owned(),
        // JSON's escapes are among those of TOML's basic strings.
        Kind::Text | Kind::List => Value::from(value).to_string().replace('\u{7f}', "\\u007f"),
    }
}

fn object(one: &Resolved) -> Value {
    let texts: Vec<Value> = one
        .values
        .iter()
        .map(|value| {
            let text = value.to_string_lossy();
            match one.setting.kind {
                Kind::Flag => Value::from(text == "true"),
                Kind::Number => text.parse::<u64>().map_or_else(|_| Value::from(text.as_ref()), Value::from),
                Kind::Text | Kind::List => Value::from(text.as_ref()),
            }
        })
        .collect();
    let value = match (one.setting.kind, texts) {
        (_, texts) if texts.is_empty() => Value::Null,
        (Kind::List, texts) => Value::from(texts),
        (_, texts) => texts.into_iter().next().unwrap_or_default(),
    };
    let (source, place) = match &one.source {
        Source::Flag => ("flag", Value::Null),
        Source::Environment(variable) => ("environment", Value::from(variable.as_str())),
        Source::File(path, line) => ("file", Value::from(format!("{}:{line}", path.display()))),
        Source::Default => ("default", Value::Null),
        Source::Unset => ("unset", Value::Null),
    };
    json!({ "section": one.setting.section, "key": one.setting.key, "value": value, "source": source, "where": place })
}
