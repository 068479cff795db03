//! What a shell and man(1) know of the program: completions and manual pages, made from the command line's definition.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

use crate::args::{Cli, CompletionsArgs, ManArgs};
use crate::errors::Failure;
use clap::{Command, CommandFactory as _};
use std::io::{self, Write};
use std::path::Path;

/// Prints the completions for a shell.
///
/// # Errors
/// None: whoever reads them may stop early.
pub fn completions(args: CompletionsArgs) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ostia", &mut text);
    let _ = io::stdout().write_all(&text);
    Ok(())
}

/// Prints the manual page of the program, or writes all pages to a directory.
///
/// # Errors
/// When a page can't be written.
pub fn man(args: &ManArgs) -> Result<(), Failure> {
    let Some(dir) = &args.dir else {
        let mut text = Vec::new();
        render(&root(), "ostia", &mut text).map_err(|error| Failure::new(format!("no page: {error}"), "report this"))?;
        let _ = io::stdout().write_all(&text);
        return Ok(());
    };
    for (name, page) in pages().map_err(|error| Failure::new(format!("no page: {error}"), "report this"))? {
        let path = dir.join(name);
        std::fs::write(&path, page).map_err(|error| unwritable(&path, &error))?;
    }
    Ok(())
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let what = format!("cannot write {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::permission(what, "choose a directory that this user may write to"),
        _ => Failure::new(what, "name a directory that is there"),
    }
}

fn root() -> Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

/// Every page with the name of its file: `ostia.1`, `ostia-serve.1`, …
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut pages = Vec::new();
    let mut left = vec![(root(), "ostia".to_owned())];
    while let Some((command, name)) = left.pop() {
        let mut text = Vec::new();
        render(&command, &name, &mut text)?;
        left.extend(command.get_subcommands().map(|sub| (sub.clone(), format!("{name}-{}", sub.get_name()))));
        pages.push((format!("{name}.1"), text));
    }
    Ok(pages)
}

fn render(command: &Command, name: &str, out: &mut dyn Write) -> io::Result<()> {
    // The page's own sections say what stands below the options in help.
    let command_text = command.get_after_long_help().map(ToString::to_string);
    let command = command
        .clone()
        .after_long_help(None::<&str>)
        .name(name.to_owned())
        .display_name(name.to_owned())
        .after_help(None::<&str>);
    let has_subcommands = command.get_subcommands().next().is_some();
    let page = clap_mangen::Man::new(command)
        .title(name.to_uppercase())
        .date("")
        .manual("Ostia")
        .source(concat!("ostia ", env!("CARGO_PKG_VERSION")));
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    page.render_options_section(out)?;
    if has_subcommands {
        page.render_subcommands_section(out)?;
    }
    if let Some(text) = command_text {
        render_as_it_is(&text, out)?;
    }
    for part in [SETTINGS, system::EXAMPLE, ENVIRONMENT, system::SIGNALS, OUTPUT] {
        out.write_all(part.as_bytes())?;
    }
    Ok(())
}

/// A section of what stands below the options, line by line.
fn render_as_it_is(text: &str, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b".SH DETAILS\n.nf\n")?;
    for line in text.lines() {
        // A line that begins with a dot or a quote is a request otherwise.
        writeln!(out, "\\&{}", line.replace('\\', "\\e").replace('-', "\\-"))?;
    }
    out.write_all(b".fi\n")
}

/// What every page says of settings, up to the example.
const SETTINGS: &str = r#".SH CONFIGURATION
Every option can be given in four places; the first that gives it holds:
.IP 1. 3
the command line; \fB\-\-no\-\fIflag\fR takes back a flag that is set elsewhere,
.IP 2. 3
the environment, see below,
.IP 3. 3
the file named by \fB\-\-config\fR or \fBOSTIA_CONFIG\fR,
.IP 4. 3
the default.
.PP
The file is TOML (https://toml.io). Each subcommand has a section, logging has
.BR [log] ,
and keys are the long options without the dashes; in
.B [log]
also without
.BR log\- .
Options that several subcommands have may stand at the top, before all sections, for all of them. Unknown keys are refused.
.PP
.nf
.RS
"#;

/// And behind it, with the environment.
const ENVIRONMENT: &str = r#".RE
.fi
.PP
.B ostia config check
names everything that is wrong with a file;
.B ostia config show
tells what holds and where it comes from.
.SH ENVIRONMENT
.TP
.B OSTIA_CONFIG
The configuration file.
.TP
.BI OSTIA_ SUBCOMMAND _ OPTION
The option of that subcommand, in capitals, with _ for \-:
.BR OSTIA_SERVE_IDLE_TIMEOUT .
Flags take true or false; options that may be repeated take several values with commas between. An empty variable counts as
not set.
.TP
.BI OSTIA_ OPTION
The same for an option that several subcommands have, and for those of the program itself:
.BR OSTIA_WORKERS ,
.BR OSTIA_LOG_FILE .
.TP
.B NO_COLOR
If set and not empty, nothing is coloured unless \fB\-\-color always\fR says so.
"#;

/// What every page says of output and exit codes.
const OUTPUT: &str = r#".SH OUTPUT
With
.B \-\-json
each line on standard output is a JSON object. Servers print
{"event":"listening","address":...} for each address, of
.B ostia serve
also with "url", then
{"event":"metrics","url":...} if asked for, and at the end
{"event":"ended","accepted":...,"rejected":...,"cut_off":...}.
.B ostia doctor
prints one object with
"version", "system", "driver", "because", "features" and "findings".
.B ostia config show
prints one object per setting with "section", "key", "value", "source" and "where". An error is one object on standard error with
"error", "hint" and "code".
.SH EXIT STATUS
.TP
.B 0
Done; for a server: it was stopped, and all connections came to their end.
.TP
.B 1
Failed.
.TP
.B 2
The command line, the environment or the configuration file is wrong.
.TP
.B 3
Done in part: connections had to be cut off at the end of \fB\-\-drain\fR.
.TP
.B 4
A permission is missing.
.TP
.B 130
Interrupted: by SIGINT before a server had started, or by a second SIGINT or SIGTERM.
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subcommand_has_a_page_and_each_names_the_exit_codes() {
        let pages = pages().unwrap();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["ostia.1", "ostia-serve.1", "ostia-echo.1", "ostia-doctor.1", "ostia-config.1", "ostia-config-show.1"] {
            assert!(names.contains(&name), "{names:?}");
        }
        for (name, page) in &pages {
            let page = String::from_utf8(page.clone()).unwrap();
            assert!(page.contains(".SH \"EXIT STATUS\"") || page.contains(".SH EXIT STATUS"), "{name}");
        }
    }
}
