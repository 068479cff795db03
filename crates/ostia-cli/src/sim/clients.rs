//! The clients of scenarios: one downloads and compares, one has something echoed and compares.

use ostia::net::{Endpoint, Stream};
use ostia_sim::{Host, Outcome};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// The longest head of an answer.
const LONGEST_HEAD: usize = 64 << 10;

/// What a download is to be.
#[derive(Clone, Debug)]
pub(super) enum Expected {
    /// These bytes.
    Bytes(Arc<[u8]>),
    /// Bytes with this hash.
    Hash([u8; 32]),
}

/// What is downloaded.
#[derive(Clone, Debug)]
pub(super) struct Download {
    pub(super) url: String,
    pub(super) endpoint: Endpoint,
    /// For the field `Host`.
    pub(super) authority: String,
    pub(super) path: String,
    pub(super) times: u32,
    pub(super) expected: Expected,
}

/// Downloads, each time on a connection of its own.
pub(super) async fn download(host: Host, what: Download) -> Outcome {
    for _ in 0..what.times {
        let began = host.elapsed();
        let bytes = download_once(&what).await.map_err(|why| format!("{}: {why}", what.url))?;
        let took = host.elapsed().saturating_sub(began);
        host.note(&format!("{}: {bytes} bytes, as they should be, in {:.3} s", what.url, took.as_secs_f64()));
    }
    Ok(())
}

async fn download_once(what: &Download) -> Result<u64, String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut stream = Stream::connect(&what.endpoint).await.map_err(failed)?;
    let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", what.path, what.authority);
    stream.send(request.into_bytes()).await.map_err(failed)?;
    let mut head = Vec::new();
    let (length, used) = loop {
        let chunk = stream.recv().await.map_err(failed)?.ok_or("the connection ended before the answer's head")?;
        head.extend_from_slice(&chunk);
        if let Some(read) = read_head(&head)? {
            break read;
        }
        if head.len() > LONGEST_HEAD {
            return Err("the answer's head has no end".to_owned());
        }
    };
    let mut body = Body { expected: &what.expected, at: 0, hasher: Sha256::new() };
    body.take(&head[used..])?;
    while body.at < length {
        let Some(chunk) = stream.recv().await.map_err(failed)? else {
            return Err(format!("the connection ended after {} of {length} bytes", body.at));
        };
        body.take(&chunk)?;
    }
    body.end(length)
}

/// The length of the body and where it begins; none while the head is not whole.
fn read_head(bytes: &[u8]) -> Result<Option<(u64, usize)>, String> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut fields);
    let used = match response.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(format!("the answer is no HTTP: {error}")),
    };
    match response.code {
        Some(200) => {}
        code => return Err(format!("the answer is {}, not 200", code.unwrap_or(0))),
    }
    let length = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|field| std::str::from_utf8(field.value).ok()?.trim().parse().ok());
    length.map(|length| Some((length, used))).ok_or_else(|| "the answer doesn't say how long it is".to_owned())
}

/// The body, compared as it comes.
struct Body<'a> {
    expected: &'a Expected,
    at: u64,
    hasher: Sha256,
}

impl Body<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        match self.expected {
            Expected::Hash(_) => self.hasher.update(bytes),
            Expected::Bytes(expected) => {
                let rest = expected.get(self.at as usize..).unwrap_or_default();
                let same = rest.iter().zip(bytes).take_while(|(one, other)| one == other).count();
                if same < bytes.len() {
                    return Err(format!("byte {} is not that of the file", self.at + same as u64));
                }
            }
        }
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn end(self, length: u64) -> Result<u64, String> {
        if self.at != length {
            return Err(format!("{} bytes came of {length}", self.at));
        }
        match self.expected {
            Expected::Bytes(expected) if self.at != expected.len() as u64 => {
                Err(format!("{} bytes came, the file has {}", self.at, expected.len()))
            }
            Expected::Hash(hash) if self.hasher.finalize().as_slice() != hash => Err("its SHA-256 is another".to_owned()),
            _ => Ok(length),
        }
    }
}

/// What is to be echoed.
#[derive(Clone, Debug)]
pub(super) struct Echo {
    pub(super) to: Endpoint,
    pub(super) bytes: usize,
    pub(super) times: u32,
    pub(super) pause: Duration,
}

/// Has random bytes echoed over one connection.
pub(super) async fn echo(host: Host, what: Echo) -> Outcome {
    let failed = |why: String| format!("{}: {why}", what.to);
    let mut stream = Stream::connect(&what.to).await.map_err(|error| failed(error.to_string()))?;
    let began = host.elapsed();
    for time in 0..what.times {
        if time > 0 {
            ostia::time::sleep(what.pause).await;
        }
        echo_once(&mut stream, what.bytes).await.map_err(failed)?;
    }
    let took = host.elapsed().saturating_sub(began);
    host.note(&format!("{}: {} times {} bytes came back in {:.3} s", what.to, what.times, what.bytes, took.as_secs_f64()));
    Ok(())
}

async fn echo_once(stream: &mut Stream, bytes: usize) -> Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut sent = vec![0; bytes];
    ostia::random::fill(&mut sent).map_err(failed)?;
    let data = sent.clone();
    let (mut reading, mut writing) = stream.split();
    let write = async { writing.send(data).await.map_err(failed) };
    let read = async {
        let mut at = 0;
        while at < sent.len() {
            let chunk =
                reading.recv().await.map_err(failed)?.ok_or_else(|| format!("the end came after {at} of {bytes} bytes"))?;
            let rest = sent.get(at..at + chunk.len()).ok_or("more came back than was sent")?;
            if rest != &chunk[..] {
                return Err(format!("what came back behind byte {at} is not what was sent"));
            }
            at += chunk.len();
        }
        Ok(())
    };
    let (written, read) = ostia::join!(write, read);
    written.and(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_the_length() {
        assert_eq!(read_head(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), Ok(Some((5, 38))));
        assert_eq!(read_head(b"HTTP/1.1 200 OK\r\nConte"), Ok(None));
        for wrong in [&b"HTTP/1.1 404 Not Found\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\n\r\n", b"SSH-2.0\r\n\r\n"] {
            assert!(read_head(wrong).is_err());
        }
    }

    #[test]
    fn one_wrong_byte_is_found() {
        let compare = |expected: &Expected, parts: &[&[u8]], length: u64| {
            let mut body = Body { expected, at: 0, hasher: Sha256::new() };
            parts.iter().try_for_each(|part| body.take(part)).and_then(|()| body.end(length))
        };
        let bytes = Expected::Bytes((*b"harbour").into());
        assert_eq!(compare(&bytes, &[b"har", b"bour"], 7), Ok(7));
        assert!(compare(&bytes, &[b"har", b"b0ur"], 7).is_err_and(|why| why.contains("byte 4")));
        assert!(compare(&bytes, &[b"harbours"], 8).is_err_and(|why| why.contains("byte 7")));
        assert!(compare(&bytes, &[b"har"], 3).is_err() && compare(&bytes, &[b"har"], 7).is_err());
        let hash = Expected::Hash(Sha256::digest(b"harbour").into());
        assert_eq!(compare(&hash, &[b"harbour"], 7), Ok(7));
        assert!(compare(&hash, &[b"harbouR"], 7).is_err());
    }
}
