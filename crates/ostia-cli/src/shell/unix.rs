//! What manual pages say of Linux: an example with its paths, systemd, signals.

/// A file of settings.
pub(super) const EXAMPLE: &str = r#"workers = 2

[serve]
dir = "/srv/www"
addr = ["127.0.0.1:8080", "unix:/run/ostia.sock"]
idle\-timeout = "30s"

[log]
file = "/var/log/ostia.log"
max\-size = "10MiB"
"#;

/// Variables of systemd, and signals.
pub(super) const SIGNALS: &str = r#".TP
.BR LISTEN_FDS ", " LISTEN_PID ", " LISTEN_FDNAMES
Sockets handed over by systemd, see sd_listen_fds(3).
.TP
.BR NOTIFY_SOCKET ", " WATCHDOG_USEC ", " WATCHDOG_PID
Whom to tell that the server is ready, stops and lives, see sd_notify(3).
.SH SIGNALS
.TP
.BR SIGTERM ", " SIGINT
A server takes no more connections, lets those that it has finish for \fB\-\-drain\fR, and ends with 0, or 3 if some had to be
cut off. At a second signal it ends at once with 130.
.TP
.B SIGUSR1
Log files are opened anew, as after logrotate(8).
.TP
.B SIGHUP
The same, if a log is a file or systemd is to be told.
"#;
