//! A small client for a browser: WebDriver (W3C) to Debian's chromedriver.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::DEADLINE;
use super::process::Process;

/// Headless, and without any of the connections that a browser makes on its own account.
const FLAGS: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A browser with one window and a profile of its own. Dropping it ends the browser.
pub struct Browser {
    driver: SocketAddr,
    window: String,
    _process: Process,
    _profile: TempDir,
}

impl Browser {
    /// Starts chromedriver and, through it, Chromium; downloads go to `downloads`.
    pub fn start(downloads: &Path) -> Browser {
        let profile = TempDir::new().expect("a folder can be made");
        let process = Process::start(Command::new("chromedriver").arg("--port=0"));
        let port = process.output.wait_for(port_in).unwrap_or_else(|| panic!("chromedriver: {}", process.errors.text()));
        let driver = SocketAddr::from(([127, 0, 0, 1], port));
        let mut flags: Vec<String> = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        let options = json!({
            "args": flags,
            "prefs": {
                "download.default_directory": downloads,
                "download.prompt_for_download": false,
            },
        });
        let capabilities = json!({
            "capabilities": {
                "alwaysMatch": { "browserName": "chrome", "goog:chromeOptions": options }
            }
        });
        let answer = call(driver, "POST", "/session", Some(&capabilities));
        let id = answer["sessionId"].as_str().expect("a new window has an id");
        Browser { driver, window: format!("/session/{id}"), _process: process, _profile: profile }
    }

    fn post(&self, command: &str, argument: Value) -> Value {
        let path = format!("{}/{command}", self.window);
        call(self.driver, "POST", &path, Some(&argument))
    }

    /// Opens a page and waits until it is loaded.
    pub fn open(&self, url: &str) {
        self.post("url", json!({ "url": url }));
    }

    /// The size of the window, in CSS pixels.
    pub fn resize(&self, width: u32, height: u32) {
        self.post("window/rect", json!({ "width": width, "height": height }));
    }

    /// Makes the page believe it is on a phone of that size (window/rect has a least width).
    pub fn emulate_phone(&self, width: u32, height: u32) {
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 2, "mobile": true
        });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": metrics });
        self.post("goog/cdp/execute", command);
    }

    /// Runs the body of a function in the page and gives what it returns.
    pub fn run(&self, script: &str) -> Value {
        self.post("execute/sync", json!({ "script": script, "args": [] }))
    }

    /// Clicks what a CSS selector finds first, as a user would: it must be visible.
    pub fn click(&self, selector: &str) {
        let found = self.post("element", json!({ "using": "css selector", "value": selector }));
        let element = found
            .as_object()
            .and_then(|object| object.values().next()?.as_str())
            .unwrap_or_else(|| panic!("no {selector} in the page: {found}"));
        self.post(&format!("element/{element}/click"), json!({}));
    }

    /// Saves a picture of the window as PNG.
    pub fn screenshot(&self, path: &Path) {
        let answer = call(self.driver, "GET", &format!("{}/screenshot", self.window), None);
        let png = base64(answer.as_str().expect("a picture is text"));
        assert!(png.starts_with(b"\x89PNG"), "not a picture");
        std::fs::write(path, png).expect("the picture can be written");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends Chromium, which is not our child. In a panic another one would abort.
        if !std::thread::panicking() {
            call(self.driver, "DELETE", &self.window, None);
        } else if let Ok(mut stream) = TcpStream::connect(self.driver) {
            let _ = write_request(&mut stream, "DELETE", &self.window, "");
            let _ = stream.set_read_timeout(Some(DEADLINE));
            let _ = stream.read(&mut [0]);
        }
    }
}

/// The port in chromedriver's last line; an earlier one repeats the 0 it was asked for.
fn port_in(line: &str) -> Option<u16> {
    let (_, port) = line.split_once("started successfully on port ")?;
    port.trim_end_matches('.').parse().ok()
}

/// One WebDriver command; gives its value, and panics with the driver's words on an error.
fn call(driver: SocketAddr, method: &str, path: &str, argument: Option<&Value>) -> Value {
    let mut stream = TcpStream::connect(driver).expect("chromedriver listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a deadline can be set");
    let content = argument.map(Value::to_string).unwrap_or_default();
    write_request(&mut stream, method, path, &content).expect("chromedriver reads");
    let mut answer: Value = serde_json::from_slice(&read_content(stream)).expect("chromedriver answers in JSON");
    let value = answer["value"].take();
    let error = value.get("error").and_then(Value::as_str);
    assert!(error.is_none(), "{method} {path}: {value}");
    value
}

fn write_request(stream: &mut TcpStream, method: &str, path: &str, content: &str) -> std::io::Result<()> {
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{content}",
        content.len()
    )
}

/// The content of an answer whose length its head tells.
fn read_content(stream: TcpStream) -> Vec<u8> {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).expect("chromedriver answers");
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length is a number");
        }
    }
    let mut content = vec![0; length];
    stream.read_exact(&mut content).expect("chromedriver sends all of it");
    content
}

/// Decodes base64 (RFC 4648, section 4); padding and line ends are passed over.
fn base64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for symbol in text.bytes() {
        let value = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    bytes
}

#[test]
fn base64_is_decoded() {
    // RFC 4648, section 10.
    assert_eq!(base64("Zm9vYmFy"), b"foobar");
    assert_eq!(base64("Zm9vYg=="), b"foob");
    assert_eq!(base64("Zm9v\nYmE="), b"fooba");
}
