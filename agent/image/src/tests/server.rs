//! A small HTTP server that can be told to misbehave.

use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) path: String,
    /// First byte asked for.
    pub(super) range: Option<usize>,
    pub(super) if_range: Option<String>,
}

/// An answer to give.
#[derive(Debug, Clone, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// Closes the connection after so many bytes of the body.
    pub(super) cut_after: Option<usize>,
    /// Goes silent after so many bytes of the body.
    pub(super) hang_after: Option<usize>,
    /// Sends the body in chunks and not its length.
    pub(super) is_chunked: bool,
}

/// Serves until dropped.
pub(super) struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// `answer` gets the request and how many came before it.
    pub(super) async fn start(answer: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let (answer, log) = (Arc::new(answer), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                tokio::spawn(async move {
                    let (request, stream) = read_request(stream).await?;
                    let number = {
                        let mut log = log.lock().unwrap();
                        log.push(request.clone());
                        log.len() - 1
                    };
                    send(stream, answer(&request, number)).await.ok()
                });
            }
        });
        Self { port, seen, task }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/image", self.port)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves `content` as a good server does, ranges and their condition included.
pub(super) fn good(content: &[u8], etag: &str, request: &Seen) -> Reply {
    let headers = vec![("ETag", etag.to_owned())];
    match request.range {
        Some(first) if request.if_range.as_deref() == Some(etag) && first < content.len() => {
            let range = format!("bytes {first}-{}/{}", content.len() - 1, content.len());
            Reply {
                status: 206,
                headers: [headers, vec![("Content-Range", range)]].concat(),
                body: content[first..].to_vec(),
                ..Reply::default()
            }
        }
        Some(_) if request.if_range.as_deref() == Some(etag) => {
            Reply { status: 416, headers: vec![("Content-Range", format!("bytes */{}", content.len()))], ..Reply::default() }
        }
        _ => Reply { status: 200, headers, body: content.to_vec(), ..Reply::default() },
    }
}

async fn read_request(stream: TcpStream) -> Option<(Seen, TcpStream)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).await.ok()?;
    let mut seen = Seen { path: line.split(' ').nth(1)?.to_owned(), ..Seen::default() };
    loop {
        line.clear();
        reader.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => seen.range = value.trim_start_matches("bytes=").trim_end_matches('-').parse().ok(),
            "if-range" => seen.if_range = Some(value.to_owned()),
            _ => {}
        }
    }
    Some((seen, reader.into_inner()))
}

async fn send(mut stream: TcpStream, reply: Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &if reply.is_chunked {
        "Transfer-Encoding: chunked\r\n\r\n".to_owned()
    } else {
        format!("Content-Length: {}\r\n\r\n", reply.body.len())
    };
    stream.write_all(head.as_bytes()).await?;
    let end = reply.cut_after.or(reply.hang_after).unwrap_or(reply.body.len()).min(reply.body.len());
    if reply.is_chunked {
        for piece in reply.body[..end].chunks(10_000) {
            stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
            stream.write_all(piece).await?;
            stream.write_all(b"\r\n").await?;
        }
        if reply.cut_after.is_none() && reply.hang_after.is_none() {
            stream.write_all(b"0\r\n\r\n").await?;
        }
    } else {
        stream.write_all(&reply.body[..end]).await?;
    }
    stream.flush().await?;
    if reply.hang_after.is_some() {
        std::future::pending::<()>().await;
    }
    Ok(())
}
