//! Deterministic fuzzing: the packets and files of the project's own captures, damaged with a fixed seed, through reader,
//! decoder, fragments and filter. Nothing may panic, reach beyond its bytes or go uncounted.

use std::io::Cursor;

use slips_agent::capture::Reader;
use slips_agent::capture::filter::Filter;
use slips_agent::packet::LinkType;

use crate::support;
use crate::support::path::{self, Path};

/// xorshift64*: fixed seed, same run everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// Damages up to four places, with values that headers care about, and cuts the end off now and then.
    fn damage(&mut self, bytes: &mut Vec<u8>, within: usize) {
        const TELLING: [u8; 14] = [0, 1, 4, 6, 17, 44, 47, 51, 60, 0x45, 0x4f, 0x60, 0x81, 0xff];
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len().min(within));
            let value =
                if self.below(2) == 0 { TELLING[self.below(TELLING.len())] } else { self.next() as u8 };
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        if self.below(4) == 0 {
            let cut = self.below(bytes.len() + 1);
            bytes.truncate(cut);
        }
    }
}

fn own_captures() -> Vec<std::path::PathBuf> {
    let own = support::own_data();
    support::captures().into_iter().filter(|p| p.starts_with(&own)).collect()
}

#[test]
fn damaged_packets() {
    let mut frames: Vec<(LinkType, Vec<u8>)> = Vec::new();
    for path in own_captures() {
        let mut reader = Reader::open(&path).unwrap();
        while let Some(f) = reader.next_packet().unwrap() {
            // One of each length is a good sample of shapes.
            if !frames.iter().any(|(_, b)| b.len() == f.bytes.len()) {
                frames.push((f.link, f.bytes.to_vec()));
            }
        }
    }
    // Shapes that the captures lack: the same packets as fragments, behind tags and in tunnels.
    let plain = frames.clone();
    for (_, bytes) in plain.iter().filter(|(_, b)| b.len() > 34 && b[12..14] == [8, 0]) {
        let mut fragment = bytes.clone();
        fragment[20] |= 0x20;
        frames.push((LinkType::Ethernet, fragment));
        frames.push((LinkType::Ethernet, [&bytes[..12], &[0x81, 0, 0, 7], &bytes[12..]].concat()));
        let outer = [
            &[0x45, 0, 0, 0, 0, 0, 0, 0, 64, 47, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 0, 0x65, 0x58][..],
            bytes,
        ]
        .concat();
        frames.push((LinkType::RawIp, outer));
        let six = [
            &[0x60, 0, 0, 0, 0, 0, 0, 64][..],
            &[0xfd; 32],
            &[60, 0, 1, 4, 0, 0, 0, 0, 44, 0, 1, 4, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 7],
            &bytes[14..],
        ]
        .concat();
        frames.push((LinkType::RawIp, six));
    }
    let filters: Vec<Filter> = ["tcp port 80 or udp", "not net 10.0.0.0/8 and ip6", "vlan 7 or icmp"]
        .iter()
        .map(|text| Filter::parse(text).unwrap())
        .collect();
    let mut random = Random(0x5eed);
    let mut path = Path::new();
    let mut passed = 0u64;
    for round in 0..200_000 {
        let (link, bytes) = &frames[random.below(frames.len())];
        let mut bytes = bytes.clone();
        random.damage(&mut bytes, 120);
        let link = if random.below(8) == 0 { path::link(random.next() as u8) } else { *link };
        let wire_len = bytes.len() as u32 + if random.below(3) == 0 { random.below(2000) as u32 } else { 0 };
        path.frame(link, &bytes, wire_len);
        passed += u64::from(filters[round % filters.len()].passes(link, &bytes, wire_len));
    }
    assert!(path.views > 50_000, "most damage still leaves a packet: {}", path.views);
    assert!(passed > 1000, "{passed}");
    path.end();
}

#[test]
fn damaged_files() {
    let mut random = Random(0xf11e);
    for file in own_captures() {
        let bytes = std::fs::read(&file).unwrap();
        for _ in 0..150 {
            let mut bytes = bytes.clone();
            let len = bytes.len();
            random.damage(&mut bytes, len);
            let Ok(mut reader) = Reader::from_reader("damaged", Box::new(Cursor::new(bytes))) else {
                continue;
            };
            let mut path = Path::new();
            let mut frames = 0;
            while let Ok(Some(f)) = reader.next_packet() {
                path.frame(f.link, f.bytes, f.wire_len);
                frames += 1;
            }
            assert_eq!(frames, reader.packets());
            path.end();
        }
    }
}
