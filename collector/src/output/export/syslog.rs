//! Syslog, RFC 5424: over UDP (RFC 5426), TCP with counted octets (RFC 6587), or a local socket such as `/dev/log`.
//!
//! UDP and the local socket carry one message a datagram and promise nothing; over TCP a connection that the server has closed is noticed
//! before a message is written into it. Facility is local0, severity follows the threat level.

use std::io::Write as _;
use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{RecvFlags, recv};

use super::item::{Body, Item, cut};
use super::receivers::{Pace, Receive, Trouble};
use crate::evidence::ThreatLevel;
use crate::output::line::proto_name;
use crate::output::{idmef, reason};

/// Where to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// Datagrams to host:port.
    Udp(String),
    /// A connection to host:port.
    Tcp(String),
    /// A local socket.
    Unix(String),
}

impl Address {
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("udp://host:port, tcp://host:port or unix:/path was expected, not {text}");
        if let Some(path) = text.strip_prefix("unix:").filter(|path| path.starts_with('/')) {
            return Ok(Self::Unix(path.to_owned()));
        }
        let (scheme, host) = text.split_once("://").ok_or_else(expected)?;
        let port = host.rsplit_once(':').ok_or_else(expected)?.1;
        port.parse::<u16>().map_err(|_| expected())?;
        match scheme {
            "udp" => Ok(Self::Udp(host.to_owned())),
            "tcp" => Ok(Self::Tcp(host.to_owned())),
            _ => Err(expected()),
        }
    }
}

/// An open way to the server.
enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Datagram(UnixDatagram),
    Stream(UnixStream),
}

/// A syslog server.
pub struct Syslog {
    address: Address,
    sensor: Arc<str>,
    host: String,
    link: Option<Link>,
}

/// Longest wait for a connection or a write.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a message: what receivers of datagrams should take (RFC 5426, 3.2).
const LONGEST: usize = 2048;
/// local0.
const FACILITY: u8 = 16;

impl Syslog {
    pub fn new(address: Address, sensor: Arc<str>) -> Self {
        // HOSTNAME is printable ASCII without blanks.
        let host: String =
            sensor.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).take(255).collect();
        Self { address, sensor, host, link: None }
    }

    fn open(&self) -> std::io::Result<Link> {
        let none = || std::io::Error::other("its name has no address");
        Ok(match &self.address {
            Address::Udp(host) => {
                let to = host.to_socket_addrs()?.next().ok_or_else(none)?;
                let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any)?;
                socket.connect(to)?;
                socket.set_write_timeout(Some(PATIENCE))?;
                Link::Udp(socket)
            }
            Address::Tcp(host) => {
                let to = host.to_socket_addrs()?.next().ok_or_else(none)?;
                let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.set_nodelay(true)?;
                Link::Tcp(stream)
            }
            Address::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_write_timeout(Some(PATIENCE))?;
                match socket.connect(path) {
                    Ok(()) => Link::Datagram(socket),
                    Err(_) => {
                        let stream = UnixStream::connect(path)?;
                        stream.set_write_timeout(Some(PATIENCE))?;
                        Link::Stream(stream)
                    }
                }
            }
        })
    }

    fn write(&mut self, text: &str) -> std::io::Result<()> {
        if self.link.as_ref().is_some_and(closed) {
            self.link = None;
        }
        let mut link = match self.link.take() {
            Some(link) => link,
            None => self.open()?,
        };
        let counted = || format!("{} {text}", text.len());
        match &mut link {
            Link::Udp(socket) => drop(socket.send(text.as_bytes())?),
            Link::Datagram(socket) => drop(socket.send(text.as_bytes())?),
            Link::Tcp(stream) => stream.write_all(counted().as_bytes())?,
            Link::Stream(stream) => stream.write_all(counted().as_bytes())?,
        }
        self.link = Some(link);
        Ok(())
    }
}

/// Whether the other end of a connection has gone: syslog servers say nothing, so anything but "nothing there" is the end.
fn closed(link: &Link) -> bool {
    let Link::Tcp(stream) = link else { return false };
    let mut one = [0; 1];
    matches!(recv(stream, &mut one, RecvFlags::PEEK | RecvFlags::DONTWAIT), Ok((0, _)))
}

