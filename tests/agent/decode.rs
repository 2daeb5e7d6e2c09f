//! The packet room against `etherparse`, an independent decoder, over every packet of every capture at hand.
//!
//! Addresses, protocol, ports, TCP fields and payload lengths (captured and on the wire) have to be equal. Each way in
//! which the two may differ has a name and a reason below; any other difference fails. The mistake this prevents: an
//! offset or length that is wrong only in a rare shape of packet, which no hand-made frame has.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use etherparse::err::Layer;
use etherparse::{
    EtherType, LaxLinkExtSlice, LaxNetSlice, LaxSlicedPacket, LinuxSllProtocolType, LinuxSllSlice,
    TransportSlice,
};
use slips_agent::capture::Reader;
use slips_agent::packet::{self, Drop, LinkType, Net, Transport};

use crate::support;

/// What both decoders say of a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
struct View {
    src: IpAddr,
    dst: IpAddr,
    proto: u8,
    fragment: bool,
    /// Captured length of what follows the IP header and its extensions.
    body: usize,
    upper: Upper,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Upper {
    Tcp {
        ports: (u16, u16),
        seq: u32,
        ack: u32,
        flags: u8,
        window: u16,
        captured: usize,
        wire: u32,
    },
    Udp {
        ports: (u16, u16),
        captured: usize,
        wire: u32,
    },
    Icmp {
        kind: u8,
        code: u8,
        captured: usize,
    },
    /// No layer 4 that both know.
    None,
}

/// Differences that are meant, and how many of each the public captures have at most. More of them means that something
/// has changed; less, that other captures were there.
const TOLERATED: [(Tolerated, u64); 7] = [
    (Tolerated::MoreLinkLayers, 21),
    (Tolerated::LongerThanItsFrame, 9),
    (Tolerated::UdpLength, 19),
    (Tolerated::TransportCut, 1),
    (Tolerated::ExtensionCut, 1),
    (Tolerated::ExtensionOrder, 2),
    (Tolerated::MacSec, 1),
];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Tolerated {
    /// We follow MPLS, PPPoE, LLC/SNAP, backbone and VN tags, old QinQ and more than three tags; etherparse does not.
    MoreLinkLayers,
    /// The IP length is beyond the frame on the wire. A host drops such a packet, and so do we.
    LongerThanItsFrame,
    /// The UDP length is beyond the packet or below eight. A host drops such a datagram, and so do we.
    UdpLength,
    /// Both find layer 4 cut. We refuse the packet by name, etherparse shows the IP header before it.
    TransportCut,
    /// Both find an extension header cut. We refuse the packet by name, etherparse shows the headers before it.
    ExtensionCut,
    /// etherparse stops at a hop-by-hop header that is not the first, and goes on behind a fragment header; we follow the
    /// first and stop at the second, behind which only the whole datagram says what comes.
    ExtensionOrder,
    /// MACsec that only signs. etherparse reads on, we call the frame no IP.
    MacSec,
}

fn ours(link: LinkType, bytes: &[u8], wire_len: u32) -> Result<Option<View>, Drop> {
    let packet = packet::decode(link, bytes, wire_len)?;
    let Net::Ip(ip) = packet.net else { return Ok(None) };
    let upper = match ip.transport {
        Transport::Tcp(t) => Upper::Tcp {
            ports: (t.src_port, t.dst_port),
            seq: t.seq,
            ack: t.ack,
            flags: t.flags,
            window: t.window,
            captured: t.payload.len(),
            wire: t.payload_len,
        },
        Transport::Udp(u) => {
            Upper::Udp { ports: (u.src_port, u.dst_port), captured: u.payload.len(), wire: u.payload_len }
        }
        Transport::Icmp(i) => Upper::Icmp { kind: i.kind, code: i.code, captured: i.payload.len() },
        Transport::Sctp(_) | Transport::Other | Transport::Fragment => Upper::None,
    };
    Ok(Some(View {
        src: ip.src,
        dst: ip.dst,
        proto: ip.proto,
        fragment: ip.fragment.is_some(),
        body: ip.body.len(),
        upper,
    }))
}

/// `None`: a link type, or something on it, that etherparse does not decode.
fn theirs(link: LinkType, bytes: &[u8]) -> Option<LaxSlicedPacket<'_>> {
    match link {
        LinkType::Ethernet => LaxSlicedPacket::from_ethernet(bytes).ok(),
        LinkType::RawIp => LaxSlicedPacket::from_ip(bytes).ok(),
        LinkType::Null => LaxSlicedPacket::from_ip(bytes.get(4..)?).ok(),
        LinkType::LinuxSll => {
            let sll = LinuxSllSlice::from_slice(bytes).ok()?;
            match sll.protocol_type() {
                LinuxSllProtocolType::EtherType(t) => {
                    Some(LaxSlicedPacket::from_ether_type(t, sll.payload_slice()))
                }
                _ => None,
            }
        }
        LinkType::LinuxSll2 => {
            let t = u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
            Some(LaxSlicedPacket::from_ether_type(EtherType(t), bytes.get(20..)?))
        }
        _ => None,
    }
}

