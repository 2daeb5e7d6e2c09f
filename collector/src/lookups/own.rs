//! Under which address the internet sees this network.
//!
//! Enters: who may be asked. Leaves: public addresses, renewed every hour, since providers change them at night. The router is asked by NAT-PMP
//! (RFC 6886), which stays in the house; a server outside only if the owner wants that, as Slips does. Prevents: a home that is accused of its own
//! address, because somebody had it before and it is on a list.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::config::lookups::LookUps;
use crate::http::{Client, Limits};
use crate::profile::addr;

/// Who is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// Nobody.
    Nobody,
    /// The router.
    Router,
    /// A server outside.
    Web,
}

impl Ask {
    /// All, by the word in the configuration.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Nobody, "no"), (Self::Router, "router"), (Self::Web, "web")];
}

/// Port of NAT-PMP on a router.
pub const NAT_PMP: u16 = 5351;
/// First pause for an answer; it doubles with each of the tries (RFC 6886, 3.1; fewer of them).
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const TRIES: u32 = 4;

/// Asks for the address. `None` when there is none that is public, as behind a provider's own NAT.
///
/// # Errors
/// One clause: there is no answer.
pub fn find(config: &LookUps) -> Result<Option<IpAddr>, String> {
    let found = match config.public_address {
        Ask::Nobody => return Ok(None),
        Ask::Router => {
            let router = config.router.or_else(default_router).ok_or("this system names no router")?;
            nat_pmp(router).map_err(|e| format!("the router does not say: {}", crate::output::reason(&e)))?
        }
        Ask::Web => web(config)?,
    };
    Ok(Some(found).filter(|found| addr::is_public(*found)))
}

fn nat_pmp(router: SocketAddr) -> io::Result<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(router)?;
    for n in 0..TRIES {
        // Version 0, opcode 0: the external address.
        socket.send(&[0, 0])?;
        let until = Instant::now() + FIRST_PAUSE * 2_u32.pow(n);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left))?;
            let mut answer = [0; 16];
            let Ok(length) = socket.recv(&mut answer) else { break };
            match answer.get(..length) {
                Some([0, 128, 0, 0, _, _, _, _, a, b, c, d]) => {
                    return Ok(Ipv4Addr::new(*a, *b, *c, *d).into());
                }
                Some([0, 128, ..]) => return Err(io::Error::other("it refuses")),
                // Of another version, or no answer to this.
                _ => {}
            }
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// The address as text, or as `ip` of a JSON object.
fn web(config: &LookUps) -> Result<IpAddr, String> {
    let limits = Limits { whole: Duration::from_secs(config.timeout_s), ..Limits::default() };
    let client = Client::through(limits, config.ca_file.as_deref(), config.proxy.as_deref())?;
    let answer = client.get(&config.public_address_server, &[]).map_err(|failure| failure.0)?;
    if answer.status != 200 {
        return Err(format!("gives an unexpected answer (HTTP {})", answer.status));
    }
    let text = String::from_utf8_lossy(&answer.body);
    let value: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    let text = value.as_ref().and_then(|value| value.get("ip")?.as_str()).unwrap_or(&text);
    text.trim().parse().map_err(|_| "does not answer with an address".to_owned())
}

/// The router of the default route.
fn default_router() -> Option<SocketAddr> {
    routes(&std::fs::read_to_string("/proc/net/route").ok()?)
}

