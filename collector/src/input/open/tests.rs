use super::*;
use std::io::Cursor;

use crate::input::testing::{Dice, public_data, read};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("slips-open-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        for (file, text) in files {
            std::fs::write(path.join(file), text).unwrap();
        }
        Self(path)
    }

    fn said(&self, file: &str) -> String {
        match open(&self.0.join(file), &Wish::default()) {
            Ok(source) => source.describe(),
            Err(error) => format!("refused: {}", error.what),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const CONN: &str = "#separator \\x09\n#path\tconn\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\n1\tC\t10.0.0.1\t1\t10.0.0.2\t2\ttcp\n";
const EVE: &str = "{\"timestamp\":\"2021-06-06T15:57:37.272281+0200\",\"event_type\":\"alert\",\"src_ip\":\"10.0.0.1\",\"dest_ip\":\"10.0.0.2\",\"proto\":\"TCP\",\"alert\":{\"signature_id\":1}}\n";
const ARGUS: &str = "StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,TotPkts,TotBytes\n2018/12/18 14:00:00.0,1,tcp,10.0.0.1,1,->,10.0.0.2,2,S_,1,70\n";

#[test]
fn content_decides_and_is_told() {
    let json = "{\"ts\":1.5,\"uid\":\"C\",\"id.orig_h\":\"10.0.0.1\",\"id.orig_p\":1,\"id.resp_h\":\"10.0.0.2\",\"id.resp_p\":2,\"proto\":\"tcp\",\"conn_state\":\"S0\"}\n";
    let files = [
        ("a", CONN),
        ("b", EVE),
        ("c", ARGUS),
        ("d", json),
        ("conn.log", ""),
        ("e", ""),
        ("f", "{\"a\":1}\n"),
        ("g", "Date first seen          Event\n"),
        ("h", "hello world\n"),
        ("i", "10.0.0.1\t10.0.0.2\n"),
        ("dns.log", "1.5\tC\t10.0.0.1\t1\n"),
    ];
    let folder = Folder::new("content", &files);
    let expected = [
        ("a", "Zeek conn.log, tab-separated, recognised by its header"),
        ("b", "Suricata eve.json, recognised by its event_type"),
        ("c", "Argus flow records, comma-separated, recognised by its columns"),
        ("d", "Zeek conn.log, JSON, recognised by the names in its JSON"),
        ("conn.log", "Zeek conn.log, tab-separated, recognised by its name"),
        (
            "e",
            "refused: is empty; Zeek logs, Suricata's eve.json, Argus' binetflow, nfdump's files and captures are read",
        ),
        ("f", "refused: holds JSON that is neither a log of Zeek nor an event of Suricata: \"{\"a\":1}\""),
        ("g", "refused: is text that nfdump printed; give the file of nfcapd itself with -b"),
    ];
    for (file, said) in expected {
        assert_eq!(folder.said(file), said, "{file}");
    }
    assert!(
        folder.said("h").starts_with("refused: is not recognised, it begins with \"hello world\"; Zeek logs")
    );
    assert!(folder.said("dns.log").starts_with("refused: columns without header"));
    assert_eq!(
        "zek".parse::<Format>().unwrap_err().to_string(),
        "--format: unknown format zek, did you mean zeek?"
    );
    assert!(
        "x".repeat(30)
            .parse::<Format>()
            .unwrap_err()
            .to_string()
            .contains("expected one of zeek, suricata, argus, nfdump, pcap")
    );
}

#[test]
fn folders() {
    let both = Folder::new("both", &[("conn.log", CONN), ("eve.json", EVE)]);
    let error = open(&both.0, &Wish::default()).err().unwrap().what;
    assert!(error.contains("conn.log is zeek, eve.json is suricata"), "{error}");
    let wish = Wish { format: Some(Format::Suricata), ..Wish::default() };
    assert_eq!(open(&both.0, &wish).unwrap().describe(), "Suricata eve.json");
    let eves = Folder::new("eves", &[("eve.json", EVE), ("eve.json.1", EVE), ("readme.txt", "text")]);
    let mut source = open(&eves.0, &Wish::default()).unwrap();
    assert_eq!(source.describe(), "2 files, Suricata eve.json, recognised by its files");
    assert_eq!(read(&mut *source).kept.notes().len(), 2);
    let nothing = Folder::new("nothing", &[("readme.txt", "text")]);
    assert!(
        open(&nothing.0, &Wish::default())
            .err()
            .unwrap()
            .what
            .starts_with("the folder holds nothing that is read")
    );
}

#[test]
fn public_inputs_are_recognised() {
    let Some(data) = public_data() else { return };
    let said = |path: &str| {
        open(&data.join(path), &Wish::default()).map(|s| s.describe()).map_err(|e| e.to_string())
    };
    for (path, expected) in [
        ("slips/test1-malicious.nfdump", "nfdump file of version 1.6, not compressed"),
        ("slips/test2-malicious.binetflow", "Argus flow records, comma-separated"),
        ("slips/test6-malicious.suricata.json", "Suricata eve.json"),
        ("slips/test8-malicious.pcap", "capture file"),
        (
            "slips/test9-mixed-zeek-dir",
            "Zeek folder with arp, conn, dhcp, dns, files, http, notice, smtp, software, ssl, x509, JSON",
        ),
        ("slips/test10-mixed-zeek-dir/conn.log", "Zeek conn.log, tab-separated"),
        ("slips-0.7.1/Malicious/CTU-Malware-Capture-Botnet-207-1", "Argus flow records, comma-separated"),
        ("formats/reference/test12-icmp-portscan/flows.tabs.binetflow", "Argus flow records, tab-separated"),
        ("formats/reference/dridex-2020-06-03/nfcapd", "folder with 2 files of nfdump"),
        ("labeled/CTU-Malware-Capture-Botnet-4", "Zeek folder with conn, dns, files, weird, tab-separated"),
        ("generated", "folder with 5 capture files"),
    ] {
        let got = said(path).unwrap();
        assert!(got.starts_with(expected), "{path}: {got}");
    }
    assert!(
        said("formats/netflowlabeler/nfcapd.sample1").unwrap_err().contains("is text that nfdump printed")
    );
    assert!(said("formats/reference/ratinfected").unwrap_err().contains("several formats"));
    assert!(said("rita/text_file").unwrap_err().contains("columns without header"));
    // The pieces of a capture are one capture.
    let mut generated = open(&data.join("generated"), &Wish::default()).unwrap();
    let flows = read(&mut *generated).kept.flows().len();
    let alone: usize = std::fs::read_dir(data.join("generated"))
        .unwrap()
        .flatten()
        .map(|f| f.path())
        .filter(|p| p.extension().is_some_and(|e| e == "pcap"))
        .map(|p| read(&mut *open(&p, &Wish::default()).unwrap()).kept.flows().len())
        .sum();
    assert!(flows > 1000 && flows <= alone, "{flows} {alone}");
}

/// Damaged files of every format, packed and not, taken for whatever they look like after the damage: refused with a word, or
/// read to their end.
#[test]
fn no_bytes_can_harm_whatever_they_are_taken_for() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
    let mut seeds: Vec<(&str, Vec<u8>)> = [
        ("conn.log", "formats/web/zeek/conn.log"),
        ("conn.log.gz", "formats/sweep-icmp/zeek/conn.log.gz"),
        ("eve.json", "formats/web/eve.json"),
        ("eve.json.gz", "formats/scan-horizontal/eve.json.gz"),
        ("a", "formats/web/flows.binetflow"),
        ("a.gz", "formats/sweep-icmp/flows.binetflow.gz"),
        ("nfcapd", "formats/web/nfcapd"),
        ("nfcapd", "formats/sweep-icmp/nfcapd"),
        ("dhcp.pcap", "dhcp.pcap"),
    ]
    .map(|(name, path)| (name, std::fs::read(own.join(path)).unwrap()))
    .into();
    let packed =
        |bytes: &[u8]| ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest);
    seeds.push(("-", packed(CONN.as_bytes())));
    seeds.push(("-", packed(EVE.as_bytes())));
    let mut dice = Dice(0x0fe2);
    let (mut taken, mut refused) = (0u32, 0u32);
    for (name, seed) in &seeds {
        for _ in 0..100 {
            let mut bytes = seed.clone();
            dice.damage(&mut bytes);
            let Ok(stream) = Stream::over("x".to_owned(), Box::new(Cursor::new(bytes)), None) else {
                refused += 1;
                continue;
            };
            match open_stream(stream, Path::new(name), &Wish::default()) {
                Ok(mut source) => {
                    assert!(!source.describe().is_empty());
                    taken += 1;
                    let stop = std::sync::atomic::AtomicBool::new(false);
                    let job = Job { stop: &stop, progress: &|_| {}, say: &|text| assert!(!text.is_empty()) };
                    if let Err(error) = source.read(&mut crate::input::testing::Kept::default(), job) {
                        assert!(!error.what.is_empty());
                    }
                }
                Err(error) => {
                    assert!(!error.what.is_empty());
                    refused += 1;
                }
            }
        }
    }
    assert!(taken > 300 && refused > 100, "{taken} {refused}");
}
