//! Speed and memory of the readers of text formats, one core, without analysis: megabytes and records a second, and what a
//! source of many gigabytes needs.
//!
//! Kind: single stage, from the page cache, processor time of one thread. Run: `cargo bench -p slips --bench inputs`. The texts
//! are made here, with as many different values as the real ones have, or taken from the public data where it is. The bound of
//! the project is 400 MB/s or a million records a second, whichever is lower; a format that misses both is marked.
//!
//! `-- memory 10` reads 10 MB and then 10 GB of each made format and tells the peak memory of both. They are streams made on
//! the way, but for an eve.json whose flows stand far behind what was said in them: that one the reader has to sort, so it is a
//! file in the folder of temporary files.

use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use slips::input::{Intake, Job, Record, Source, Stream, Wish, open, open_stream};

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

/// What is made here.
struct Made {
    name: &'static str,
    file: &'static str,
    head: &'static str,
    line: fn(u64) -> String,
}

const MADE: [Made; 7] = [
    Made { name: "Zeek conn.log, columns", file: "conn.log", head: CONN_HEAD, line: conn_columns },
    Made { name: "Zeek conn.log, JSON", file: "conn_json.log", head: "", line: conn_json },
    Made { name: "Zeek dns.log, JSON", file: "dns_json.log", head: "", line: dns_json },
    Made { name: "Argus binetflow", file: "a.binetflow", head: ARGUS_HEAD, line: argus },
    Made { name: "eve.json, flow", file: "flow.json", head: "", line: eve_flow },
    Made { name: "eve.json, alert", file: "alert.json", head: "", line: eve_alert },
    Made { name: "eve.json, unordered", file: "unordered.json", head: "", line: eve_unordered },
];

const CONN_HEAD: &str = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tresp_bytes\tconn_state\tlocal_orig\tlocal_resp\tmissed_bytes\thistory\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes\ttunnel_parents\n";
const ARGUS_HEAD: &str = "StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,sTos,dTos,TotPkts,TotBytes,SrcBytes,SrcPkts,Label\n";

fn ip(n: u64) -> String {
    format!("10.{}.{}.{}", n % 7, (n / 7) % 250, (n * 31) % 250)
}

fn conn_columns(n: u64) -> String {
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
}

fn conn_json(n: u64) -> String {
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
}

fn dns_json(n: u64) -> String {
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
}

fn argus(n: u64) -> String {
    format!(
        "2019/04/{:02} {:02}:{:02}:{:02}.{:06},{}.{:06},tcp,{},{},   ->,{},443,FSPA_FSPA,0,0,{},{},{},{},\n",
        n / 8_640_000 % 30 + 1,
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
}

/// A hundred events a second.
fn eve_time(n: u64) -> String {
    format!(
        "2021-06-{:02}T{:02}:{:02}:{:02}.{:06}+0200",
        n / 8_640_000 % 30 + 1,
        n / 360_000 % 24,
        n / 6000 % 60,
        n / 100 % 60,
        n % 100 * 10_000
    )
}

fn eve_head(n: u64, kind: &str) -> String {
    format!(
        "{{\"timestamp\":\"{}\",\"flow_id\":{},\"event_type\":\"{kind}\",\"src_ip\":\"{}\",\"src_port\":{},\"dest_ip\":\"{}\",\"dest_port\":443,\"proto\":\"TCP\"",
        eve_time(n),
        n * 2_654_435_761,
        ip(n),
        n % 60_000,
        ip(n * 3)
    )
}

fn eve_flow(n: u64) -> String {
    let at = eve_time(n);
    format!(
        "{},\"app_proto\":\"tls\",\"flow\":{{\"pkts_toserver\":{},\"pkts_toclient\":{},\"bytes_toserver\":{},\"bytes_toclient\":{},\"start\":\"{at}\",\"end\":\"{at}\",\"age\":0,\"state\":\"closed\",\"reason\":\"timeout\",\"alerted\":false}},\"community_id\":\"1:VDLoaSVwkh1IBWGcTKSoBfvfKcE=\",\"tcp\":{{\"tcp_flags\":\"1b\",\"tcp_flags_ts\":\"1b\",\"tcp_flags_tc\":\"1b\",\"syn\":true,\"fin\":true,\"psh\":true,\"ack\":true,\"state\":\"closed\",\"ts_max_regions\":1,\"tc_max_regions\":1}}}}\n",
        eve_head(n, "flow"),
        n % 90,
        n % 80,
        n % 9000,
        n % 70_000
    )
}

fn eve_alert(n: u64) -> String {
    format!(
        "{},\"alert\":{{\"action\":\"allowed\",\"gid\":1,\"signature_id\":{},\"rev\":66418,\"signature\":\"ET CINS Active Threat Intelligence Poor Reputation IP group 89\",\"category\":\"Misc Attack\",\"severity\":2,\"metadata\":{{\"affected_product\":[\"Any\"],\"attack_target\":[\"Any\"],\"created_at\":[\"2013_10_08\"],\"deployment\":[\"Perimeter\"],\"signature_severity\":[\"Major\"],\"tag\":[\"CINS\"],\"updated_at\":[\"2021_06_07\"]}}}},\"flow\":{{\"pkts_toserver\":1,\"pkts_toclient\":0,\"bytes_toserver\":60,\"bytes_toclient\":0,\"start\":\"2021-06-06T15:59:46.457984+0200\"}}}}\n",
        eve_head(n, "alert"),
        2_400_000 + n % 5000
    )
}

/// Of ten events the flows come four minutes of traffic late.
fn eve_unordered(n: u64) -> String {
    match n % 10 {
        0..4 => eve_flow(n.saturating_sub(24_000)),
        _ => eve_alert(n),
    }
}

/// A stream of lines that are made as they are read.
struct Lines {
    line: fn(u64) -> String,
    n: u64,
    ready: Vec<u8>,
    from: usize,
    left: u64,
}

impl Lines {
    fn new(made: &Made, bytes: u64) -> Self {
        Self { line: made.line, n: 0, ready: made.head.into(), from: 0, left: bytes }
    }
}

impl Read for Lines {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        if self.from == self.ready.len() {
            self.ready.clear();
            self.from = 0;
            while self.ready.len() < 64 << 10 && self.left > 0 {
                let line = (self.line)(self.n);
                self.n += 1;
                self.left = self.left.saturating_sub(line.len() as u64);
                self.ready.extend_from_slice(line.as_bytes());
            }
        }
        let got = self.ready.get(self.from..).unwrap_or_default().read(room)?;
        self.from += got;
        Ok(got)
    }
}

