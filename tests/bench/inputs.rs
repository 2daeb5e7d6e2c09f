//! Speed of the readers of text formats, one core, without analysis: megabytes and records a second.
//!
//! Kind: single stage, from the page cache, processor time of one thread. Run: `cargo bench -p slips --bench inputs`. The texts are made here, with as many different
//! values as the real ones have, or taken from the public data where it is. The bound of the project is 400 MB/s or a million
//! records a second, whichever is lower; a format that misses both is marked.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use slips::input::{Intake, Job, Record, Source, Wish, open};

/// Counts records and drops them, as an engine in another thread would have them taken away.
struct Count(u64);

impl Intake for Count {
    fn take(&mut self, record: Record) {
        self.0 += 1;
        drop(std::hint::black_box(record));
    }
}

const ROUNDS: usize = 5;

/// Processor time of this thread: other work on the machine is not measured.
#[allow(clippy::cast_precision_loss, reason = "seconds of a bench")]
fn cpu_seconds() -> f64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

fn run(name: &str, path: &Path) -> std::io::Result<()> {
    let bytes = std::fs::metadata(path)?.len();
    let stop = AtomicBool::new(false);
    let mut best = f64::MAX;
    let mut records = 0;
    for _ in 0..ROUNDS {
        let mut source: Box<dyn Source> = match open(path, &Wish::default()) {
            Ok(source) => source,
            Err(error) => {
                println!("{name:<24} {error}");
                return Ok(());
            }
        };
        let mut count = Count(0);
        let begin = cpu_seconds();
        let totals =
            source.read(&mut count, Job { stop: &stop, progress: &|_| {}, say: &|text| println!("{text}") });
        best = best.min(cpu_seconds() - begin);
        records = count.0;
        if totals.is_err() {
            println!("{name:<24} failed");
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "shown with no decimals")]
    let (megabytes, per_second) = (bytes as f64 / 1e6 / best, records as f64 / best);
    let verdict = if megabytes >= 400.0 || per_second >= 1e6 { "" } else { "  BELOW THE BOUND" };
    println!(
        "{name:<24} {megabytes:>7.0} MB/s {per_second:>11.0} records/s  ({records} records, {:.0} bytes each){verdict}",
        bytes as f64 / records.max(1) as f64
    );
    Ok(())
}

/// Text of `head` and then lines of `line` up to about 64 MB.
fn made(folder: &Path, name: &str, head: &str, line: impl Fn(u64) -> String) -> std::io::Result<PathBuf> {
    let mut text = head.to_owned();
    let mut n = 0;
    while text.len() < 64 << 20 {
        text.push_str(&line(n));
        n += 1;
    }
    let path = folder.join(name);
    std::fs::write(&path, text)?;
    // Into the page cache: the disk is not what is measured.
    std::io::copy(&mut std::fs::File::open(&path)?, &mut std::io::sink())?;
    Ok(path)
}

/// A file of the public data over and over, header once.
fn repeated(folder: &Path, name: &str, source: &Path) -> Option<PathBuf> {
    let mut text = Vec::new();
    std::fs::File::open(source).ok()?.read_to_end(&mut text).ok()?;
    let body: Vec<u8> = text
        .split_inclusive(|b| *b == b'\n')
        .filter(|l| !l.starts_with(b"#") && !l.starts_with(b"StartTime"))
        .flatten()
        .copied()
        .collect();
    let head: Vec<u8> = text
        .split_inclusive(|b| *b == b'\n')
        .filter(|l| (l.starts_with(b"#") && !l.starts_with(b"#close")) || l.starts_with(b"StartTime"))
        .flatten()
        .copied()
        .collect();
    let path = folder.join(name);
    let mut out = Cursor::new(head);
    out.set_position(out.get_ref().len() as u64);
    let mut out = out.into_inner();
    while out.len() < 64 << 20 && !body.is_empty() {
        out.extend_from_slice(&body);
    }
    std::fs::write(&path, out).ok()?;
    Some(path)
}

