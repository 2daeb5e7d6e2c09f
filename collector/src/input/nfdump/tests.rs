use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;

use slips_agent::record::{ConnState, proto};

use super::*;
use crate::input::biflow::Piece;
use crate::input::testing::{Dice, public_data, read};

/// A folder that is removed at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("slips-nfdump-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The one-way flows of a file, as they stand in it.
fn pieces(bytes: &[u8]) -> Vec<Piece> {
    let mut blocks = Blocks::open(bytes).unwrap();
    let mut reader = Reader::default();
    let mut out = Vec::new();
    let layout = blocks.layout;
    while let Some(block) = blocks.next_block().unwrap() {
        for record in Records(block) {
            let (kind, bytes) = record.unwrap();
            if let Said::Piece(piece) = reader.record(layout, kind, bytes).unwrap() {
                out.push(piece);
            }
        }
    }
    out
}

/// A one-way flow as `nfdump -o json` tells it, less what it does not.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Row {
    first_ms: u64,
    last_ms: u64,
    proto: u8,
    src: String,
    dst: String,
    ports: (u16, u16),
    flags: String,
    counts: (u64, u64, u64, u64),
}

fn row(p: &Piece) -> Row {
    let flags = p.flags.map_or_else(String::new, |f| {
        // CWR and ECE, then the six classic ones.
        let letters = [
            (0x80, 'C'),
            (0x40, 'E'),
            (0x20, 'U'),
            (0x10, 'A'),
            (0x08, 'P'),
            (0x04, 'R'),
            (0x02, 'S'),
            (0x01, 'F'),
        ];
        letters.iter().map(|(bit, c)| if f & bit != 0 { *c } else { '.' }).collect()
    });
    Row {
        first_ms: p.start_us / 1000,
        last_ms: p.end_us / 1000,
        proto: p.tuple.proto,
        src: p.tuple.orig_addr.to_string(),
        dst: p.tuple.resp_addr.to_string(),
        ports: (p.tuple.orig_port, p.tuple.resp_port),
        flags,
        counts: (p.sent.pkts, p.sent.ip_bytes, p.received.pkts, p.received.ip_bytes),
    }
}

/// What the real nfdump says about a file; `None` if it is not installed.
fn told_by_nfdump(path: &Path) -> Option<Vec<Row>> {
    let output = Command::new("nfdump").arg("-q").arg("-r").arg(path).args(["-o", "json"]).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // With -q the list comes without its brackets.
    let text = String::from_utf8(output.stdout).unwrap();
    let list: serde_json::Value =
        serde_json::from_str(&format!("[{}]", text.trim().trim_end_matches(','))).unwrap();
    let number = |v: &serde_json::Value, key: &str| v[key].as_u64().unwrap_or_default();
    let text = |v: &serde_json::Value, keys: [&str; 2]| {
        keys.iter().find_map(|k| v[*k].as_str()).unwrap_or_default().to_owned()
    };
    let ms = |v: &serde_json::Value, key: &str| {
        crate::input::text::scan::date_us(v[key].as_str().unwrap().as_bytes()).unwrap() / 1000
    };
    let rows = list.as_array().unwrap().iter().map(|v| {
        let transport = u8::try_from(number(v, "proto")).unwrap();
        let icmp = matches!(transport, proto::ICMP | proto::ICMPV6);
        let keys = if icmp { ["icmp_type", "icmp_code"] } else { ["src_port", "dst_port"] };
        Row {
            first_ms: ms(v, "first"),
            last_ms: ms(v, "last"),
            proto: transport,
            src: text(v, ["src4_addr", "src6_addr"]),
            dst: text(v, ["dst4_addr", "dst6_addr"]),
            ports: (u16::try_from(number(v, keys[0])).unwrap(), u16::try_from(number(v, keys[1])).unwrap()),
            flags: if transport == proto::TCP { text(v, ["tcp_flags", "flags"]) } else { String::new() },
            counts: (
                number(v, "in_packets"),
                number(v, "in_bytes"),
                number(v, "out_packets"),
                number(v, "out_bytes"),
            ),
        }
    });
    Some(rows.collect())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    collect(folder, DEPTH, &mut out).unwrap();
    out.retain(|p| fs::read(p).is_ok_and(|b| is_nfdump(&b)));
    out.sort();
    out
}

#[test]
fn every_file_at_hand_is_read_as_nfdump_reads_it() {
    let Some(data) = public_data() else { return };
    let mut compared = 0;
    let mut paths = files(&data.join("formats/reference"));
    paths.push(data.join("slips/test1-malicious.nfdump"));
    for path in paths {
        let mine: Vec<Row> = pieces(&fs::read(&path).unwrap()).iter().map(row).collect();
        let Some(theirs) = told_by_nfdump(&path) else { return };
        assert_eq!(mine.len(), theirs.len(), "{}", path.display());
        for (m, t) in mine.iter().zip(&theirs) {
            assert_eq!(m, t, "{}", path.display());
        }
        compared += mine.len();
    }
    assert!(compared > 8000, "{compared}");
}