fn view(sliced: &LaxSlicedPacket<'_>) -> Option<View> {
    let (src, dst, payload, total): (IpAddr, IpAddr, _, u32) = match sliced.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => {
            let h = ip.header();
            let total = u32::from(h.total_len()).saturating_sub(h.slice().len() as u32);
            let total = ip.extensions().auth.map_or(total, |a| total.saturating_sub(a.slice().len() as u32));
            (h.source_addr().into(), h.destination_addr().into(), ip.payload(), total)
        }
        LaxNetSlice::Ipv6(ip) => {
            let h = ip.header();
            let total = u32::from(h.payload_length()).saturating_sub(ip.extensions().slice().len() as u32);
            (h.source_addr().into(), h.destination_addr().into(), ip.payload(), total)
        }
        LaxNetSlice::Arp(_) => return None,
    };
    let upper = match sliced.transport.as_ref() {
        Some(TransportSlice::Tcp(t)) => {
            let bits = [t.fin(), t.syn(), t.rst(), t.psh(), t.ack(), t.urg(), t.ece(), t.cwr()];
            Upper::Tcp {
                ports: (t.source_port(), t.destination_port()),
                seq: t.sequence_number(),
                ack: t.acknowledgment_number(),
                flags: bits.iter().rev().fold(0, |flags, bit| flags << 1 | u8::from(*bit)),
                window: t.window_size(),
                captured: t.payload().len(),
                // Zero: offload; etherparse then takes what was captured.
                wire: if total == 0 {
                    t.payload().len() as u32
                } else {
                    total - t.header_slice().len() as u32
                },
            }
        }
        Some(TransportSlice::Udp(u)) => Upper::Udp {
            ports: (u.source_port(), u.destination_port()),
            captured: u.payload().len(),
            wire: u32::from(u.length()).saturating_sub(8),
        },
        Some(TransportSlice::Icmpv4(i)) => {
            Upper::Icmp { kind: i.type_u8(), code: i.code_u8(), captured: i.slice().len().saturating_sub(8) }
        }
        Some(TransportSlice::Icmpv6(i)) => {
            Upper::Icmp { kind: i.type_u8(), code: i.code_u8(), captured: i.slice().len().saturating_sub(8) }
        }
        Some(TransportSlice::Igmp(_)) | None => Upper::None,
    };
    Some(View {
        src,
        dst,
        proto: payload.ip_number.0,
        fragment: payload.fragmented,
        body: payload.payload.len(),
        upper,
    })
}

#[derive(Default)]
struct Tally {
    files: usize,
    packets: u64,
    equal: u64,
    both_refuse: u64,
    no_oracle: u64,
    tolerated: BTreeMap<Tolerated, u64>,
    wrong: Vec<String>,
}

/// Whether the IP header claims more than the frame had on the wire.
fn beyond_frame(sliced: &LaxSlicedPacket<'_>, bytes: &[u8], wire_len: u32) -> bool {
    let (header, claims): (&[u8], usize) = match sliced.net.as_ref() {
        Some(LaxNetSlice::Ipv4(ip)) => {
            (bytes_of(bytes, ip.header().slice()), usize::from(ip.header().total_len()))
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            (bytes_of(bytes, ip.header().slice()), usize::from(ip.header().payload_length()) + 40)
        }
        _ => return false,
    };
    let before = bytes.len() - header.len();
    before + claims > (wire_len as usize).max(bytes.len())
}

/// `outer` from where `inner` begins.
fn bytes_of<'a>(outer: &'a [u8], inner: &[u8]) -> &'a [u8] {
    &outer[inner.as_ptr() as usize - outer.as_ptr() as usize..]
}

