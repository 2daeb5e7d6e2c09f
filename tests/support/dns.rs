//! A stand-in resolver that answers from a table, by UDP and TCP at one port. What is longer than 512 bytes comes cut by UDP (RFC 1035, 4.2.1).

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A question's name, and an address (type A) or a name (type PTR) for it.
pub type Table = Vec<(String, String)>;

/// The resolver; it runs until the program ends.
pub struct Resolver {
    pub addr: SocketAddr,
    tcp: Arc<AtomicUsize>,
}

impl Resolver {
    pub fn start(table: &[(&str, &str)]) -> Self {
        let table: Arc<Table> =
            Arc::new(table.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
        // A port that is free for both.
        let (udp, listener) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            if let Ok(listener) = TcpListener::bind(udp.local_addr().unwrap()) {
                break (udp, listener);
            }
        };
        let addr = udp.local_addr().unwrap();
        let rows = Arc::clone(&table);
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((read, from)) = udp.recv_from(&mut buffer) {
                let mut reply = answer(&buffer[..read], &rows);
                if reply.len() > 512 {
                    reply.truncate(read);
                    reply[2] |= 2;
                    reply[7] = 0;
                }
                // An answer to another question first: it must be waited past.
                let mut other = reply.clone();
                other[0] ^= 0xff;
                let _ = udp.send_to(&other, from);
                let _ = udp.send_to(&reply, from);
            }
        });
        let tcp: Arc<AtomicUsize> = Arc::default();
        let count = Arc::clone(&tcp);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                let mut length = [0; 2];
                if stream.read_exact(&mut length).is_err() {
                    continue;
                }
                let mut question = vec![0; u16::from_be_bytes(length).into()];
                if stream.read_exact(&mut question).is_ok() {
                    let reply = answer(&question, &table);
                    let _ = stream.write_all(&(reply.len() as u16).to_be_bytes());
                    let _ = stream.write_all(&reply);
                }
            }
        });
        Self { addr, tcp }
    }

    /// Questions by TCP so far.
    pub fn by_tcp(&self) -> usize {
        self.tcp.load(Ordering::Relaxed)
    }
}

fn answer(message: &[u8], table: &Table) -> Vec<u8> {
    let question = &message[12..];
    let mut name = String::new();
    let mut at = 0;
    while question[at] != 0 {
        let end = at + 1 + usize::from(question[at]);
        name += std::str::from_utf8(&question[at + 1..end]).unwrap();
        name.push('.');
        at = end;
    }
    let found: Vec<_> = table.iter().filter(|(asked, _)| *asked == name.trim_end_matches('.')).collect();
    let mut reply = message[..2].to_vec();
    let code = if found.is_empty() { 0x83 } else { 0x80 };
    reply.extend([0x81, code, 0, 1, 0, found.len() as u8, 0, 0, 0, 0]);
    reply.extend(question);
    for (_, value) in found {
        let data: Vec<u8> = match value.parse::<Ipv4Addr>() {
            Ok(addr) => addr.octets().to_vec(),
            Err(_) => {
                let labels = value.split('.').flat_map(|l| [&[l.len() as u8], l.as_bytes()].concat());
                labels.chain([0]).collect()
            }
        };
        let kind = if data.len() == 4 { 1 } else { 12 };
        reply.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
        reply.extend(data);
    }
    reply
}
