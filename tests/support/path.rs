//! From a frame down to the innermost packet, checking every claim of the views against the bytes. Shared by the fuzz
//! targets and by the deterministic fuzzer of the ordinary tests.

use slips_agent::flow::fragment::{Fragments, Outcome};
use slips_agent::ledger::Ledger;
use slips_agent::packet::{self, Ip, LinkType, Net, Packet, Transport};

/// Fragments and counters of one run.
pub struct Path {
    fragments: Fragments,
    ledger: Ledger,
    offered: u64,
    now_us: u64,
    /// Frames that gave a view.
    pub views: u64,
}

/// A link type for each number.
pub fn link(number: u8) -> LinkType {
    const LINKS: [LinkType; 10] = [
        LinkType::Ethernet,
        LinkType::RawIp,
        LinkType::LinuxSll,
        LinkType::LinuxSll2,
        LinkType::Null,
        LinkType::Ppp,
        LinkType::Ieee80211,
        LinkType::Radiotap,
        LinkType::CiscoHdlc,
        LinkType::Nflog,
    ];
    LINKS[usize::from(number) % LINKS.len()]
}

fn within(outer: &[u8], inner: &[u8]) -> bool {
    let (o, i) = (outer.as_ptr_range(), inner.as_ptr_range());
    inner.is_empty() || (o.start <= i.start && i.end <= o.end)
}

impl Path {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self { fragments: Fragments::new(4, 512), ledger: Ledger::default(), offered: 0, now_us: 0, views: 0 }
    }

    /// One frame.
    pub fn frame(&mut self, link: LinkType, frame: &[u8], wire_len: u32) {
        // Fragments wait 30 s; a quarter of a second between frames lets them meet and time out.
        self.now_us += 250_000;
        let (mut link, mut bytes, mut wire_len) = (link, frame, wire_len);
        for _ in 0..8 {
            let limit = wire_len.max(bytes.len() as u32);
            let packet: Packet<'_> = match packet::decode(link, bytes, wire_len) {
                Ok(packet) => packet,
                Err(reason) => return self.ledger.drop(reason),
            };
            self.views += 1;
            let Net::Ip(ip) = packet.net else { return };
            assert!(within(frame, ip.body) && ip.ip_len <= limit);
            check(&ip);
            if ip.fragment.is_some() {
                self.offered += 1;
                if let Outcome::Complete(whole) =
                    self.fragments.offer(self.now_us, packet.vlan, &ip, &mut self.ledger)
                {
                    assert!(whole.body.len() <= 512 && whole.body_len <= 65_535);
                    if let Ok(whole) = whole.decode(&ip) {
                        check(&whole);
                    }
                }
                return;
            }
            let Some(inner) = packet::tunnel(&ip) else { return };
            assert!(within(ip.body, inner.bytes) && inner.wire_len < ip.ip_len);
            (link, bytes, wire_len) = (inner.link, inner.bytes, inner.wire_len);
        }
    }

    /// The input is over: the counters have to add up.
    pub fn end(mut self) {
        let pending = self.fragments.pending();
        assert_eq!(self.ledger.fragments_joined + self.ledger.fragments_lost + pending, self.offered);
        self.fragments.finish(&mut self.ledger);
        assert_eq!(self.ledger.fragments_joined + self.ledger.fragments_lost, self.offered);
    }
}

fn check(ip: &Ip<'_>) {
    assert!(ip.body_len < ip.ip_len && ip.body.len() <= ip.body_len as usize);
    let payload = match ip.transport {
        Transport::Tcp(t) => Some((t.payload, t.payload_len)),
        Transport::Udp(u) => Some((u.payload, u.payload_len)),
        Transport::Icmp(i) => Some((i.payload, i.payload_len)),
        Transport::Sctp(s) => Some((s.payload, s.payload_len)),
        Transport::Other | Transport::Fragment => None,
    };
    assert_eq!(ip.fragment.is_some(), matches!(ip.transport, Transport::Fragment));
    if let Some((payload, len)) = payload {
        assert!(within(ip.body, payload) && payload.len() <= len as usize && len < ip.body_len);
    }
}