/// The name of a difference, if it is one that is meant.
fn tolerate(
    bytes: &[u8],
    wire_len: u32,
    ours: &Result<Option<View>, Drop>,
    sliced: &LaxSlicedPacket<'_>,
    theirs: Option<&View>,
) -> Option<Tolerated> {
    let same_ends = |a: &View, b: &View| (a.src, a.dst) == (b.src, b.dst);
    let stopped = sliced.stop_err.as_ref().map(|(_, layer)| *layer);
    match (ours, theirs) {
        (Ok(Some(_)), None) if sliced.net.is_none() && sliced.stop_err.is_none() => {
            Some(Tolerated::MoreLinkLayers)
        }
        (Err(Drop::IpMalformed), Some(_)) if beyond_frame(sliced, bytes, wire_len) => {
            Some(Tolerated::LongerThanItsFrame)
        }
        (Err(Drop::TransportMalformed), Some(View { body, upper: Upper::Udp { wire, .. }, .. }))
            if *wire == 0 || *wire as usize + 8 > *body =>
        {
            Some(Tolerated::UdpLength)
        }
        (Err(Drop::TransportTruncated | Drop::TransportMalformed), Some(View { upper: Upper::None, .. }))
            if matches!(
                stopped,
                Some(Layer::TcpHeader | Layer::UdpHeader | Layer::Icmpv4 | Layer::Icmpv6)
            ) =>
        {
            Some(Tolerated::TransportCut)
        }
        (Err(Drop::ExtensionMalformed | Drop::IpTruncated), Some(View { upper: Upper::None, .. }))
            if matches!(
                stopped,
                Some(
                    Layer::IpAuthHeader
                        | Layer::Ipv6DestOptionsHeader
                        | Layer::Ipv6FragHeader
                        | Layer::Ipv6HopByHopHeader
                        | Layer::Ipv6RouteHeader
                )
            ) =>
        {
            Some(Tolerated::ExtensionCut)
        }
        (Ok(Some(a)), Some(b)) if same_ends(a, b) && stopped == Some(Layer::Ipv6HopByHopHeader) => {
            Some(Tolerated::ExtensionOrder)
        }
        (Ok(Some(a)), Some(b)) if same_ends(a, b) && a.proto == 44 && a.fragment && b.fragment => {
            Some(Tolerated::ExtensionOrder)
        }
        (Err(Drop::NotIp), Some(_))
            if sliced.link_exts.iter().any(|e| matches!(e, LaxLinkExtSlice::Macsec(_))) =>
        {
            Some(Tolerated::MacSec)
        }
        _ => None,
    }
}

fn compare(path: &Path, tally: &mut Tally) {
    let Ok(mut reader) = Reader::open(path) else { return };
    tally.files += 1;
    // A damaged capture is compared up to its damage; that the reader finds it is another test's business.
    while let Ok(Some(frame)) = reader.next_packet() {
        tally.packets += 1;
        let ours = ours(frame.link, frame.bytes, frame.wire_len);
        let Some(sliced) = theirs(frame.link, frame.bytes) else {
            tally.no_oracle += 1;
            continue;
        };
        let theirs = view(&sliced);
        let their_arp = matches!(sliced.net, Some(LaxNetSlice::Arp(_)));
        match (&ours, &theirs) {
            (Ok(Some(a)), Some(b)) if a == b => tally.equal += 1,
            (Ok(None), None) if their_arp => tally.equal += 1,
            (Err(Drop::ArpMalformed), None) => tally.both_refuse += 1,
            (Err(_), None) if !their_arp => tally.both_refuse += 1,
            _ => match tolerate(frame.bytes, frame.wire_len, &ours, &sliced, theirs.as_ref()) {
                Some(kind) => *tally.tolerated.entry(kind).or_default() += 1,
                None => tally.wrong.push(format!(
                    "{} ({} of {} bytes): ours {ours:?}, theirs {theirs:?}, stopped {:?}",
                    path.display(),
                    frame.bytes.len(),
                    frame.wire_len,
                    sliced.stop_err
                )),
            },
        }
    }
}

#[test]
fn every_packet_is_decoded_as_etherparse_does() {
    let own = support::own_data();
    let mut mine = Tally::default();
    let mut all = Tally::default();
    for path in support::captures() {
        compare(&path, if path.starts_with(&own) { &mut mine } else { &mut all });
    }
    for (name, tally) in [("own", &mine), ("public", &all)] {
        println!(
            "{name}: {} files, {} packets: {} equal, {} refused by both, {} on links etherparse does not know, tolerated {:?}",
            tally.files, tally.packets, tally.equal, tally.both_refuse, tally.no_oracle, tally.tolerated
        );
        for line in tally.wrong.iter().take(20) {
            println!("{line}");
        }
        assert!(tally.wrong.is_empty(), "{} packets differ", tally.wrong.len());
        assert_eq!(
            tally.packets,
            tally.equal + tally.both_refuse + tally.no_oracle + tally.tolerated.values().sum::<u64>()
        );
    }
    assert!(
        mine.packets > 0 && mine.equal == mine.packets,
        "the project's own captures are decoded alike to the last packet"
    );
    for (kind, count) in &all.tolerated {
        let most = TOLERATED.iter().find(|(k, _)| k == kind).map_or(0, |(_, most)| *most);
        assert!(*count <= most, "{kind:?}: {count} differences, at most {most} are explained");
    }
}