#[test]
fn the_reference_tables_agree() {
    let Some(data) = public_data() else { return };
    for folder in fs::read_dir(data.join("formats/reference")).unwrap().flatten().map(|f| f.path()) {
        let Ok(csv) = fs::read_to_string(folder.join("nfdump.csv")) else { continue };
        let mut expected: BTreeMap<String, u64> = BTreeMap::new();
        for line in csv.lines().skip(1) {
            let f: Vec<&str> = line.split(',').collect();
            // Large numbers are written in short form there (1.4 M).
            *expected.entry(format!("{} {} {} {}", f[0], f[3], f[5], f[9])).or_default() += 1;
        }
        let mut got: BTreeMap<String, u64> = BTreeMap::new();
        // One packing of each is enough: the file with .bz2 holds the same flows again.
        for path in files(&folder).iter().filter(|p| p.extension().is_none_or(|e| e != "bz2")) {
            for p in pieces(&fs::read(path).unwrap()) {
                let stamp = jiff::Timestamp::from_microsecond(i64::try_from(p.start_us).unwrap()).unwrap();
                let first = stamp.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string();
                *got.entry(format!("{first} {} {} {}", p.tuple.orig_addr, p.tuple.resp_addr, p.sent.pkts))
                    .or_default() += 1;
            }
        }
        assert!(got == expected, "{}: {} and {} flows", folder.display(), got.len(), expected.len());
    }
}

#[test]
fn version_1_6_with_maps_and_joined_halves() {
    let Some(data) = public_data() else { return };
    let mut source = Nfdump::open(&data.join("slips/test1-malicious.nfdump")).unwrap();
    assert_eq!(source.describe(), "nfdump file of version 1.6, not compressed");
    let bytes = fs::read(data.join("slips/test1-malicious.nfdump")).unwrap();
    let one_way = pieces(&bytes);
    assert_eq!(one_way.len(), 4593);
    assert_eq!(one_way.iter().map(|p| p.sent.pkts).sum::<u64>(), 4652);
    assert_eq!(one_way.iter().map(|p| p.sent.ip_bytes).sum::<u64>(), 241_025);
    let got = read(&mut source);
    let flows = got.kept.flows();
    assert_eq!(flows.iter().map(|f| f.pkts()).sum::<u64>(), 4652);
    assert_eq!(got.totals.bytes, 241_025);
    // The scan is seen from the scanner, refused by the one scanned.
    let scan: Vec<_> = flows.iter().filter(|f| f.tuple.orig_addr.to_string() == "147.32.80.119").collect();
    assert!(
        scan.len() > 2000 && scan.iter().all(|f| matches!(f.state, ConnState::Rej | ConnState::S0)),
        "{}",
        scan.len()
    );
    assert!(
        !flows
            .iter()
            .any(|f| f.tuple.resp_addr.to_string() == "147.32.80.119" && f.tuple.proto == proto::TCP)
    );
    let ends: Vec<u64> = flows.iter().map(|f| f.emitted_us).collect();
    assert!(ends.is_sorted());
}

#[test]
fn all_packings_of_the_real_nfdump_and_a_folder() {
    let Some(data) = public_data() else { return };
    let folder = Folder::new("packings");
    let made = Command::new("nfpcapd")
        .arg("-r")
        .arg(data.join("mixed/many-protocols.pcap"))
        .arg("-w")
        .arg(&folder.0)
        .output();
    if !made.is_ok_and(|m| m.status.success()) {
        return;
    }
    let whole = read(&mut Nfdump::open(&folder.0).unwrap());
    assert!(whole.kept.flows().len() > 200, "{}", whole.kept.flows().len());
    for packing in ["0", "1", "2", "3"] {
        for path in files(&folder.0) {
            let changed =
                Command::new("nfdump").arg("-J").arg(packing).arg("-r").arg(&path).output().unwrap();
            assert!(changed.status.success());
        }
        let got = read(&mut Nfdump::open(&folder.0).unwrap());
        assert_eq!(got.kept.0, whole.kept.0, "packing {packing}");
        assert_eq!(got.totals.bad_records, 0);
        let source = Nfdump::open(&files(&folder.0)[0]).unwrap();
        let name = ["not compressed", "LZO", "bzip2", "LZ4"][packing.parse::<usize>().unwrap()];
        assert_eq!(source.describe(), format!("nfdump file of version 1.7, {name}"));
    }
    assert!(Nfdump::open(&folder.0).unwrap().describe().starts_with("folder with 3 files of nfdump"));
}