impl Receive for Syslog {
    fn name(&self) -> &'static str {
        "syslog"
    }

    fn pace(&self) -> Pace {
        Pace { most: 1, every: Duration::ZERO }
    }

    fn sensor(&self) -> &Arc<str> {
        &self.sensor
    }

    fn send(&mut self, batch: &[Arc<Item>]) -> Result<(), Trouble> {
        for item in batch {
            let text = message(item, &self.host);
            self.write(&text).map_err(|e| {
                let (Address::Udp(place) | Address::Tcp(place) | Address::Unix(place)) = &self.address;
                Trouble::later(format_args!("{place} cannot be reached: {}", reason(&e)))
            })?;
        }
        Ok(())
    }
}

/// One message.
fn message(item: &Item, host: &str) -> String {
    let severity = match item.level() {
        ThreatLevel::Critical => 2,
        ThreatLevel::High => 3,
        ThreatLevel::Medium => 4,
        ThreatLevel::Low => 5,
        ThreatLevel::Info => 6,
    };
    let site = item.site.as_deref().unwrap_or_default().to_owned();
    let (ts_us, id, data) = match &item.body {
        Body::Evidence(e) => {
            let data = vec![
                ("type", e.kind.to_owned()),
                ("site", site),
                ("profile", e.profile.to_string()),
                ("window", e.window.to_string()),
                ("attacker", e.attacker.clone()),
                ("victim", e.victim.clone().unwrap_or_default()),
                ("port", e.port.map_or_else(String::new, |port| port.to_string())),
                ("proto", e.proto.map_or_else(String::new, proto_name)),
                ("level", e.threat_level.name().to_owned()),
                ("confidence", e.confidence.to_string()),
                ("count", e.count.to_string()),
            ];
            (Some(e.last_ts_us), "evidence", data)
        }
        Body::Alert { alert, .. } => {
            let data = vec![
                ("site", site),
                ("profile", alert.profile.to_string()),
                ("window", alert.window.to_string()),
                ("level", "critical".to_owned()),
                ("accumulated", alert.accumulated.to_string()),
                ("blocked", alert.blocked.to_string()),
            ];
            (Some(alert.ts_us), "alert", data)
        }
        Body::Test => (None, "test", Vec::new()),
    };
    let data: String = data
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!(" {name}=\"{}\"", escaped(&cut(value.clone(), 255))))
        .collect();
    // 32473 is the number that RFC 5612 sets aside for those who have none of their own.
    let data = if data.is_empty() { "-".to_owned() } else { format!("[slips@32473{data}]") };
    let stamp = ts_us.map_or_else(|| "-".to_owned(), idmef::stamp);
    let head =
        format!("<{}>1 {stamp} {host} slips {} {id} {data} ", FACILITY * 8 + severity, std::process::id());
    // The mark says that the text is UTF-8.
    cut(format!("{head}\u{feff}{}", item.line(LONGEST)), LONGEST)
}

/// RFC 5424, 6.3.3.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '"' | '\\' | ']' => out.extend(['\\', c]),
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(Address::parse("udp://logs.example:514"), Ok(Address::Udp("logs.example:514".to_owned())));
        assert_eq!(Address::parse("unix:/dev/log"), Ok(Address::Unix("/dev/log".to_owned())));
        for bad in ["", "udp://x", "udp://x:y", "unix:dev", "tls://x:6514", "x:514"] {
            assert!(Address::parse(bad).unwrap_err().contains("unix:/path was expected"), "{bad}");
        }
    }

    #[test]
    fn a_server_that_closed_is_connected_again() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(server.local_addr().unwrap().to_string());
        let mut syslog = Syslog::new(address, "s".into());
        let mut first = [0; 4];
        for _ in 0..2 {
            assert_eq!(syslog.test(), Ok(()));
            let (mut stream, _) = server.accept().unwrap();
            stream.read_exact(&mut first).unwrap();
            // All of it, so that the end is an orderly one.
            stream.set_nonblocking(true).unwrap();
            while stream.read(&mut [0; 64]).is_ok_and(|n| n > 0) {}
            drop(stream);
            std::thread::sleep(Duration::from_millis(50));
        }
        drop(server);
        let Err(Trouble::Later { why, .. }) = syslog.test() else { panic!() };
        assert!(why.contains("cannot be reached"), "{why}");
    }

    #[test]
    fn values_cannot_leave_their_quotes() {
        assert_eq!(escaped("a\"]\\b\nc"), "a\\\"\\]\\\\b?c");
    }
}
