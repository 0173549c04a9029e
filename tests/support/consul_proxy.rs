//! Between the product and a real Consul: passes every request on, and may change what comes back.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request's first line, the status of Consul's answer, and its body. `None` asks Consul first; where it is `Some`, Consul
/// was asked and this is what it said.
pub(crate) type Rewrite = dyn FnMut(&str, Option<(u16, String)>) -> Option<(u16, String)> + Send;

pub(crate) struct Proxy {
    pub(crate) address: String,
    /// The first line of each request, and the status that was answered.
    pub(crate) seen: Arc<Mutex<Vec<(String, u16)>>>,
}

impl Proxy {
    /// Before a `port` of loopback. `rewrite` is asked before Consul is (an answer of its own is given in Consul's stead), and
    /// again with Consul's answer.
    pub(crate) async fn before(
        port: u16,
        rewrite: impl FnMut(&str, Option<(u16, String)>) -> Option<(u16, String)> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, rewrite) = (Arc::clone(&seen), Arc::new(Mutex::new(rewrite)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass_on(
                    stream,
                    port,
                    Arc::clone(&rewrite) as Arc<Mutex<Rewrite>>,
                    Arc::clone(&log),
                ));
            }
        });
        Self { address, seen }
    }

    /// How many requests began so.
    pub(crate) fn count(&self, line: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|(seen, _)| seen.starts_with(line)).count()
    }
}

async fn pass_on(
    mut client: TcpStream,
    port: u16,
    rewrite: Arc<Mutex<Rewrite>>,
    log: Arc<Mutex<Vec<(String, u16)>>>,
) {
    let Some((head, body)) = message(&mut client).await else { return };
    let line = head.lines().next().unwrap_or_default().to_owned();
    let own = (rewrite.lock().unwrap())(&line, None);
    let (status, headers, body) = match own {
        Some((status, body)) => (status, String::new(), body),
        None => {
            // In HTTP/1.0 nothing comes in chunks, and the end of the answer is that of the connection.
            let rest = head.split_once("\r\n").map_or("", |(_, rest)| rest);
            let request = format!("{}\r\n{rest}\r\n\r\n", line.replace("HTTP/1.1", "HTTP/1.0"));
            let mut consul = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            consul.write_all(request.as_bytes()).await.unwrap();
            consul.write_all(&body).await.unwrap();
            let mut said = Vec::new();
            consul.read_to_end(&mut said).await.unwrap();
            let said = String::from_utf8_lossy(&said).into_owned();
            let (head, body) = said.split_once("\r\n\r\n").unwrap();
            let (first, headers) = head.split_once("\r\n").unwrap_or((head, ""));
            let status = first.split(' ').nth(1).unwrap().parse().unwrap();
            let kept: Vec<_> =
                headers.lines().filter(|line| line.to_ascii_lowercase().starts_with("x-consul-")).collect();
            let kept = kept.iter().map(|line| format!("{line}\r\n")).collect::<String>();
            let changed = (rewrite.lock().unwrap())(&line, Some((status, body.to_owned())));
            let (status, body) = changed.unwrap_or((status, body.to_owned()));
            (status, kept, body)
        }
    };
    log.lock().unwrap().push((line, status));
    let answer = format!(
        "HTTP/1.1 {status} X\r\n{headers}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = client.write_all(answer.as_bytes()).await;
}

/// A head without its empty line, and the body that `Content-Length` announces.
async fn message(from: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 8192];
        let length = from.read(&mut part).await.ok().filter(|length| *length > 0)?;
        bytes.extend_from_slice(&part[..length]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let announced = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
        });
        if bytes.len() >= head.len() + 4 + announced.unwrap_or(0) {
            return Some((head.to_owned(), bytes[head.len() + 4..].to_vec()));
        }
    }
}