/// A file of about so many bytes.
fn make(folder: &Path, made: &Made, bytes: u64) -> std::io::Result<PathBuf> {
    let path = folder.join(made.file);
    let mut file = BufWriter::new(std::fs::File::create(&path)?);
    std::io::copy(&mut Lines::new(made, bytes), &mut file)?;
    file.flush()?;
    Ok(path)
}

/// A file of the public data over and over, header once.
fn repeated(folder: &Path, name: &str, source: &Path) -> Option<PathBuf> {
    let text = std::fs::read(source).ok()?;
    let is_head = |l: &&[u8]| l.starts_with(b"#") || l.starts_with(b"StartTime");
    let lines = || text.split_inclusive(|b| *b == b'\n');
    let mut out: Vec<u8> =
        lines().filter(|l| is_head(l) && !l.starts_with(b"#close")).flatten().copied().collect();
    let body: Vec<u8> = lines().filter(|l| !is_head(l)).flatten().copied().collect();
    while out.len() < 64 << 20 && !body.is_empty() {
        out.extend_from_slice(&body);
    }
    let path = folder.join(name);
    std::fs::write(&path, out).ok()?;
    Some(path)
}

/// Peak memory of this process since the last call, bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or_default();
    // The kernel begins a new peak.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1024
}

#[allow(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn memory(folder: &Path, gigabytes: u64) -> std::io::Result<()> {
    for made in &MADE {
        let mut peaks = [0; 2];
        let mut records = 0;
        for (peak_of, bytes) in peaks.iter_mut().zip([10_000_000, gigabytes * 1_000_000_000]) {
            let sorted = made.name.ends_with("unordered");
            let opened = if sorted {
                open(&make(folder, made, bytes)?, &Wish::default())
            } else {
                let stream = Stream::over(made.name.to_owned(), Box::new(Lines::new(made, bytes)), None)?;
                open_stream(stream, Path::new("-"), &Wish::default())
            };
            let (mut count, stop) = (Count(0), AtomicBool::new(false));
            peak();
            let job = Job { stop: &stop, progress: &|_| {}, say: &|text| println!("{text}") };
            match opened.and_then(|mut source| source.read(&mut count, job)) {
                Ok(_) => (*peak_of, records) = (peak(), count.0),
                Err(error) => println!("{:<24} {error}", made.name),
            }
        }
        let [small, large] = peaks.map(|p| p as f64 / 1e6);
        println!(
            "{:<24} 10 MB: peak {small:>5.1} MB   {gigabytes} GB ({records} records): peak {large:>5.1} MB",
            made.name
        );
    }
    Ok(())
}

fn speed(folder: &Path, only: &str) -> std::io::Result<()> {
    for made in MADE.iter().filter(|made| made.name.contains(only)) {
        run(made.name, &make(folder, made, 64 << 20)?)?;
    }
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
        if name.contains(only)
            && let Some(path) = repeated(folder, file, &data.join(from))
        {
            run(name, &path)?;
        }
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let folder = std::env::temp_dir().join(format!("slips-bench-inputs-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let done = match args.as_slice() {
        [what, gigabytes] if what == "memory" => memory(&folder, gigabytes.parse().unwrap_or(1)),
        _ => speed(&folder, &args.join(" ")),
    };
    std::fs::remove_dir_all(folder)?;
    done
}
