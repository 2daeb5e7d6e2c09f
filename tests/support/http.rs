//! A stand-in web server that answers as a script says: also wrongly, late, or not at all.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub at: Instant,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What goes back.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Status, more headers (`name: value` lines), body.
    Says(u16, &'static str, String),
    /// Status, more headers (`name: value` lines), bytes; `content-length` names so many, whatever there are.
    Bytes(u16, String, Vec<u8>, u64),
    /// Zeros for ever; `content-length` names so many, if any.
    Endless(Option<u64>),
    /// The connection ends in the middle of the answer's first line.
    Cut,
    /// Nothing for so long, then 200.
    Slow(Duration),
}

pub fn ok() -> Answer {
    Answer::Says(200, "", "ok".to_owned())
}

/// The server; it stops when dropped.
pub struct Server {
    pub addr: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// `script` is given the number of the request, from 0, and the request.
    pub fn start(script: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::on("127.0.0.1:0".parse().unwrap(), script)
    }

    /// The same at a given address.
    pub fn on(addr: SocketAddr, script: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(addr).unwrap();
        let addr = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let stop: Arc<AtomicBool> = Arc::default();
        let (log, end, script) = (Arc::clone(&seen), Arc::clone(&stop), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                std::thread::spawn(move || serve(&stream, &log, &*script));
            }
        });
        Self { addr, seen, stop }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.addr);
    }
}

fn serve(stream: &TcpStream, log: &Mutex<Vec<Request>>, script: &dyn Fn(usize, &Request) -> Answer) {
    let Some(request) = read(stream) else { return };
    let number = {
        let mut log = log.lock().unwrap();
        log.push(request.clone());
        log.len() - 1
    };
    let mut out = stream;
    let _ = match script(number, &request) {
        Answer::Says(status, headers, body) => write!(
            out,
            "HTTP/1.1 {status} Because\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
            body.len()
        ),
        Answer::Bytes(status, headers, body, length) => {
            let head = format!(
                "HTTP/1.1 {status} Because\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
            );
            out.write_all(head.as_bytes()).and_then(|()| out.write_all(&body))
        }
        Answer::Endless(length) => {
            let length = length.map_or_else(String::new, |n| format!("content-length: {n}\r\n"));
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{length}\r\n");
            let mut sent = out.write_all(head.as_bytes());
            while sent.is_ok() {
                sent = out.write_all(&[b'0'; 1 << 16]);
            }
            sent
        }
        Answer::Cut => write!(out, "HTTP/1.1 20"),
        Answer::Slow(time) => {
            std::thread::sleep(time);
            write!(out, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        }
    };
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        if line.trim_end().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let mut first = lines.first()?.split(' ').map(str::to_owned);
    let (method, path) = (first.next()?, first.next()?);
    let headers: Vec<(String, String)> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let find =
        |name: &str| headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone());
    let mut body = Vec::new();
    if find("transfer-encoding").is_some_and(|v| v.contains("chunked")) {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).ok()?;
            let size = u64::from_str_radix(size.trim(), 16).ok()?;
            (&mut reader).take(size).read_to_end(&mut body).ok()?;
            reader.read_line(&mut String::new()).ok()?;
            if size == 0 {
                break;
            }
        }
    } else {
        let length = find("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
        reader.take(length).read_to_end(&mut body).ok()?;
    }
    Some(Request { method, path, headers, body: String::from_utf8(body).ok()?, at: Instant::now() })
}