/// A file of layout 2 with one block.
fn made(packing: u8, block: &[u8]) -> Vec<u8> {
    let mut out = vec![0x0c, 0xa5, 2, 0, 0, 0, 7, 1, 0, 0, 0, 0, 0, 0, 0, 0, packing, 0, 0, 0];
    out.extend([0; 16]);
    out.extend(1u32.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    out.extend(u32::try_from(block.len()).unwrap().to_le_bytes());
    out.extend([3, 0, 0, 0]);
    out.extend(block);
    out
}

fn record() -> Vec<u8> {
    let mut generic = vec![1, 0, 52, 0];
    for n in [1_000_000u64, 1_002_000, 0, 3, 300] {
        generic.extend(n.to_le_bytes());
    }
    generic.extend(50_000u16.to_le_bytes());
    generic.extend(443u16.to_le_bytes());
    generic.extend([6, 0x1b, 0, 0]);
    let v4 = [2, 0, 12, 0, 5, 0, 0, 10, 1, 2, 0, 192];
    let vlan = [6, 0, 12, 0, 7, 0, 0, 0, 0, 0, 0, 0];
    let mut record = vec![11, 0, 0, 0, 3, 0, 0, 0, 9, 0, 0, 0x41];
    record.extend(generic);
    record.extend(v4);
    record.extend(vlan);
    let len = u16::try_from(record.len()).unwrap().to_le_bytes();
    record[2..4].copy_from_slice(&len);
    record
}

fn over(bytes: Vec<u8>) -> Result<Nfdump, Error> {
    Nfdump::over(Stream::over("x".to_owned(), Box::new(Cursor::new(bytes)), None).unwrap())
}

#[test]
fn zstandard_blocks() {
    // Newer than the nfdump at hand, hence by hand.
    let packed =
        ruzstd::encoding::compress_to_vec(&record()[..], ruzstd::encoding::CompressionLevel::Fastest);
    let got = read(&mut over(made(4, &packed)).unwrap());
    let flow = got.kept.flows()[0];
    assert_eq!(
        (flow.tuple.orig_addr.to_string(), flow.tuple.resp_port, flow.vlan),
        ("10.0.0.5".to_owned(), 443, Some(7))
    );
    assert_eq!((flow.start_us, flow.duration_us, flow.orig.pkts), (1_000_000_000, 2_000_000, 3));
}

#[test]
fn damage_costs_a_block_and_is_told_with_its_offset() {
    let whole = made(0, &record());
    let refused = |bytes: &[u8]| over(bytes.to_vec()).err().unwrap().to_string();
    assert_eq!(refused(b"\x0c"), "x: is too short, a file of nfdump was expected");
    assert_eq!(refused(b"hello"), "x: does not begin as a file of nfdump does");
    assert_eq!(refused(&whole[..20]), "x: ends within its header");
    assert!(refused(b"\xa5\x0c\x00\x01").contains("other byte order"));
    assert!(refused(b"\x0c\xa5\x09\x00").contains("has a layout that is not known"));
    let mut encrypted = whole.clone();
    encrypted[17] = 1;
    assert_eq!(refused(&encrypted), "x: is encrypted");
    // A damaged block between whole ones.
    let mut bad = made(1, b"not LZO at all");
    bad.extend(&whole[40..]);
    let last = bad.len() - record().len() - 2;
    bad[last] = 1; // this block says that it is not packed
    let got = read(&mut over(bad).unwrap());
    assert_eq!((got.kept.flows().len(), got.totals.losses["damaged block"]), (1, 1));
    assert_eq!(got.said, ["x: offset 40: the block cannot be decompressed"]);
    // Cut in the middle of the second block.
    let mut cut = whole.clone();
    cut.extend(&whole[40..whole.len() - 9]);
    let got = read(&mut over(cut).unwrap());
    assert_eq!((got.kept.flows().len(), got.totals.losses["file cut off"]), (1, 1));
    // A record that says it is longer than its block.
    let mut long = record();
    long[2] = 200;
    let got = read(&mut over(made(0, &long)).unwrap());
    assert_eq!(got.totals.losses["damaged block"], 1);
}

#[test]
fn no_bytes_can_harm() {
    let mut seeds = vec![made(0, &record())];
    if let Some(data) = public_data() {
        for path in files(&data.join("formats/reference")) {
            let bytes = fs::read(path).unwrap();
            if bytes.len() < 5000 {
                seeds.push(bytes);
            }
        }
        let mut old = fs::read(data.join("slips/test1-malicious.nfdump")).unwrap();
        old.truncate(2000);
        old[276 + 4..276 + 8].copy_from_slice(&(2000u32 - 288).to_le_bytes());
        seeds.push(old);
    }
    let mut dice = Dice(0x0f_d3);
    for seed in &seeds {
        for _ in 0..100 {
            let mut bytes = seed.clone();
            dice.damage(&mut bytes);
            if let Ok(mut source) = over(bytes) {
                let _ = read(&mut source);
            }
        }
    }
}
