//! Every flag can be set everywhere, and who wins.

use super::*;
use std::collections::BTreeMap;

fn words(text: &[&str]) -> Vec<OsString> {
    ["ostia"].iter().chain(text).map(OsString::from).collect()
}

fn load_with(text: &[&str], variables: &[(&str, &str)]) -> Result<Loaded, Refused> {
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    load(&words(text), &|name| variables.get(name).map(OsString::from), clap::ColorChoice::Never)
}

fn find<'a>(loaded: &'a Loaded, section: Option<&str>, key: &str) -> &'a Resolved {
    loaded.settings.iter().find(|one| one.setting.section.as_deref() == section && one.setting.key == key).unwrap()
}

/// A value that differs from the default, for every setting: by what it takes.
fn another(setting: &Setting) -> String {
    let names = setting.arg.get_value_names().and_then(|names| names.first()).map(|name| name.to_string());
    let possible = setting.arg.get_possible_values();
    match (setting.kind, names.as_deref()) {
        (Kind::Flag, _) => "true".into(),
        (Kind::Number, Some("BYTES")) => "1400".into(),
        (Kind::Number, _) => "7".into(),
        _ if !possible.is_empty() => possible.last().unwrap().get_name().to_owned(),
        (_, Some("TIME")) => "77s".into(),
        (_, Some("SIZE")) => "77kB".into(),
        (_, Some("FILTER")) => "ostia=trace".into(),
        (_, Some("IP[:PORT]")) => "192.0.2.77:53".into(),
        (_, Some("IP:PORT")) => "127.0.0.1:77".into(),
        (_, Some("ADDR")) => "127.0.0.1:77".into(),
        (_, Some("IP")) => "192.0.2.77".into(),
        (_, Some("IP/PREFIX")) => "192.0.2.7/24".into(),
        (_, Some("NETWORK")) => "tun:other".into(),
        _ => "77".into(),
    }
}

/// A subcommand with all that it requires, but for one key.
fn with_what_is_needed(command: &str, but: Option<&str>) -> Vec<String> {
    let needed = setting::all()
        .into_iter()
        .filter(|one| one.section.as_deref() == Some(command) && one.arg.is_required_set() && Some(one.key.as_str()) != but);
    let words = needed.map(|one| match one.arg.get_long() {
        Some(long) => format!("--{long}=7{}", another(&one)),
        None => format!("7{}", another(&one)),
    });
    [command.to_owned()].into_iter().chain(words).collect()
}

fn toml_of(setting: &Setting, value: &str) -> String {
    let value = match setting.kind {
        Kind::Flag | Kind::Number => value.to_owned(),
        Kind::Text => format!("\"{value}\""),
        Kind::List => format!("[\"{value}\"]"),
    };
    let section = setting.section.as_ref().map(|section| format!("[{section}]\n")).unwrap_or_default();
    format!("{section}{} = {value}\n", setting.key)
}

#[test]
fn every_flag_is_a_setting() {
    let all = setting::all();
    for sub in args::command().get_subcommands().filter(|sub| !setting::WITHOUT_SETTINGS.contains(&sub.get_name())) {
        for arg in sub.get_arguments().filter(|arg| !arg.is_hide_set()) {
            let key = arg.get_long().unwrap_or(arg.get_id().as_str());
            if ["help", "version"].contains(&key) {
                continue;
            }
            let found = all.iter().filter(|one| one.section.as_deref() == Some(sub.get_name()) && one.key == key).count();
            assert_eq!(found, 1, "{} --{key}", sub.get_name());
        }
    }
    for arg in args::command().get_arguments().filter(|arg| !arg.is_hide_set()) {
        let long = arg.get_long().unwrap();
        if ["help", "version", "config"].contains(&long) {
            continue;
        }
        assert_eq!(all.iter().filter(|one| one.arg.get_long() == Some(long)).count(), 1, "--{long}");
    }
}

