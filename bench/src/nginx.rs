//! nginx's configuration: one worker, sendfile, no access log, everything in a directory of its own.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use tempfile::TempDir;

/// A prefix directory with a configuration in it.
pub struct Home {
    /// Removed with everything in it when dropped.
    pub directory: TempDir,
    /// Where nginx will listen.
    pub addr: SocketAddr,
}

impl Home {
    /// Writes a configuration that serves `root`.
    pub fn new(root: &Path, cache: bool) -> io::Result<Home> {
        let directory = tempfile::Builder::new().prefix("bench-nginx-").tempdir()?;
        // nginx does not say which port the kernel chose, so it gets one that was free a moment ago.
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let text = configuration(addr, directory.path(), &root.canonicalize()?, cache);
        std::fs::write(directory.path().join("nginx.conf"), text)?;
        Ok(Home { directory, addr })
    }

    /// The command line that makes nginx use it.
    pub fn args(&self) -> Vec<String> {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let directory = self.directory.path();
        ["-p".to_owned(), path(directory), "-c".to_owned(), path(&directory.join("nginx.conf"))].into()
    }
}

fn configuration(addr: SocketAddr, home: &Path, root: &Path, cache: bool) -> String {
    let (home, root) = (quoted(home), quoted(root));
    let cache = if cache {
        "    open_file_cache max=1000 inactive=60s;\n    open_file_cache_valid 60s;\n    open_file_cache_min_uses 1;\n"
    } else {
        ""
    };
    // As root nginx would hand its worker to an account that may not read the files.
    let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
    format!(
        "{user}daemon off;
worker_processes 1;
pid {home}/nginx.pid;
error_log stderr warn;
events {{
    worker_connections 4096;
}}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_timeout 3600s;
    keepalive_requests 4000000000;
    default_type application/octet-stream;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
{cache}    server {{
        listen {addr} backlog=4096;
        root {root};
    }}
}}
"
    )
}

/// A path with what would end a word of the configuration escaped.
fn quoted(path: &Path) -> String {
    path.to_string_lossy()
        .chars()
        .flat_map(|c| matches!(c, '"' | '\\' | ' ' | ';' | '{' | '}').then_some('\\').into_iter().chain([c]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_on_only_when_asked_for() {
        let addr = "127.0.0.1:81".parse().unwrap();
        let text = |cache| configuration(addr, Path::new("/h"), Path::new("/r"), cache);
        assert!(text(true).contains("open_file_cache max=1000"));
        assert!(!text(false).contains("open_file_cache"));
        for line in ["worker_processes 1;", "sendfile on;", "access_log off;", "daemon off;", "listen 127.0.0.1:81 "] {
            assert!(text(false).contains(line), "{line}");
        }
    }

    #[test]
    fn a_home_holds_its_configuration() {
        let root = tempfile::tempdir().unwrap();
        let home = Home::new(root.path(), true).unwrap();
        let file = home.args().pop().unwrap();
        assert!(std::fs::read_to_string(file).unwrap().contains(&home.addr.to_string()));
    }

    #[test]
    fn odd_paths_are_escaped() {
        assert_eq!(quoted(Path::new("/a b;c")), "/a\\ b\\;c");
    }
}
