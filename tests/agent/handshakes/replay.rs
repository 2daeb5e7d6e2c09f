//! Captures played into one parser: packets are decoded, TCP is put in order, and each flow meets the parser as the
//! inspector would present it.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use slips_agent::app::Direction;
use slips_agent::app::parser::{Datagram, DatagramParser, Outcome, Prefix, PrefixParser, Probe, Step, View};
use slips_agent::app::record::App;
use slips_agent::app::scratch::Scratch;
use slips_agent::capture::Reader;
use slips_agent::packet::{self, Ip, Net, Transport};

/// Originator and responder.
pub type Ends = [(IpAddr, u16); 2];

/// What a parser said about one flow.
pub struct Said {
    pub ends: Ends,
    pub confirmed: bool,
    pub record: Option<App<Box<str>>>,
}

/// IP packets of a capture, the insides of tunnels too.
fn packets(path: &Path, mut each: impl FnMut(&Ip<'_>)) {
    fn dig(ip: &Ip<'_>, depth: usize, each: &mut dyn FnMut(&Ip<'_>)) {
        match packet::tunnel(ip).filter(|_| depth < 4) {
            Some(t) => {
                if let Ok(inner) = packet::decode(t.link, t.bytes, t.wire_len)
                    && let Net::Ip(inner) = inner.net
                {
                    dig(&inner, depth + 1, each);
                }
            }
            None => each(ip),
        }
    }
    let Ok(mut reader) = Reader::open(path) else { return };
    // A damaged file ends early.
    while let Ok(Some(frame)) = reader.next_packet() {
        if let Ok(p) = packet::decode(frame.link, frame.bytes, frame.wire_len)
            && let Net::Ip(ip) = p.net
        {
            dig(&ip, 0, &mut each);
        }
    }
}

/// One direction of a TCP flow.
#[derive(Default)]
struct Half {
    next: Option<u32>,
    waiting: BTreeMap<u64, (Vec<u8>, u32)>,
    kept: Vec<u8>,
    closed: bool,
    seen: u64,
    /// Where the protocol begins.
    start: Option<u64>,
    raw_seen: u64,
}

struct TcpFlow<P> {
    ends: Ends,
    halves: [Half; 2],
    parser: P,
    running: bool,
    said: Said,
}

/// Plays the TCP flows of a capture. With `anywhere` the protocol may begin at any segment, as after STARTTLS.
pub fn streams<P: PrefixParser>(path: &Path, anywhere: bool) -> Vec<Said> {
    let mut order: Vec<TcpFlow<P>> = Vec::new();
    let mut index: HashMap<Ends, usize> = HashMap::new();
    packets(path, |ip| {
        let Transport::Tcp(tcp) = ip.transport else { return };
        let ends = [(ip.src, tcp.src_port), (ip.dst, tcp.dst_port)];
        let back = [ends[1], ends[0]];
        let fresh_syn = tcp.flags & 0x12 == 2;
        let found = index.get(&ends).map(|i| (*i, 0)).or_else(|| index.get(&back).map(|i| (*i, 1)));
        let found = found.filter(|(i, d)| {
            !(fresh_syn
                && *d == 0
                && order[*i].halves[0].next.is_some_and(|n| n != tcp.seq.wrapping_add(1))
                && order[*i].halves[0].raw_seen > 0)
        });
        let (i, dir) = found.unwrap_or_else(|| {
            // A capture that begins with the server's SYN-ACK still has the client as originator.
            let ends = if tcp.flags & 0x12 == 0x12 { back } else { ends };
            order.push(TcpFlow {
                ends,
                halves: Default::default(),
                parser: P::default(),
                running: true,
                said: Said { ends, confirmed: false, record: None },
            });
            index.insert(ends, order.len() - 1);
            index.remove(&[ends[1], ends[0]]);
            (order.len() - 1, usize::from(ends == back))
        });
        let flow = &mut order[i];
        let half = &mut flow.halves[dir];
        let mut seq = tcp.seq;
        if tcp.flags & 2 != 0 {
            seq = seq.wrapping_add(1);
            half.next = Some(seq);
        }
        if tcp.payload_len == 0 {
            return;
        }
        let next = *half.next.get_or_insert(seq);
        let ahead = seq.wrapping_sub(next) as i32;
        if ahead > 0 {
            half.waiting.insert(half.raw_seen + ahead as u64, (tcp.payload.to_vec(), tcp.payload_len));
            return;
        }
        let cut = ahead.unsigned_abs();
        if cut >= tcp.payload_len {
            return;
        }
        let bytes = tcp.payload.get(cut as usize..).unwrap_or_default().to_vec();
        deliver(flow, dir, &bytes, tcp.payload_len - cut, anywhere);
        loop {
            let half = &mut flow.halves[dir];
            let Some((&at, _)) = half.waiting.first_key_value().filter(|(at, _)| **at <= half.raw_seen)
            else {
                break;
            };
            let (bytes, len) = half.waiting.remove(&at).unwrap();
            let cut = (half.raw_seen - at) as u32;
            if cut < len {
                deliver(flow, dir, bytes.get(cut as usize..).unwrap_or_default(), len - cut, anywhere);
            }
        }
    });
    for flow in &mut order {
        // What still waits is behind a hole.
        for dir in 0..2 {
            while let Some((at, (bytes, len))) = flow.halves[dir].waiting.pop_first() {
                let half = &mut flow.halves[dir];
                let missed = at.saturating_sub(half.raw_seen);
                half.closed |= missed > 0;
                let cut = half.raw_seen.saturating_sub(at) as u32;
                if cut < len {
                    let rest = bytes.get(cut as usize..).unwrap_or_default();
                    deliver(
                        flow,
                        dir,
                        if missed > 0 { &[] } else { rest },
                        len - cut + missed as u32,
                        anywhere,
                    );
                }
            }
        }
        step(flow, Direction::Orig, &[], 0, true);
    }
    order.into_iter().map(|f| f.said).collect()
}

