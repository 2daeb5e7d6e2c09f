//! DHCP for IPv4: who got which address from whom, and what it calls itself.
//!
//! Enters: one BOOTP datagram with DHCP options. Leaves: one [`Dhcp`] record a message; nothing is remembered between
//! them. Options are read once, front to back, also those that overflow into the `file` and `sname` fields (RFC 2132,
//! option 52); an option that is cut ends the list.

use core::net::{IpAddr, Ipv4Addr};

use super::record::{App, Dhcp};
use super::scratch::Scratch;
use super::stream::Out;
use crate::record::{Mac, Service};

/// Start of the options: the fixed fields and the magic cookie (RFC 2131).
const OPTIONS: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];

/// Whether a datagram can be DHCP: request or reply, Ethernet-like address, magic cookie.
pub fn plausible(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(1 | 2))
        && bytes.get(2).is_some_and(|len| *len <= 16)
        && bytes.get(236..OPTIONS) == Some(&COOKIE)
}

fn addr(bytes: Option<&[u8]>) -> Option<IpAddr> {
    let octets = bytes?.first_chunk::<4>()?;
    (*octets != [0; 4]).then(|| IpAddr::V4(Ipv4Addr::from(*octets)))
}

/// The options that are reported.
#[derive(Default)]
struct Options<'a> {
    message: u8,
    overload: u8,
    host_name: &'a [u8],
    fqdn: &'a [u8],
    domain: &'a [u8],
    vendor_class: &'a [u8],
    requested: Option<IpAddr>,
    server: Option<IpAddr>,
    router: Option<IpAddr>,
    lease_s: u32,
}

impl<'a> Options<'a> {
    fn read(&mut self, bytes: &'a [u8]) {
        let mut rest = bytes;
        while let Some((code, more)) = rest.split_first() {
            match code {
                0 => {
                    rest = more;
                    continue;
                }
                255 => return,
                _ => {}
            }
            let Some((len, more)) = more.split_first() else { return };
            let Some((value, more)) = more.split_at_checked(usize::from(*len)) else { return };
            rest = more;
            match code {
                3 => self.router = addr(Some(value)),
                12 => self.host_name = value,
                15 => self.domain = value,
                50 => self.requested = addr(Some(value)),
                51 => self.lease_s = super::recognise::be32(value, 0).unwrap_or(0),
                52 => self.overload = value.first().copied().unwrap_or(0),
                53 => self.message = value.first().copied().unwrap_or(0),
                54 => self.server = addr(Some(value)),
                60 => self.vendor_class = value,
                // Client FQDN: flags and two result codes in front (RFC 4702).
                81 => self.fqdn = value.get(3..).unwrap_or(&[]),
                _ => {}
            }
        }
    }
}

/// One datagram of a DHCP flow.
pub fn datagram(bytes: &[u8], room: &mut [u8], service: &mut Service, out: &mut Out<'_>) {
    if !plausible(bytes) {
        out.malformed();
        return;
    }
    *service = Service::DHCP;
    let mut options = Options::default();
    options.read(bytes.get(OPTIONS..).unwrap_or(&[]));
    if options.overload & 1 != 0 {
        options.read(bytes.get(108..236).unwrap_or(&[]));
    }
    if options.overload & 2 != 0 {
        options.read(bytes.get(44..108).unwrap_or(&[]));
    }
    if options.message == 0 {
        // BOOTP without DHCP: an address is given all the same, but there is no message type to report.
        return;
    }
    let mut scratch = Scratch::new(room);
    let mut text = |bytes: &[u8]| scratch.copy(bytes.strip_suffix(b"\0").unwrap_or(bytes));
    let name = if options.host_name.is_empty() { options.fqdn } else { options.host_name };
    let hardware = bytes.get(28..34).and_then(|b| b.first_chunk::<6>()).copied().unwrap_or_default();
    let reply = bytes.first() == Some(&2);
    let record = Dhcp {
        message: options.message,
        client_mac: Mac(hardware),
        host_name: text(name),
        domain: text(options.domain),
        vendor_class: text(options.vendor_class),
        requested: options.requested,
        // yiaddr, which only an answer fills.
        assigned: if reply { addr(bytes.get(16..20)) } else { None },
        server: options.server,
        router: options.router,
        lease_s: options.lease_s,
    };
    out.app(out.now_us, App::Dhcp(record));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::tests::Heard;

    fn message(op: u8, options: &[u8]) -> alloc::vec::Vec<u8> {
        let mut b = alloc::vec![0; OPTIONS];
        b[0] = op;
        b[1] = 1;
        b[2] = 6;
        b[16..20].copy_from_slice(&[192, 168, 1, 77]);
        b[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
        b[236..240].copy_from_slice(&COOKIE);
        b.extend_from_slice(options);
        b
    }

    #[test]
    fn an_offer_is_read_with_its_overflow() {
        let mut b = message(
            2,
            &[
                53, 1, 2, 54, 4, 192, 168, 1, 1, 51, 4, 0, 0, 14, 16, 3, 8, 192, 168, 1, 1, 192, 168, 1, 2,
                52, 1, 1, 12, 3, b'p', b'c', 0, 255, 15, 1, b'x',
            ],
        );
        b[108..113].copy_from_slice(&[15, 3, b'l', b'a', b'n']);
        let mut heard = Heard::default();
        let mut service = Service::UNKNOWN;
        heard.with(|out| datagram(&b, &mut [0; 2048], &mut service, out));
        let App::Dhcp(d) = heard.only() else { panic!("not DHCP") };
        assert_eq!((d.message, d.lease_s, &*d.host_name, &*d.domain), (2, 3600, "pc", "lan"));
        assert_eq!(d.assigned, Some(IpAddr::from([192, 168, 1, 77])));
        assert_eq!((d.server, d.router), (Some([192, 168, 1, 1].into()), Some([192, 168, 1, 1].into())));
        assert_eq!(d.client_mac, Mac([2, 0, 0, 0, 0, 9]));
        assert_eq!(service, Service::DHCP);
    }

    #[test]
    fn cut_options_and_plain_bootp_do_no_harm() {
        let mut heard = Heard::default();
        let mut service = Service::UNKNOWN;
        for b in [message(1, &[53, 1, 1, 50, 4, 10]), message(1, &[53, 1, 1, 12]), message(1, &[])] {
            heard.with(|out| datagram(&b, &mut [0; 2048], &mut service, out));
        }
        assert_eq!(heard.records.len(), 2);
        heard.with(|out| datagram(b"\x01\x01\x06", &mut [0; 16], &mut service, out));
        assert_eq!(heard.ledger.app_malformed, 1);
    }
}
