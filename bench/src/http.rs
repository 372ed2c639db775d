//! A client that costs next to nothing, so that the server is what is measured: one request at a time over a connection that stays.

use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longest wait for a byte.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where a server listens.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    Tcp(String),
    Unix(PathBuf),
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

/// A connection that stays open.
pub(crate) struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
}

/// An answer, as long as the next request is not sent.
#[derive(Debug)]
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    pub(crate) head: &'a str,
    pub(crate) body: &'a [u8],
}

impl Connection {
    pub(crate) fn open(address: &Address) -> io::Result<Self> {
        let stream = match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Stream::Tcp(stream)
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Stream::Unix(stream)
            }
        };
        Ok(Self { stream, buffer: vec![0; 64 << 10] })
    }

    /// Sends a whole request and reads the whole answer.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> io::Result<Reply<'_>> {
        self.stream.write(request)?;
        let mut filled = 0;
        let head_length = loop {
            filled += self.fill(filled)?;
            if let Some(length) = head_length(&self.buffer[..filled]) {
                break length;
            }
        };
        let head = std::str::from_utf8(&self.buffer[..head_length]).map_err(io::Error::other)?;
        let (status, body_length) = (status(head)?, body_length(head)?);
        let whole = head_length + body_length;
        if self.buffer.len() < whole {
            self.buffer.resize(whole, 0);
        }
        while filled < whole {
            filled += self.fill(filled)?;
        }
        let (head, rest) = self.buffer.split_at(head_length);
        Ok(Reply { status, head: std::str::from_utf8(head).map_err(io::Error::other)?, body: &rest[..body_length] })
    }

    fn fill(&mut self, filled: usize) -> io::Result<usize> {
        if filled == self.buffer.len() {
            return Err(io::Error::other("the head of the answer is too long"));
        }
        match self.stream.read(&mut self.buffer[filled..])? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")),
            count => Ok(count),
        }
    }
}

fn head_length(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|position| position + 4)
}

fn status(head: &str) -> io::Result<u16> {
    let word = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    word.ok_or_else(|| io::Error::other("the answer is no HTTP"))
}

/// A header's value.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn body_length(head: &str) -> io::Result<usize> {
    let length = header(head, "content-length").and_then(|value| value.parse().ok());
    length.ok_or_else(|| io::Error::other("the answer does not say its length"))
}

/// A GET as it goes over the wire.
pub(crate) fn get(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: node\r\n{headers}\r\n").into_bytes()
}

/// A POST as it goes over the wire.
pub(crate) fn post(path: &str, headers: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!("POST {path} HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// A caller of the native API on the unix socket, where root needs no token.
pub(crate) struct Native {
    address: Address,
    connection: Connection,
    last_used: Instant,
}

/// A connection that was not used for so long is opened anew: the node closes idle ones after 75 s.
const IDLE_MAX: Duration = Duration::from_secs(30);

impl Native {
    pub(crate) fn open(address: &Address) -> io::Result<Self> {
        Ok(Self { address: address.clone(), connection: Connection::open(address)?, last_used: Instant::now() })
    }

    pub(crate) fn get(&mut self, path: &str) -> io::Result<Value> {
        self.call(path, &get(path, ""))
    }

    pub(crate) fn post(&mut self, path: &str, body: &Value) -> io::Result<Value> {
        self.call(path, &post(path, "", body))
    }

    /// The data of a success; anything else is an error with the node's own words.
    fn call(&mut self, path: &str, request: &[u8]) -> io::Result<Value> {
        if self.last_used.elapsed() > IDLE_MAX {
            self.connection = Connection::open(&self.address)?;
        }
        let reply = self.connection.exchange(request)?;
        self.last_used = Instant::now();
        let mut answer: Value = serde_json::from_slice(reply.body)?;
        if answer["status_code"] != 0 {
            return Err(io::Error::other(format!("{path}: {} {}", answer["status_code"], answer["message"])));
        }
        Ok(answer["data"].take())
    }
}

/// A page of a server that sends it in pieces or without its length: over a connection of its own, until that ends.
pub(crate) fn page(address: &Address, path: &str) -> io::Result<String> {
    let mut connection = Connection::open(address)?;
    connection.stream.write(format!("GET {path} HTTP/1.0\r\nHost: node\r\n\r\n").as_bytes())?;
    let mut page = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        match connection.stream.read(&mut piece)? {
            0 => return Ok(String::from_utf8_lossy(&page).into_owned()),
            count => page.extend_from_slice(&piece[..count]),
        }
    }
}
