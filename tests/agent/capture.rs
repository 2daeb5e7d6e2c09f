//! The capture room against two independent readers: `pcap-parser` packet by packet, and what tshark counted.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};
use slips_agent::capture::Reader;
use slips_agent::packet::LinkType;

use crate::support;

#[derive(PartialEq, Eq, Debug)]
struct Packet {
    ts_us: u64,
    link: LinkType,
    bytes: Vec<u8>,
    wire_len: u32,
}

fn ours(path: &Path) -> Vec<Packet> {
    let mut reader = Reader::open(path).unwrap_or_else(|e| panic!("{e}"));
    let mut all = Vec::new();
    while let Some(f) = reader.next_packet().unwrap_or_else(|e| panic!("{e}")) {
        all.push(Packet { ts_us: f.ts_us, link: f.link, bytes: f.bytes.to_vec(), wire_len: f.wire_len });
    }
    assert_eq!(reader.bytes_read(), path.metadata().unwrap().len(), "{}", path.display());
    assert_eq!(reader.size(), Some(reader.bytes_read()));
    all
}

fn unpacked(path: &Path) -> Box<dyn Read + Send> {
    let file = File::open(path).unwrap();
    if path.extension().is_some_and(|e| e == "gz") {
        Box::new(flate2::read::MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    }
}

fn theirs(path: &Path) -> Vec<Packet> {
    let mut reader = create_reader(1 << 19, unpacked(path)).unwrap();
    let mut all = Vec::new();
    let (mut link, mut nanos) = (0u16, false);
    let mut interfaces: Vec<(u16, u64, i64)> = Vec::new();
    loop {
        match reader.next() {
            Ok((used, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(h) => {
                        link = (h.network.0 & 0xffff) as u16;
                        nanos = h.is_nanosecond_precision();
                    }
                    PcapBlockOwned::Legacy(b) => all.push(Packet {
                        ts_us: u64::from(b.ts_sec) * 1_000_000
                            + u64::from(if nanos { b.ts_usec / 1000 } else { b.ts_usec }),
                        link: LinkType::from_dlt(link),
                        bytes: b.data.to_vec(),
                        wire_len: b.origlen,
                    }),
                    PcapBlockOwned::NG(Block::SectionHeader(_)) => interfaces.clear(),
                    PcapBlockOwned::NG(Block::InterfaceDescription(i)) => interfaces.push((
                        u16::try_from(i.linktype.0).unwrap(),
                        i.ts_resolution().unwrap(),
                        i.ts_offset(),
                    )),
                    PcapBlockOwned::NG(Block::EnhancedPacket(b)) => {
                        let (link, resolution, offset) = interfaces[b.if_id as usize];
                        let (sec, fraction) = b.decode_ts(offset.cast_unsigned(), resolution);
                        let us = u128::from(fraction) * 1_000_000 / u128::from(resolution);
                        all.push(Packet {
                            ts_us: u64::from(sec) * 1_000_000 + u64::try_from(us).unwrap(),
                            link: LinkType::from_dlt(link),
                            bytes: b.packet_data().to_vec(),
                            wire_len: b.origlen,
                        });
                    }
                    PcapBlockOwned::NG(Block::SimplePacket(_)) => {
                        panic!("{}: no oracle for simple packets", path.display())
                    }
                    PcapBlockOwned::NG(_) => {}
                }
                reader.consume(used);
            }
            Err(PcapError::Eof) => return all,
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(e) => panic!("{}: {e:?}", path.display()),
        }
    }
}

#[test]
fn every_capture_is_read_as_pcap_parser_does() {
    let mut packets = 0;
    let captures = support::captures();
    for path in &captures {
        let (ours, theirs) = (ours(path), theirs(path));
        assert_eq!(ours.len(), theirs.len(), "{}", path.display());
        for (i, (a, b)) in ours.iter().zip(&theirs).enumerate() {
            assert!(a == b, "{} packet {}: {a:?} {b:?}", path.display(), i + 1);
        }
        packets += ours.len();
    }
    println!("{} files, {packets} packets", captures.len());
    assert!(packets > 1000);
}

/// Packets, bytes, first and last time of each public capture, as tshark counted them.
#[test]
fn every_capture_has_what_tshark_counted() {
    let Some(data) = support::public_data() else { return };
    let Ok(facts) = std::fs::read_to_string(data.join("facts.jsonl")) else { return };
    let mut files = 0;
    for line in facts.lines() {
        let fact: serde_json::Value = serde_json::from_str(line).unwrap();
        if fact["tshark_says"].as_str().is_some_and(|s| s.contains("unsupported")) {
            continue;
        }
        let path = data.join(fact["file"].as_str().unwrap());
        let Ok(mut reader) = Reader::open(&path) else { continue };
        files += 1;
        let (mut packets, mut bytes, mut first, mut last) = (0u64, 0u64, None::<u64>, 0u64);
        while let Ok(Some(f)) = reader.next_packet() {
            packets += 1;
            bytes += u64::from(f.wire_len);
            // Earliest and latest: some captures are not in order.
            first = Some(first.map_or(f.ts_us, |t: u64| t.min(f.ts_us)));
            last = f.ts_us.max(last);
        }
        let name = path.display();
        assert_eq!(Some(packets), fact["packets"].as_u64(), "{name}");
        assert_eq!(Some(bytes), fact["wire_bytes"].as_u64(), "{name}");
        if fact["first"].as_f64().is_some_and(|s| s < 0.0) {
            // Fractions beyond their second (timestamp_invalid_nano.pcap): tshark prints them as negative, we add them.
            continue;
        }
        for (key, us) in [("first", first.unwrap_or(0)), ("last", last)] {
            let Some(seconds) = fact[key].as_f64() else { continue };
            // A double of this size is exact to a quarter of a microsecond.
            assert!((seconds - us as f64 / 1e6).abs() < 2e-6, "{name} {key}: {seconds} {us}");
        }
    }
    println!("{files} files");
    assert!(files > 0);
}
