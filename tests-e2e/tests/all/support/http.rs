//! A client for HTTP/1.1 which can also misbehave: raw bytes, half-closing, resetting.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use rustix::net::sockopt::set_socket_linger;

use super::DEADLINE;

/// A connection to a server.
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// The status line and fields of an answer.
#[derive(Debug)]
pub struct Head {
    /// The status code.
    pub status: u16,
    fields: Vec<(String, String)>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Response {
    /// Status and fields.
    pub head: Head,
    /// The content.
    pub body: Vec<u8>,
}

impl Head {
    /// The value of the field with that name, in any case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The length of the content that follows.
    pub fn length(&self) -> u64 {
        self.field("content-length")
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("no Content-Length in {self:?}"))
    }
}

impl Response {
    /// The content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    /// Connects. Reading or writing without progress fails after the deadline.
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a deadline can be set");
        stream.set_write_timeout(Some(DEADLINE)).expect("a deadline can be set");
        Client { stream: BufReader::new(stream) }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("the server reads");
    }

    /// Sends bytes to a server that may have closed already.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Sends a GET.
    pub fn ask(&mut self, path: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.send(request.as_bytes());
    }

    /// Sends a GET and reads the answer.
    pub fn get(&mut self, path: &str) -> Response {
        self.ask(path);
        self.response()
    }

    /// Reads a whole answer to a GET.
    pub fn response(&mut self) -> Response {
        let head = self.head();
        let length = match head.status {
            // RFC 9110, section 6.4.1: these have no content.
            204 | 304 => 0,
            _ => usize::try_from(head.length()).expect("it fits into memory"),
        };
        let body = self.content(length);
        Response { head, body }
    }

    /// Reads so much content, which is behind a head that has been read.
    pub fn content(&mut self, length: usize) -> Vec<u8> {
        let mut body = vec![0; length];
        let mut read = 0;
        while read < length {
            match self.stream.read(&mut body[read..]) {
                Ok(more) if more > 0 => read += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                end => panic!("content cut off after {read} of {length} bytes: {end:?}"),
            }
        }
        body
    }

    /// Reads the head of an answer; the content is left to be read.
    pub fn head(&mut self) -> Head {
        let first = self.line();
        let status = first
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .and_then(|code| code.parse().ok())
            .unwrap_or_else(|| panic!("not a status line: {first:?}"));
        let mut fields = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return Head { status, fields };
            }
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("not a field: {line:?}"));
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).expect("the server answers");
        let line = String::from_utf8(line).expect("a head is ASCII");
        line.strip_suffix("\r\n").unwrap_or_else(|| panic!("the connection ended inside a head: {line:?}")).to_owned()
    }

    /// Reads what has been sent, up to the length of `buffer`. 0 is the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.stream.read(buffer)
    }

    /// No more requests will come; answers can still be read.
    pub fn half_close(&mut self) {
        self.stream.get_ref().shutdown(Shutdown::Write).expect("the connection is open");
    }

    /// Closes with RST instead of FIN: lingering for no time discards (socket(7)).
    pub fn reset(self) {
        set_socket_linger(self.stream.get_ref(), Some(std::time::Duration::ZERO)).expect("a socket lingers");
    }

    /// Reads and drops what comes until the server closes, with FIN or RST.
    pub fn end_is_reached(&mut self) {
        let mut some = [0; 4096];
        loop {
            match self.stream.read(&mut some) {
                Ok(0) => return,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Ok(_) => {}
                Err(error) => panic!("not closed: {error}"),
            }
        }
    }

    /// Whether the server ends the connection now: at once, or after a 408.
    pub fn ended_with_408(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty() || rest.starts_with(b"HTTP/1.1 408 "),
            Err(_) => false,
        }
    }

    /// Whether the server has closed the connection with nothing more to read.
    pub fn at_end(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0))
    }
}
