//! Captures made byte by byte in every variant, then packed, cut, damaged and made to lie.

use std::io::{Cursor, Write};

use proptest::prelude::*;

use super::*;

/// (time µs, wire length, bytes)
type Packet = (u64, u32, Vec<u8>);

fn open(bytes: &[u8]) -> Result<Reader, Error> {
    Reader::from_reader("test", Box::new(Cursor::new(bytes.to_vec())))
}

/// All packets, and how it ended.
fn read(bytes: &[u8]) -> (Vec<(LinkType, Packet)>, Option<Error>) {
    let mut reader = match open(bytes) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut all = Vec::new();
    loop {
        match reader.next_packet() {
            Ok(Some(f)) => all.push((f.link, (f.ts_us, f.wire_len, f.bytes.to_vec()))),
            Ok(None) => return (all, None),
            Err(error) => {
                assert!(reader.next_packet().unwrap().is_none(), "an error is told once");
                return (all, Some(error));
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Order(bool);

impl Order {
    fn u16(self, v: u16) -> [u8; 2] {
        if self.0 { v.to_be_bytes() } else { v.to_le_bytes() }
    }
    fn u32(self, v: u32) -> [u8; 4] {
        if self.0 { v.to_be_bytes() } else { v.to_le_bytes() }
    }
    fn u64(self, v: u64) -> [u8; 8] {
        if self.0 { v.to_be_bytes() } else { v.to_le_bytes() }
    }

    fn pcap(self, magic: u32, dlt: u32, unit: u64, packets: &[Packet]) -> Vec<u8> {
        let mut out =
            [self.u32(magic), self.u32(0x0004_0002), [0; 4], [0; 4], self.u32(65_535), self.u32(dlt)]
                .concat();
        for (ts, wire_len, bytes) in packets {
            out.extend(self.u32((ts / 1_000_000) as u32));
            out.extend(self.u32((ts % 1_000_000 * unit) as u32));
            out.extend(self.u32(bytes.len() as u32));
            out.extend(self.u32(*wire_len));
            if magic == 0xa1b2_cd34 {
                out.extend([0xee; 8]);
            }
            out.extend(bytes);
        }
        out
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let len = self.u32((12 + body.len().next_multiple_of(4)) as u32);
        let mut out = [&self.u32(kind)[..], &len, body].concat();
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(len);
        out
    }

    fn section(self) -> Vec<u8> {
        let body = [&self.u32(0x1a2b_3c4d)[..], &self.u16(1), &self.u16(0), &[0xff; 8]].concat();
        self.block(SECTION, &body)
    }

    fn interface(self, dlt: u16, snap_len: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
        let body = [&self.u16(dlt)[..], &[0, 0], &self.u32(snap_len), &self.options(options)].concat();
        self.block(1, &body)
    }

    fn options(self, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (code, value) in options {
            out.extend(self.u16(*code));
            out.extend(self.u16(value.len() as u16));
            out.extend(*value);
            out.resize(out.len().next_multiple_of(4), 0);
        }
        if !out.is_empty() {
            out.extend([0; 4]);
        }
        out
    }

    fn enhanced(self, id: u32, ticks: u64, (_, wire_len, bytes): &Packet) -> Vec<u8> {
        let mut body = [
            self.u32(id),
            self.u32((ticks >> 32) as u32),
            self.u32(ticks as u32),
            self.u32(bytes.len() as u32),
            self.u32(*wire_len),
        ]
        .concat();
        body.extend(bytes);
        body.resize(body.len().next_multiple_of(4), 0);
        // A comment, as Wireshark writes it.
        body.extend(self.options(&[(1, b"seen")]));
        self.block(6, &body)
    }
}

const SECTION: u32 = 0x0a0d_0d0a;

fn packets(n: usize) -> Vec<Packet> {
    (0..n)
        .map(|i| {
            let len = i * 37 % 300;
            let bytes = (0..len).map(|b| (b * 31 + i) as u8).collect();
            // Backwards from time to time: passed on as it is.
            (1_700_000_000_000_000 + (i as u64 * 1_234_567) % 9_999_999, (len + i % 3 * 1000) as u32, bytes)
        })
        .collect()
}

fn expect(link: LinkType, packets: &[Packet]) -> Vec<(LinkType, Packet)> {
    packets.iter().map(|p| (link, p.clone())).collect()
}

#[test]
fn pcap_in_both_orders_and_units() {
    let all = packets(20);
    for big in [false, true] {
        for (magic, unit) in [(0xa1b2_c3d4, 1), (0xa1b2_3c4d, 1000), (0xa1b2_cd34, 1)] {
            let file = Order(big).pcap(magic, 113, unit, &all);
            let (got, error) = read(&file);
            assert!(error.is_none(), "{error:?}");
            assert_eq!(got, expect(LinkType::LinuxSll, &all), "{magic:x} {big}");
        }
    }
    // The upper bits of the link type announce a frame checksum.
    let (got, _) = read(&Order(false).pcap(0xa1b2_c3d4, 0x4400_0001, 1, &all));
    assert_eq!(got.first().unwrap().0, LinkType::Ethernet);
    let (got, error) = read(&Order(false).pcap(0xa1b2_c3d4, 1, 1, &[]));
    assert!(got.is_empty() && error.is_none(), "a capture without packets is a good one");
}

#[test]
fn pcapng_with_sections_interfaces_and_resolutions() {
    let all = packets(6);
    let mut file = Vec::new();
    for big in [false, true] {
        let o = Order(big);
        file.extend(o.section());
        file.extend(o.interface(1, 0, &[]));
        file.extend(o.interface(101, 0, &[(2, b"eth0"), (9, &[9])]));
        file.extend(o.interface(113, 96, &[(9, &[0x8a]), (14, &o.u64((-3600i64).cast_unsigned()))]));
        file.extend(o.interface(276, 0, &[(9, &[3]), (14, &o.u64(7))]));
        // Unknown block, name resolution, decryption secrets.
        for kind in [0x0bad, 4, 10] {
            file.extend(o.block(kind, &[0x77; 33]));
        }
        file.extend(o.enhanced(0, all[0].0, &all[0]));
        file.extend(o.enhanced(1, all[1].0 * 1000 + 999, &all[1]));
        let ticks = ((u128::from(all[2].0 + 3_600_000_000) * 1024).div_ceil(1_000_000)) as u64;
        file.extend(o.enhanced(2, ticks, &all[2]));
        file.extend(o.enhanced(3, (all[3].0 - 7_000_000) / 1000, &all[3]));
        let mut old = [o.u16(1), o.u16(5)].concat();
        old.extend(o.u32(((all[4].0 * 1000) >> 32) as u32));
        old.extend(o.u32((all[4].0 * 1000) as u32));
        old.extend(o.u32(all[4].2.len() as u32));
        old.extend(o.u32(all[4].1));
        old.extend(&all[4].2);
        file.extend(o.block(2, &old));
        file.extend(o.block(3, &[&o.u32(3)[..], b"abc"].concat()));
    }
    let (got, error) = read(&file);
    assert!(error.is_none(), "{error:?}");
    let once: Vec<_> =
        [LinkType::Ethernet, LinkType::RawIp, LinkType::LinuxSll, LinkType::LinuxSll2, LinkType::RawIp]
            .into_iter()
            .zip(&all)
            .map(|(link, p)| (link, p.clone()))
            .collect();
    for section in 0..2 {
        let got = &got[section * 6..section * 6 + 6];
        for (i, (have, want)) in got.iter().zip(&once).enumerate() {
            assert_eq!((have.0, have.1.1, &have.1.2), (want.0, want.1.1, &want.1.2), "{i}");
            let unit = [1, 1, 977, 1000, 1][i];
            assert!(have.1.0.abs_diff(want.1.0) < unit, "{i}: {} {}", have.1.0, want.1.0);
        }
        assert_eq!(got[5], (LinkType::Ethernet, (got[4].1.0, 3, b"abc".to_vec())), "no time of its own");
    }
}

#[test]
fn simple_packets_end_at_the_snap_length() {
    let o = Order(false);
    let file =
        [o.section(), o.interface(1, 4, &[]), o.block(3, &[&o.u32(9)[..], &[1, 2, 3, 4]].concat())].concat();
    assert_eq!(read(&file).0, vec![(LinkType::Ethernet, (0, 9, vec![1, 2, 3, 4]))]);
}

#[test]
fn losses_while_capturing_are_told() {
    let o = Order(true);
    let statistics = |id: u32, dropped: u64, system: u64| {
        let options = o.options(&[(4, &[9; 8]), (5, &o.u64(dropped)), (7, &o.u64(system))]);
        o.block(5, &[&o.u32(id)[..], &[0; 8], &options].concat())
    };
    let section = [
        o.section(),
        o.interface(1, 0, &[]),
        statistics(0, 5, 1),
        statistics(0, 7, 2),
        statistics(3, 100, 0),
    ]
    .concat();
    let mut reader = open(&section.repeat(2)).unwrap();
    assert!(reader.next_packet().unwrap().is_none());
    assert_eq!(reader.dropped(), 18, "the last count of each interface of each section");
}

#[test]
fn a_block_that_contradicts_itself_costs_that_block() {
    let o = Order(false);
    let good = packets(3);
    let mut lie = o.enhanced(0, 5, &good[2]);
    lie[20..24].copy_from_slice(&o.u32(100_000));
    let file = [
        o.section(),
        o.interface(1, 0, &[]),
        o.enhanced(0, good[1].0, &good[1]),
        lie,
        o.enhanced(7, 5, &good[1]),
        o.block(6, &[0; 8]),
        o.enhanced(0, good[2].0, &good[2]),
    ]
    .concat();
    let mut reader = open(&file).unwrap();
    let mut n = 0;
    while reader.next_packet().unwrap().is_some() {
        n += 1;
    }
    let place = (28 + 20 + o.enhanced(0, 0, &good[1]).len()) as u64;
    assert_eq!(n, 2);
    assert_eq!(
        reader.skipped(),
        Skipped { blocks: 3, first: Some((place, "a packet longer than its block")) }
    );
}

#[test]
fn damage_ends_the_file_after_what_was_good() {
    let o = Order(false);
    let all = packets(3);
    let pcap = o.pcap(0xa1b2_c3d4, 1, 1, &all);
    let mut long = pcap.clone();
    let third = 24 + 16 + all[0].2.len() + 16 + all[1].2.len();
    long[third + 8..third + 12].fill(0xff);
    let ng = [o.section(), o.interface(1, 0, &[]), o.enhanced(0, 1, &all[0])].concat();
    let lengths = [&ng[..], &o.u32(0x0bad), &o.u32(44), &[0; 40]].concat();
    let odd = [&ng[..], &o.u32(6), &o.u32(45), &[0; 40]].concat();
    let short = [&ng[..], &o.u32(6), &o.u32(8), &[0; 40]].concat();
    let order = [&ng[..], &o.u32(SECTION), &o.u32(28), &[0; 40]].concat();
    let mut version = o.section();
    version[12] = 2;
    let version = [&ng[..], &version].concat();
    for (file, good, place) in [
        (long, 2, third),
        (lengths, 1, ng.len()),
        (odd, 1, ng.len()),
        (short, 1, ng.len()),
        (order, 1, ng.len()),
        (version, 1, ng.len()),
    ] {
        let (got, error) = read(&file);
        let Some(Error::Damaged { offset, packets, .. }) = error else { panic!("{error:?}") };
        assert_eq!((got.len(), packets, offset), (good, good as u64, place as u64));
    }
}

#[test]
fn every_cut_keeps_what_was_before_it() {
    let o = Order(false);
    let all = packets(4);
    let pcap = o.pcap(0xa1b2_c3d4, 1, 1, &all);
    let mut ends = vec![24];
    for (_, _, bytes) in &all {
        ends.push(ends.last().unwrap() + 16 + bytes.len());
    }
    let mut ng = [o.section(), o.interface(1, 0, &[])].concat();
    let (header, mut ng_ends) = (ng.len(), vec![ng.len()]);
    for p in &all {
        ng.extend(o.enhanced(0, p.0, p));
        ng_ends.push(ng.len());
    }
    for (file, ends, whole) in [(&pcap, &ends, 0), (&ng, &ng_ends, header)] {
        for cut in 12..=file.len() {
            let (got, error) = read(&file[..cut]);
            let complete = ends.iter().skip(1).filter(|end| **end <= cut).count();
            let clean = ends.contains(&cut) || (whole > 0 && cut == 28);
            match error {
                None => assert!(clean && got.len() == complete, "cut at {cut}"),
                Some(error) => {
                    assert!(error.is_cut() && !clean, "cut at {cut}: {error}");
                    // The last packet may be whole where only the end of its block is missing.
                    assert!(
                        got.len() == complete || (whole > 0 && got.len() == complete + 1),
                        "cut at {cut}"
                    );
                    let Error::Cut { offset, .. } = error else { panic!() };
                    let last = ends
                        .iter()
                        .rfind(|e| **e <= cut)
                        .copied()
                        .unwrap_or_else(|| if cut >= 28 { whole.min(28) } else { 0 });
                    assert_eq!(offset, last as u64, "cut at {cut}");
                }
            }
            assert_eq!(got[..complete], expect(LinkType::Ethernet, &all)[..complete]);
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// A skippable frame of zstd, as pzstd writes it.
fn skippable() -> Vec<u8> {
    [&[0x5a, 0x2a, 0x4d, 0x18, 5, 0, 0, 0][..], b"hello"].concat()
}

#[test]
fn packed_in_several_members_and_frames() {
    let all = packets(2000);
    let file = Order(false).pcap(0xa1b2_c3d4, 1, 1, &all);
    let (head, tail) = file.split_at(12_345);
    for packed in [
        gzip(&file),
        [gzip(head), gzip(&[]), gzip(tail)].concat(),
        zstd(&file),
        [skippable(), zstd(head), skippable(), zstd(tail)].concat(),
    ] {
        let mut reader = open(&packed).unwrap();
        let mut n = 0;
        while let Some(f) = reader.next_packet().unwrap() {
            assert_eq!((f.ts_us, f.wire_len, f.bytes), (all[n].0, all[n].1, &all[n].2[..]));
            n += 1;
        }
        assert_eq!(n, 2000);
        assert_eq!(reader.bytes_read(), packed.len() as u64, "counted as stored");
    }
}

#[test]
fn packed_and_cut_keeps_what_was_before() {
    let all = packets(3000);
    let file = Order(false).pcap(0xa1b2_c3d4, 1, 1, &all);
    for packed in [gzip(&file), zstd(&file)] {
        let mut least = usize::MAX;
        for part in [packed.len() - 1, packed.len() * 3 / 4, packed.len() / 2] {
            let (got, error) = read(&packed[..part]);
            assert!(error.as_ref().is_some_and(Error::is_cut), "{error:?}");
            assert!(got == expect(LinkType::Ethernet, &all)[..got.len()]);
            assert!(got.len() <= least);
            least = got.len();
        }
        assert!(least > 500, "half of the packed bytes hold more than {least} of 3,000 packets");
    }
    // gzip's checksum comes last, so wrong bytes may come out before it is known; what lies in front of them is right.
    let mut wrong = gzip(&file);
    let middle = wrong.len() / 2;
    wrong[middle..middle + 40].fill(0xff);
    let (got, error) = read(&wrong);
    assert!(matches!(error, Some(Error::Damaged { .. } | Error::Cut { .. })), "{error:?}");
    assert!(got[..500] == expect(LinkType::Ethernet, &all)[..500]);
    // The packets are right, but the checksum behind them is not.
    let mut wrong = zstd(&file);
    let end = wrong.len() - 1;
    wrong[end] ^= 1;
    let (got, error) = read(&wrong);
    assert_eq!(got.len(), 3000);
    assert!(matches!(error, Some(Error::Damaged { what: "the packed data are wrong", .. })), "{error:?}");
}

#[test]
fn what_is_no_capture_is_called_by_its_name() {
    let sentence = |bytes: &[u8]| open(bytes).unwrap_err().to_string();
    assert_eq!(sentence(b""), "test is empty; a capture (pcap or pcapng) is expected");
    assert_eq!(sentence(&gzip(b"")), "test is empty; a capture (pcap or pcapng) is expected");
    assert!(sentence(b"PK\x03\x04rest").contains("zip archive"));
    assert!(
        sentence(b"hello world\nmore").contains("a text that begins \"hello world more\""),
        "{}",
        sentence(b"hello world\nmore")
    );
    assert!(sentence(&[0, 1, 2, 3, 4, 5]).contains("begins with the bytes 00 01 02 03"));
    assert!(sentence(&[7]).contains("begins with the bytes 07"));
    assert!(sentence(b"{\"timestamp\":").contains("JSON"));
    assert!(sentence(&gzip(b"{\"timestamp\":")).contains("JSON"), "also inside a packed file");
    assert!(sentence(b"\x0a\x0d\x0d\x0a\0\0\0\0bbbbcccc").contains("0a 0d 0d 0a"));
    assert!(open(&gzip(b"hello world")[..11]).unwrap_err().is_cut());
    assert!(open(&Order(false).pcap(0xa1b2_c3d4, 1, 1, &[])[..20]).unwrap_err().is_cut());
    // A frame that asks for a window of 4 GiB.
    let big_window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xb0, 1, 0, 0];
    assert!(sentence(&big_window).contains("128 MiB"), "{}", sentence(&big_window));
}

#[test]
fn files_that_cannot_be_opened_are_one_sentence() {
    let sentence = |path: &str| Reader::open(Path::new(path)).unwrap_err().to_string();
    assert_eq!(sentence("/no/such.pcap"), "/no/such.pcap: there is no such file");
    assert_eq!(sentence("/tmp"), "/tmp is a folder; a capture file is expected here");
    assert!(sentence("/dev/null").contains("is empty"));
}

#[test]
fn lengths_that_lie_take_no_memory() {
    let o = Order(false);
    // Blocks of 4 GiB, of which nothing follows.
    let mut ng = [o.section(), o.interface(1, 0, &[])].concat();
    ng.extend([o.u32(0x0bad), o.u32(0xffff_fffc), [0; 4], [0; 4]].concat());
    let (got, error) = read(&ng);
    assert!(got.is_empty() && error.is_some_and(|e| e.is_cut()));
    // A packet longer than the window is kept in part, and the next one is found.
    let long = vec![7u8; MAX_PACKET * 3];
    let all = vec![(1, 9_000_000, long), (2, 3, vec![1, 2, 3])];
    for file in [
        o.pcap(0xa1b2_c3d4, 1, 1, &all),
        [o.section(), o.interface(1, 0, &[]), o.enhanced(0, 1, &all[0]), o.enhanced(0, 2, &all[1])].concat(),
    ] {
        let (got, error) = read(&file);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(got[0].1.2.len(), MAX_PACKET);
        assert_eq!((got[0].1.1, got[1].1.2.len()), (9_000_000, 3));
    }
}

/// A reader that hands out single bytes and is interrupted.
struct Slow(Cursor<Vec<u8>>, bool);

impl Read for Slow {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let n = buf.len().min(1);
        self.0.read(&mut buf[..n])
    }
}

#[test]
fn a_slow_pipe_and_a_failing_one() {
    let all = packets(50);
    let file = Order(false).pcap(0xa1b2_c3d4, 1, 1, &all);
    let mut reader = Reader::from_reader("pipe", Box::new(Slow(Cursor::new(file.clone()), false))).unwrap();
    let mut n = 0;
    while reader.next_packet().unwrap().is_some() {
        n += 1;
    }
    assert_eq!(n, 50);

    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let half = Cursor::new(file[..file.len() / 2].to_vec());
    let mut reader = Reader::from_reader("disk", Box::new(half.chain(Fails))).unwrap();
    let error = loop {
        match reader.next_packet() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("an error, not an end"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("the disk is gone"), "{error}");
    assert!(reader.next_packet().unwrap().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::default() })]

    /// Good files with some bytes changed: no panic, no endless loop, and never more packets than bytes allow.
    #[test]
    fn damaged_files_end(
        format in 0..6usize,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let all = packets(8);
        let o = Order(format % 2 == 1);
        let ng = || {
            let mut file = [o.section(), o.interface(1, 0, &[(9, &[9])])].concat();
            for p in &all {
                file.extend(o.enhanced(0, p.0, p));
            }
            file
        };
        let mut file = match format {
            0 | 1 => o.pcap(0xa1b2_c3d4, 1, 1, &all),
            2 | 3 => ng(),
            4 => gzip(&ng()),
            _ => zstd(&o.pcap(0xa1b2_c3d4, 1, 1, &all)),
        };
        for (at, value) in damage {
            let at = at.index(file.len());
            file[at] = value;
        }
        let cut = cut.index(file.len() + 1);
        for bytes in [&file[..], &file[..cut]] {
            let (got, _) = read(bytes);
            // A packed file may hold more than its size; these hold eight packets.
            prop_assert!(got.len() <= 8 + bytes.len() / 12);
        }
    }

    #[test]
    fn garbage_ends(bytes in proptest::collection::vec(any::<u8>(), 0..400), magic in 0..5usize) {
        let head: &[u8] = match magic {
            0 => &[0xd4, 0xc3, 0xb2, 0xa1],
            1 => &[0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0],
            2 => &[0x1f, 0x8b, 8],
            3 => &[0x28, 0xb5, 0x2f, 0xfd],
            _ => &[],
        };
        read(&[head, &bytes].concat());
    }
}