fn main() -> std::io::Result<()> {
    let folder = std::env::temp_dir().join(format!("slips-bench-inputs-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let ip = |n: u64| format!("10.{}.{}.{}", n % 7, (n / 7) % 250, (n * 31) % 250);
    let conn_head = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tresp_bytes\tconn_state\tlocal_orig\tlocal_resp\tmissed_bytes\thistory\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes\ttunnel_parents\n";
    run(
        "Zeek conn.log, columns",
        &made(&folder, "conn.log", conn_head, |n| {
            format!(
                "{}.{:06}\tC{n:017x}\t{}\t{}\t{}\t443\ttcp\tssl\t{}.{:06}\t{}\t{}\tSF\t-\t-\t0\tShADadFf\t{}\t{}\t{}\t{}\t-\n",
                1_601_998_366 + n / 100,
                n % 1_000_000,
                ip(n),
                n % 60_000,
                ip(n * 3),
                n % 50,
                n * 7 % 1_000_000,
                n % 9000,
                n % 70_000,
                n % 90,
                n % 99_000,
                n % 80,
                n % 88_000
            )
        })?,
    )?;
    run(
        "Zeek conn.log, JSON",
        &made(&folder, "conn_json.log", "", |n| {
            format!(
                "{{\"ts\":{}.{:06},\"uid\":\"C{n:017x}\",\"id.orig_h\":\"{}\",\"id.orig_p\":{},\"id.resp_h\":\"{}\",\"id.resp_p\":443,\"proto\":\"tcp\",\"service\":\"ssl\",\"duration\":{}.{:06},\"orig_bytes\":{},\"resp_bytes\":{},\"conn_state\":\"SF\",\"missed_bytes\":0,\"history\":\"ShADadFf\",\"orig_pkts\":{},\"orig_ip_bytes\":{},\"resp_pkts\":{},\"resp_ip_bytes\":{}}}\n",
                1_601_998_366 + n / 100,
                n % 1_000_000,
                ip(n),
                n % 60_000,
                ip(n * 3),
                n % 50,
                n * 7 % 1_000_000,
                n % 9000,
                n % 70_000,
                n % 90,
                n % 99_000,
                n % 80,
                n % 88_000
            )
        })?,
    )?;
    run(
        "Zeek dns.log, JSON",
        &made(&folder, "dns_json.log", "", |n| {
            format!(
                "{{\"ts\":{}.{:06},\"uid\":\"C{n:017x}\",\"id.orig_h\":\"{}\",\"id.orig_p\":{},\"id.resp_h\":\"10.0.0.1\",\"id.resp_p\":53,\"proto\":\"udp\",\"trans_id\":{},\"rtt\":0.007706,\"query\":\"host{}.example.com\",\"qclass\":1,\"qclass_name\":\"C_INTERNET\",\"qtype\":1,\"qtype_name\":\"A\",\"rcode\":0,\"rcode_name\":\"NOERROR\",\"AA\":false,\"TC\":false,\"RD\":true,\"RA\":true,\"Z\":0,\"answers\":[\"alias.example.net\",\"{}\"],\"TTLs\":[15.0,105.0],\"rejected\":false}}\n",
                1_601_998_366 + n / 100,
                n % 1_000_000,
                ip(n),
                n % 60_000,
                n % 65_536,
                n % 5000,
                ip(n * 5)
            )
        })?,
    )?;
    run(
        "Argus binetflow",
        &made(
            &folder,
            "a.binetflow",
            "StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,sTos,dTos,TotPkts,TotBytes,SrcBytes,SrcPkts,Label\n",
            |n| {
                format!(
                    "2019/04/04 {:02}:{:02}:{:02}.{:06},{}.{:06},tcp,{},{},   ->,{},443,FSPA_FSPA,0,0,{},{},{},{},\n",
                    n / 360_000 % 24,
                    n / 6000 % 60,
                    n / 100 % 60,
                    n % 1_000_000,
                    n % 50,
                    n * 7 % 1_000_000,
                    ip(n),
                    n % 60_000,
                    ip(n * 3),
                    n % 90 + 2,
                    n % 99_000 + 500,
                    n % 400,
                    n % 2 + 1
                )
            },
        )?,
    )?;
    let common = |n: u64, kind: &str| {
        format!(
            "{{\"timestamp\":\"2021-06-06T{:02}:{:02}:{:02}.{:06}+0200\",\"flow_id\":{},\"event_type\":\"{kind}\",\"src_ip\":\"{}\",\"src_port\":{},\"dest_ip\":\"{}\",\"dest_port\":443,\"proto\":\"TCP\"",
            n / 360_000 % 24,
            n / 6000 % 60,
            n / 100 % 60,
            n % 1_000_000,
            n * 2_654_435_761,
            ip(n),
            n % 60_000,
            ip(n * 3)
        )
    };
    run(
        "eve.json, flow",
        &made(&folder, "flow.json", "", |n| {
            let at = format!(
                "2021-06-06T{:02}:{:02}:{:02}.{:06}+0200",
                n / 360_000 % 24,
                n / 6000 % 60,
                n / 100 % 60,
                n % 1_000_000
            );
            format!(
                "{},\"app_proto\":\"tls\",\"flow\":{{\"pkts_toserver\":{},\"pkts_toclient\":{},\"bytes_toserver\":{},\"bytes_toclient\":{},\"start\":\"{at}\",\"end\":\"{at}\",\"age\":0,\"state\":\"closed\",\"reason\":\"timeout\",\"alerted\":false}},\"community_id\":\"1:VDLoaSVwkh1IBWGcTKSoBfvfKcE=\",\"tcp\":{{\"tcp_flags\":\"1b\",\"tcp_flags_ts\":\"1b\",\"tcp_flags_tc\":\"1b\",\"syn\":true,\"fin\":true,\"psh\":true,\"ack\":true,\"state\":\"closed\",\"ts_max_regions\":1,\"tc_max_regions\":1}}}}\n",
                common(n, "flow"),
                n % 90,
                n % 80,
                n % 9000,
                n % 70_000
            )
        })?,
    )?;
    run(
        "eve.json, alert",
        &made(&folder, "alert.json", "", |n| {
            format!(
                "{},\"alert\":{{\"action\":\"allowed\",\"gid\":1,\"signature_id\":{},\"rev\":66418,\"signature\":\"ET CINS Active Threat Intelligence Poor Reputation IP group 89\",\"category\":\"Misc Attack\",\"severity\":2,\"metadata\":{{\"affected_product\":[\"Any\"],\"attack_target\":[\"Any\"],\"created_at\":[\"2013_10_08\"],\"deployment\":[\"Perimeter\"],\"signature_severity\":[\"Major\"],\"tag\":[\"CINS\"],\"updated_at\":[\"2021_06_07\"]}}}},\"flow\":{{\"pkts_toserver\":1,\"pkts_toclient\":0,\"bytes_toserver\":60,\"bytes_toclient\":0,\"start\":\"2021-06-06T15:59:46.457984+0200\"}}}}\n",
                common(n, "alert"),
                2_400_000 + n % 5000
            )
        })?,
    )?;
    let data = std::env::var_os("SLIPS_TEST_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    for (name, file, from) in [
        ("public conn.log, JSON", "p_conn.log", "slips/test9-mixed-zeek-dir/conn.log"),
        ("public dns.log, columns", "p_dns.log", "slips/test10-mixed-zeek-dir/dns.log"),
        ("public http.log, JSON", "p_http.log", "slips/test9-mixed-zeek-dir/http.log"),
        ("public ssl.log, JSON", "p_ssl.log", "slips/test9-mixed-zeek-dir/ssl.log"),
        ("public files.log, JSON", "p_files.log", "slips/test9-mixed-zeek-dir/files.log"),
        ("public binetflow", "p.binetflow", "slips/test2-malicious.binetflow"),
        ("public eve.json", "p_eve.json", "slips/test6-malicious.suricata.json"),
        ("public eve.json, v7", "p_eve7.json", "formats/reference/many-protocols/eve.json"),
    ] {
        if let Some(path) = repeated(&folder, file, &data.join(from)) {
            run(name, &path)?;
        }
    }
    std::fs::remove_dir_all(folder)
}