#[test]
fn every_setting_can_be_set_in_the_file_and_by_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ostia.toml");
    for setting in setting::all() {
        let value = another(&setting);
        let section = setting.section.as_deref();
        let command = section.filter(|section| *section != setting::LOG).unwrap_or("serve");
        let full = with_what_is_needed(command, None);
        let line = with_what_is_needed(command, Some(&setting.key));
        let full: Vec<&str> = full.iter().map(String::as_str).collect();
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        for variable in setting.variables() {
            let loaded = load_with(&line, &[(&variable, &value)]).unwrap_or_else(|error| panic!("{variable}: {error:?}"));
            let found = find(&loaded, section, &setting.key);
            assert_eq!(found.values, [OsString::from(&value)], "{variable}");
            assert_eq!(found.source, Source::Environment(variable));
        }
        std::fs::write(&path, toml_of(&setting, &value)).unwrap();
        let file = [("OSTIA_CONFIG", path.to_str().unwrap())];
        let loaded = load_with(&line, &file).unwrap_or_else(|error| panic!("{}: {error:?}", setting.name()));
        let found = find(&loaded, section, &setting.key);
        assert_eq!(found.values, [OsString::from(&value)], "{}", setting.name());
        assert!(matches!(found.source, Source::File(..)), "{}", setting.name());
        if setting.common && section.is_some() {
            std::fs::write(&path, toml_of(&Setting { section: None, ..setting.clone() }, &value)).unwrap();
            assert_eq!(find(&load_with(&line, &file).unwrap(), section, &setting.key).values, [OsString::from(&value)]);
        }
        // And it reaches the program, not only the table.
        let plain = load_with(&full, &[]).unwrap().cli;
        assert_ne!(format!("{:?}", loaded.cli), format!("{plain:?}"), "{}", setting.name());
    }
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ostia.toml");
    std::fs::write(&path, "workers = 2\ndrain = \"2s\"\n[serve]\nworkers = 3\nhidden = true\n").unwrap();
    let path = path.to_str().unwrap();
    type Row<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str, &'a str, &'a str);
    let table: &[Row<'_>] = &[
        (&["serve", "."], &[], "drain", "10s", "Default"),
        (&["serve", ".", "--config", path], &[], "drain", "2s", "File"),
        (&["serve", ".", "--config", path], &[], "workers", "3", "File"),
        (&["serve", "."], &[("OSTIA_CONFIG", path)], "workers", "3", "File"),
        (&["serve", ".", "--config", path], &[("OSTIA_WORKERS", "4")], "workers", "4", "Environment"),
        (&["serve", "."], &[("OSTIA_WORKERS", "4"), ("OSTIA_SERVE_WORKERS", "5")], "workers", "5", "Environment"),
        (&["serve", ".", "--workers=6"], &[("OSTIA_CONFIG", path), ("OSTIA_SERVE_WORKERS", "5")], "workers", "6", "Flag"),
        (&["serve", "."], &[("OSTIA_WORKERS", "")], "workers", "", "Unset"),
        (&["serve", ".", "--config", path], &[], "hidden", "true", "File"),
        (&["serve", ".", "--config", path], &[("OSTIA_SERVE_HIDDEN", "0")], "hidden", "false", "Environment"),
        (&["serve", ".", "--config", path, "--no-hidden"], &[("OSTIA_SERVE_HIDDEN", "1")], "hidden", "false", "Flag"),
        (&["serve", "."], &[("OSTIA_SERVE_ADDR", "a:1, b:2")], "addr", "a:1 b:2", "Environment"),
        (&["serve", ".", "--addr=c:3"], &[("OSTIA_SERVE_ADDR", "a:1, b:2")], "addr", "c:3", "Flag"),
    ];
    for (line, variables, key, value, source) in table {
        let loaded = load_with(line, variables).unwrap_or_else(|error| panic!("{line:?}: {error:?}"));
        let found = find(&loaded, Some("serve"), key);
        let values: Vec<_> = found.values.iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(values.join(" "), *value, "{line:?} {variables:?}");
        assert!(format!("{:?}", found.source).starts_with(source), "{line:?}: {:?}", found.source);
        let args::Command::Serve(serve) = loaded.cli.command else { panic!() };
        match *key {
            "hidden" => assert_eq!(serve.hidden.to_string(), *value),
            "workers" => assert_eq!(serve.common.workers.map(|n| n.to_string()).unwrap_or_default(), *value),
            "addr" => assert_eq!(serve.common.addresses.join(" "), *value),
            _ => {}
        }
    }
}

#[test]
fn odd_words_survive_being_put_together_again() {
    let loaded = load_with(&["--json", "serve", "--no-access-log", "--", "--hidden"], &[("OSTIA_LOG_KEEP", "1")]).unwrap();
    let args::Command::Serve(serve) = loaded.cli.command else { panic!() };
    assert!(serve.no_access_log && !serve.hidden && loaded.cli.global.json);
    assert_eq!((serve.dir.to_str(), loaded.cli.global.log.log_keep), (Some("--hidden"), 1));
    // It takes back what another place says.
    let loaded = load_with(&["serve", ".", "--no-access-log"], &[("OSTIA_SERVE_ACCESS_LOG", "x")]).unwrap();
    let args::Command::Serve(serve) = loaded.cli.command else { panic!() };
    assert!(serve.no_access_log && serve.access_log.is_none());
    // What is missing everywhere is missing.
    assert!(matches!(load_with(&["serve"], &[]), Err(Refused::Clap(error)) if error.to_string().contains("<DIR>")));
    assert!(load_with(&["serve"], &[("OSTIA_SERVE_DIR", "x")]).is_ok());
    assert!(load_with(&["config", "show", "f", "--", "serve", "."], &[]).is_ok());
}

#[test]
fn a_wrong_variable_is_named() {
    let Err(Refused::Failure(failure)) = load_with(&["serve", "."], &[("OSTIA_SERVE_WORKERS", "many")]) else { panic!() };
    assert!(failure.what.starts_with("OSTIA_SERVE_WORKERS: 'many'"), "{failure}");
    assert!(failure.remedy.contains("unset") && failure.code == 2, "{failure}");
}