/// Of Linux' table: the gateway of the route to everywhere with the least metric; addresses are hexadecimal in the machine's order.
fn routes(table: &str) -> Option<SocketAddr> {
    let gateways = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let &[_, to, gateway, _, _, _, metric, mask, ..] = fields.as_slice() else { return None };
        let gateway = Ipv4Addr::from(u32::from_str_radix(gateway, 16).ok()?.to_ne_bytes());
        let everywhere = to == "00000000" && mask == "00000000" && !gateway.is_unspecified();
        everywhere.then_some((metric.parse::<u32>().ok()?, gateway))
    });
    gateways.min().map(|(_, gateway)| SocketAddr::new(gateway.into(), NAT_PMP))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookups::tests::http::{Answer, Server};

    /// A router that answers each request with the next of these.
    fn router(answers: &'static [&'static [u8]]) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            for answer in answers {
                let mut asked = [0; 16];
                let (length, from) = socket.recv_from(&mut asked).unwrap();
                assert_eq!(asked[..length], [0, 0]);
                socket.send_to(answer, from).unwrap();
            }
        });
        addr
    }

    fn asks(router: SocketAddr) -> Result<Option<IpAddr>, String> {
        find(&LookUps { public_address: Ask::Router, router: Some(router), ..LookUps::default() })
    }

    #[test]
    fn the_router_is_asked() {
        assert_eq!(
            asks(router(&[&[0, 128, 0, 0, 0, 0, 1, 0, 8, 8, 4, 4]])),
            Ok(Some("8.8.4.4".parse().unwrap()))
        );
        assert_eq!(
            asks(router(&[&[0, 128, 0, 0, 0, 0, 1, 0, 100, 64, 0, 1]])),
            Ok(None),
            "a provider's own NAT"
        );
        assert!(
            asks(router(&[&[0, 128, 0, 3, 0, 0, 1, 0]])).unwrap_err().starts_with("the router does not say")
        );
        // A router of PCP answers in its version, and one answer is lost.
        static TWICE: [&[u8]; 2] = [&[2, 128, 0, 1], &[0, 128, 0, 0, 0, 0, 1, 0, 8, 8, 4, 4]];
        assert_eq!(asks(router(&TWICE)).unwrap().unwrap().to_string(), "8.8.4.4");
        let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(asks(nobody).is_err());
    }

    #[test]
    fn a_server_outside_is_asked() {
        let server = Server::start(|_, request| match request.path.as_str() {
            "/json" => Answer::Says(200, "", "{\"ip\": \"8.8.4.4\", \"city\": \"x\"}".to_owned()),
            "/text" => Answer::Says(200, "", "2606:4700::1\n".to_owned()),
            "/words" => Answer::Says(200, "", "<html>".to_owned()),
            _ => Answer::Says(429, "", String::new()),
        });
        let ask = |path: &str| {
            let public_address_server = server.url(path);
            find(&LookUps { public_address: Ask::Web, public_address_server, ..LookUps::default() })
                .map(|found| found.map(|addr| addr.to_string()))
        };
        assert_eq!(ask("/json"), Ok(Some("8.8.4.4".to_owned())));
        assert_eq!(ask("/text"), Ok(Some("2606:4700::1".to_owned())));
        assert_eq!(ask("/words"), Err("does not answer with an address".to_owned()));
        assert_eq!(ask("/"), Err("gives an unexpected answer (HTTP 429)".to_owned()));
        assert_eq!(find(&LookUps { public_address: Ask::Nobody, ..LookUps::default() }), Ok(None));
    }

    #[test]
    fn the_default_route() {
        let head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
        let hex =
            |text: &str| format!("{:08X}", u32::from_ne_bytes(text.parse::<Ipv4Addr>().unwrap().octets()));
        let line = |to: &str, gateway: &str, metric: u32, mask: &str| {
            format!("eth0\t{}\t{}\t0003\t0\t0\t{metric}\t{}\t0\t0\t0\n", hex(to), hex(gateway), hex(mask))
        };
        let table = head.to_owned()
            + &line("0.0.0.0", "192.168.2.1", 600, "0.0.0.0")
            + &line("0.0.0.0", "192.168.1.1", 100, "0.0.0.0")
            + &line("10.0.0.0", "192.168.1.9", 0, "255.0.0.0");
        assert_eq!(routes(&table), Some("192.168.1.1:5351".parse().unwrap()));
        assert_eq!(routes(head), None);
    }
}
