//! HTTP requests: GET over a kept-alive connection, reading the whole body.

use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use super::{Exchange, receive, send, wrong};

/// Response heads longer than this are refused.
const HEAD_LIMIT: usize = 16 * 1024;
/// Response headers at most.
const HEADERS: usize = 32;

/// One connection's GET requests for one file. The first body on each connection is compared byte for byte, of later
/// ones the length.
pub struct Get {
    request: Rc<[u8]>,
    content: Rc<[u8]>,
    compared: bool,
    sent: usize,
    head: Vec<u8>,
    body: Option<Body>,
}

/// What has come of a body.
struct Body {
    received: usize,
}

impl Get {
    /// Requests for `path`, whose body should be `content`.
    pub fn new(path: &str, content: Rc<[u8]>) -> Get {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        Get { request: request.into_bytes().into(), content, compared: false, sent: 0, head: Vec::with_capacity(512), body: None }
    }

    /// Takes received bytes; true once the body is complete.
    fn take(&mut self, bytes: &[u8]) -> io::Result<bool> {
        if self.body.is_some() {
            return self.take_body(bytes);
        }
        let known = self.head.len();
        self.head.extend_from_slice(bytes);
        match parse_head(&self.head)? {
            None if self.head.len() > HEAD_LIMIT => Err(wrong("the response head does not end")),
            None => Ok(false),
            Some((head, length)) => {
                if length != self.content.len() {
                    return Err(wrong(format!("Content-Length {length} for {} bytes", self.content.len())));
                }
                self.body = Some(Body { received: 0 });
                self.take_body(bytes.get(head - known..).unwrap_or_default())
            }
        }
    }

    fn take_body(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let Some(body) = &mut self.body else {
            return Ok(false);
        };
        let end = body.received + bytes.len();
        let Some(expected) = self.content.get(body.received..end) else {
            return Err(wrong("more bytes than the body has"));
        };
        if !self.compared && expected != bytes {
            return Err(wrong("the body differs from the file"));
        }
        body.received = end;
        self.compared |= end == self.content.len();
        Ok(end == self.content.len())
    }
}

impl Exchange for Get {
    fn begin(&mut self) {
        self.sent = 0;
        self.head.clear();
        self.body = None;
    }

    fn advance(&mut self, socket: BorrowedFd<'_>, scratch: &mut [u8]) -> io::Result<bool> {
        if self.sent < self.request.len() {
            self.sent += send(socket, &self.request[self.sent..])?;
            return Ok(false);
        }
        loop {
            let Some(count) = receive(socket, scratch)? else {
                return Ok(false);
            };
            if self.take(&scratch[..count])? {
                return Ok(true);
            }
        }
    }
}

/// A complete response head: its length in bytes and the Content-Length it states.
fn parse_head(bytes: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(wrong(format!("malformed response: {error}"))),
    };
    match response.code {
        Some(200) => {}
        code => {
            return Err(wrong(format!("status {} instead of 200", code.unwrap_or_default())));
        }
    }
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse().ok());
    length.map(|length| Some((head, length))).ok_or_else(|| wrong("no usable Content-Length"))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::thread::{self, JoinHandle};
    use std::time::Duration;

    use super::super::Generator;
    use super::*;

    const BODY: usize = 300_000;

    fn content() -> Rc<[u8]> {
        (0..BODY).map(|i| (i % 251) as u8).collect()
    }

    /// Answers requests on `count` connections with the same bytes.
    fn server(count: usize, response: Vec<u8>) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = thread::spawn(move || {
            let connections: Vec<_> = (0..count)
                .map(|_| {
                    let (stream, _) = listener.accept().unwrap();
                    let response = response.clone();
                    thread::spawn(move || serve(stream, &response))
                })
                .collect();
            connections.into_iter().for_each(|connection| connection.join().unwrap());
        });
        (addr, serving)
    }

    fn serve(stream: TcpStream, response: &[u8]) {
        let mut requests = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        let mut line = String::new();
        loop {
            line.clear();
            match requests.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if line == "\r\n" && stream.write_all(response).is_err() => return,
                Ok(_) => {}
            }
        }
    }

    fn response(head: &str, body: &[u8]) -> Vec<u8> {
        [head.as_bytes(), body].concat()
    }

    fn run(response: Vec<u8>) -> io::Result<u64> {
        let (addr, serving) = server(2, response);
        let mut generator = Generator::connect(addr, 2, |_| Get::new("/file", content())).unwrap();
        let result = generator.run(Duration::from_millis(30)).map(|slice| slice.requests);
        drop(generator);
        serving.join().unwrap();
        result
    }

    #[test]
    fn whole_bodies_are_read_again_and_again() {
        let head = format!("HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: {BODY}\r\n\r\n");
        assert!(run(response(&head, &content())).unwrap() >= 2);
    }

    #[test]
    fn wrong_answers_are_noticed() {
        let body = content();
        let mut changed = body.to_vec();
        changed[BODY / 2] ^= 1;
        let length = format!("Content-Length: {BODY}\r\n\r\n");
        let cases = [
            response(&format!("HTTP/1.1 404 Not Found\r\n{length}"), &body),
            response(&format!("HTTP/1.1 200 OK\r\n{length}"), &changed),
            response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"short"),
            response("HTTP/1.1 200 OK\r\n\r\n", &body),
            response(&format!("HTTP/1.1 200 OK\r\n{length}"), &[&body[..], b"more"].concat()),
            response("SMTP\r\n\r\n", b""),
        ];
        for case in cases {
            let error = run(case).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        }
    }

    #[test]
    fn heads_may_come_byte_by_byte() {
        let content = content();
        let mut get = Get::new("/file", content.clone());
        get.begin();
        for byte in format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n").into_bytes() {
            assert!(!get.take(&[byte]).unwrap());
        }
        assert!(!get.take(&content[..BODY - 1]).unwrap());
        assert!(get.take(&content[BODY - 1..]).unwrap());
    }

    #[test]
    fn endless_heads_are_refused() {
        let mut get = Get::new("/file", content());
        get.begin();
        assert!(!get.take(b"HTTP/1.1 200 OK\r\nX: ").unwrap());
        assert!(get.take(&[b'a'; HEAD_LIMIT]).is_err());
    }
}
