//! What manual pages say of Windows: an example with its paths, events of the console.

/// A file of settings. In quotation marks of this kind a backslash is one.
pub(super) const EXAMPLE: &str = r#"workers = 2

[serve]
dir = 'C:\(rssite'
addr = ["127.0.0.1:8080"]
idle\-timeout = "30s"

[log]
file = 'C:\(rslogs\(rsostia.log'
max\-size = "10MiB"
"#;

/// What stands for signals. SIGINT and SIGTERM, which other parts of the page name, are these.
pub(super) const SIGNALS: &str = r#".SH EVENTS OF THE CONSOLE
.TP
Ctrl\-C (SIGINT); Ctrl\-Break and the end of the console, of the session, of the system (SIGTERM)
A server takes no more connections, lets those that it has finish for \fB\-\-drain\fR, and ends with 0, or 3 if some had to be
cut off. At a second event it ends at once with 130. Windows ends a program about 5 s after its console.
"#;