fn deliver<P: PrefixParser>(flow: &mut TcpFlow<P>, dir: usize, bytes: &[u8], len: u32, anywhere: bool) {
    let direction = if dir == 0 { Direction::Orig } else { Direction::Resp };
    let half = &mut flow.halves[dir];
    half.next = half.next.map(|n| n.wrapping_add(len));
    half.raw_seen += u64::from(len);
    if half.start.is_none() {
        if anywhere && P::probe(direction, bytes) == Probe::No {
            return;
        }
        half.start = Some(half.raw_seen - u64::from(len));
    }
    let wants = if dir == 0 { P::WANTS.0 } else { P::WANTS.1 };
    half.seen += u64::from(len);
    if !half.closed {
        let room = wants.saturating_sub(half.kept.len());
        half.kept.extend(&bytes[..bytes.len().min(room)]);
        half.closed |= half.kept.len() == wants || (bytes.len() as u32) < len;
    }
    step(flow, direction, bytes, len, false);
}

fn step<P: PrefixParser>(flow: &mut TcpFlow<P>, dir: Direction, fresh: &[u8], fresh_len: u32, over: bool) {
    if !flow.running {
        return;
    }
    let prefix = |h: &Half| -> (u64, bool) { (h.seen, !h.closed && !over) };
    let [orig, resp] = &flow.halves;
    for (half, d) in [(orig, Direction::Orig), (resp, Direction::Resp)] {
        if !half.kept.is_empty() && P::probe(d, &half.kept) == Probe::No && !flow.said.confirmed {
            flow.running = false;
            return;
        }
    }
    let view = View {
        orig: Prefix { bytes: &orig.kept, seen: prefix(orig).0, open: prefix(orig).1 },
        resp: Prefix { bytes: &resp.kept, seen: prefix(resp).0, open: prefix(resp).1 },
        dir,
        fresh,
        fresh_len,
        over,
    };
    let mut room = vec![0; 65536];
    let outcome = flow.parser.advance(&view, &mut Scratch::new(&mut room));
    note(&mut flow.said, &mut flow.running, outcome);
}

fn note(said: &mut Said, running: &mut bool, outcome: Outcome<'_>) {
    said.confirmed |= outcome.confirmed;
    if let Some(app) = outcome.record {
        assert!(said.record.is_none(), "one record per flow");
        said.record = Some(app.map(&mut |s| Box::from(*s)));
    }
    *running = outcome.step == Step::More;
}

/// Plays the UDP flows of a capture. The protocol may begin at any datagram, as DTLS does after STUN.
pub fn datagrams<P: DatagramParser>(path: &Path) -> Vec<Said> {
    struct Flow<P> {
        parser: P,
        store: Vec<u8>,
        running: bool,
        begun: bool,
        said: Said,
    }
    let mut order: Vec<Flow<P>> = Vec::new();
    let mut index: HashMap<Ends, usize> = HashMap::new();
    packets(path, |ip| {
        let Transport::Udp(udp) = ip.transport else { return };
        let ends = [(ip.src, udp.src_port), (ip.dst, udp.dst_port)];
        let back = [ends[1], ends[0]];
        let (i, dir) = match (index.get(&ends), index.get(&back)) {
            (Some(i), _) => (*i, Direction::Orig),
            (_, Some(i)) => (*i, Direction::Resp),
            _ => {
                let said = Said { ends, confirmed: false, record: None };
                order.push(Flow {
                    parser: P::default(),
                    store: vec![0; P::STORE],
                    running: true,
                    begun: false,
                    said,
                });
                index.insert(ends, order.len() - 1);
                (order.len() - 1, Direction::Orig)
            }
        };
        let flow = &mut order[i];
        flow.begun |= P::probe(dir, udp.payload) == Probe::Yes;
        if !flow.running || !flow.begun {
            return;
        }
        let mut room = vec![0; 65536];
        let datagram = Datagram { dir, bytes: udp.payload, wire_len: udp.payload_len };
        let outcome = flow.parser.datagram(&datagram, &mut flow.store, &mut Scratch::new(&mut room));
        note(&mut flow.said, &mut flow.running, outcome);
    });
    for flow in order.iter_mut().filter(|f| f.running && f.begun) {
        let mut room = vec![0; 65536];
        let outcome = flow.parser.over(&mut flow.store, &mut Scratch::new(&mut room));
        note(&mut flow.said, &mut flow.running, outcome);
    }
    order.into_iter().map(|f| f.said).collect()
}

/// Capture files below a folder, in order of their names.
pub fn captures(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(captures(&path));
        } else {
            let name = path.to_string_lossy();
            if [".pcap", ".pcapng", ".pcap.gz", ".pcapng.gz", ".cap"].iter().any(|e| name.ends_with(e)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
