//! Flow files as their user meets them: what a bad line costs, when a file is refused, standard input, several inputs at once,
//! and the bar on a terminal. The same for each text format.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::program::{Scratch, command, slips, text};
use crate::support::own_data;

/// A text format: what stands before the records, a record by number, and what is said to be expected.
struct Notation {
    name: &'static str,
    head: &'static str,
    good: fn(u32) -> String,
    /// A record with a value that is no port, and how that is called.
    port: fn(u32) -> String,
    field: &'static str,
    /// What a line that ends too early should have had.
    rest: &'static str,
    /// What a file that is none of this format should have held.
    expected: &'static str,
    format: &'static str,
}

const ZEEK_HEAD: &str = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tduration\torig_bytes\tresp_bytes\tconn_state\n";
const ARGUS_HEAD: &str =
    "StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,sTos,dTos,TotPkts,TotBytes,SrcBytes\n";

fn columns(n: u32, port: &str) -> String {
    format!("{}.5\tC{n}\t10.0.0.1\t{port}\t203.0.113.2\t443\ttcp\t0.5\t100\t200\tSF", 1_700_000_000 + n)
}

fn json(n: u32, port: &str) -> String {
    format!(
        "{{\"ts\":{}.5,\"uid\":\"C{n}\",\"id.orig_h\":\"10.0.0.1\",\"id.orig_p\":{port},\"id.resp_h\":\"203.0.113.2\",\"id.resp_p\":443,\"proto\":\"tcp\",\"duration\":0.5,\"orig_bytes\":100,\"resp_bytes\":200,\"conn_state\":\"SF\"}}",
        1_700_000_000 + n
    )
}

fn eve(n: u32, port: &str) -> String {
    let at = format!("2023-11-14T22:{:02}:{:02}.500000+0000", n / 60 % 60, n % 60);
    format!(
        "{{\"timestamp\":\"{at}\",\"flow_id\":{n},\"event_type\":\"flow\",\"src_ip\":\"10.0.0.1\",\"src_port\":{port},\"dest_ip\":\"203.0.113.2\",\"dest_port\":443,\"proto\":\"TCP\",\"flow\":{{\"pkts_toserver\":5,\"pkts_toclient\":4,\"bytes_toserver\":400,\"bytes_toclient\":300,\"start\":\"{at}\",\"end\":\"{at}\",\"state\":\"closed\"}},\"tcp\":{{\"tcp_flags_ts\":\"1b\",\"tcp_flags_tc\":\"1b\"}}}}"
    )
}

fn argus(n: u32, port: &str) -> String {
    format!(
        "2023/11/14 22:{:02}:{:02}.500000,0.5,tcp,10.0.0.1,{port},   ->,203.0.113.2,443,FSPA_FSPA,0,0,9,700,400",
        n / 60 % 60,
        n % 60
    )
}

const NOTATIONS: [Notation; 4] = [
    Notation {
        name: "conn.log",
        head: ZEEK_HEAD,
        good: |n| columns(n, &(1024 + n % 60_000).to_string()),
        port: |n| columns(n, "99999"),
        field: "id.orig_p",
        rest: "found the end of the line, expected as many columns as #fields names",
        expected: "are no records of Zeek's conn log; first at",
        format: "zeek",
    },
    Notation {
        name: "json.log",
        head: "",
        good: |n| json(n, &(1024 + n % 60_000).to_string()),
        port: |n| json(n, "99999"),
        field: "id.orig_p",
        rest: "found the end of the line, expected the rest of the record",
        expected: "are no records of Zeek's conn log; first at",
        format: "zeek",
    },
    Notation {
        name: "eve.json",
        head: "",
        good: |n| eve(n, &(1024 + n % 60_000).to_string()),
        port: |n| eve(n, "99999"),
        field: "src_port",
        rest: "found the end of the line, expected the rest of the record",
        expected: "are no events of Suricata; first at",
        format: "suricata",
    },
    Notation {
        name: "flows.binetflow",
        head: ARGUS_HEAD,
        good: |n| argus(n, &(1024 + n % 60_000).to_string()),
        port: |n| argus(n, "99999"),
        field: "sport",
        rest: "found the end of the line, expected as many columns as the header",
        expected: "are no records of Argus; first at",
        format: "argus",
    },
];

/// A file of `lines` records in which those that `bad` names are cut in the middle.
fn file(notation: &Notation, lines: u32, bad: impl Fn(u32) -> bool) -> String {
    let mut out = notation.head.to_owned();
    for n in 0..lines {
        let line = (notation.good)(n);
        writeln!(out, "{}", if bad(n) { &line[..line.len() / 2] } else { &line }).unwrap();
    }
    out
}

/// What a sentence shows of a line from the trouble on.
fn excerpt(rest: &str) -> String {
    let more = if rest.len() > 40 { "…" } else { "" };
    format!("\"{}{more}\"", rest[..rest.len().min(40)].replace('\t', " "))
}

fn summary(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn quiet(dir: &Path, args: &[&str]) -> Output {
    slips(dir, &[&["-v", "0", "-l", "--json"], args].concat())
}

#[test]
fn a_bad_line_costs_itself_and_the_first_of_each_kind_is_shown_with_its_place() {
    let scratch = Scratch::new("bad-lines");
    for notation in &NOTATIONS {
        let head = notation.head.lines().count();
        let mut lines: Vec<String> = (0..50).map(notation.good).collect();
        for at in [10, 20] {
            lines[at] = (notation.port)(10);
        }
        let cut = lines[30][..lines[30].len() / 2].to_owned();
        for at in [30, 31, 32] {
            lines[at].clone_from(&cut);
        }
        scratch.file(notation.name, format!("{}{}\n", notation.head, lines.join("\n")).as_bytes());
        let output = quiet(&scratch.0, &["-f", notation.name]);
        let found = summary(&output);
        let port = lines[10].find("99999").unwrap() + 1;
        let shown = excerpt(&lines[10][port - 1..]);
        let said = format!(
            "slips: {name}:{}:{port}: {}: found {shown}, expected a port from 0 to 65535{}\nslips: {name}:{}:{}: {}\n",
            head + 11,
            notation.field,
            if notation.format == "argus" { ", or hexadecimal with 0x" } else { "" },
            head + 31,
            cut.len() + 1,
            notation.rest,
            name = notation.name,
        );
        assert_eq!(text(&output.stderr), said);
        assert_eq!((found["flows"].as_u64(), found["bad_records"].as_u64()), (Some(45), Some(5)));
        assert_eq!(found["losses"]["bad port"], 2, "{found}");
    }
}

#[test]
fn a_file_most_of_whose_first_thousand_lines_are_bad_is_refused_with_what_was_expected() {
    let scratch = Scratch::new("mostly-bad");
    for notation in &NOTATIONS {
        // Half of them, and as many later as there may be.
        scratch.file(notation.name, file(notation, 3000, |n| n >= 1000 || n % 2 == 1).as_bytes());
        let found = summary(&quiet(&scratch.0, &["-f", notation.name]));
        assert_eq!((found["flows"].as_u64(), found["bad_records"].as_u64()), (Some(500), Some(2500)));
        // One more.
        scratch.file(notation.name, file(notation, 3000, |n| n < 1000 && (n % 2 == 1 || n == 4)).as_bytes());
        for format in [None, Some(notation.format)] {
            let mut args = vec!["-f", notation.name];
            args.extend(format.iter().flat_map(|f| ["--format", f]));
            let output = quiet(&scratch.0, &args);
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{error}");
            assert!(
                error.starts_with(&format!("slips: {}: 501 of the first 1000 lines", notation.name)),
                "{error}"
            );
            assert!(error.contains(notation.expected) && error.contains(notation.rest), "{error}");
            assert_eq!(error.trim_end().lines().count(), 1, "{error}");
            assert!(output.stdout.is_empty());
        }
    }
}

#[test]
fn standard_input_in_the_format_that_is_said_or_recognised() {
    let scratch = Scratch::new("stdin");
    for notation in &NOTATIONS {
        let bytes = file(notation, 200, |_| false);
        for args in [vec!["-f", "-", "--format", notation.format], vec!["-f", "-"]] {
            let mut child = command(&scratch.0, &[&["-v", "0", "-l", "--json"], &args[..]].concat())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(bytes.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(text(&output.stderr), "", "nothing to say, and no bar in a pipe");
            assert_eq!(summary(&output)["flows"], 200, "{args:?}");
        }
    }
    // What is said wins over what is seen.
    scratch.file("eve.json", file(&NOTATIONS[2], 20, |_| false).as_bytes());
    let output = quiet(&scratch.0, &["-f", "eve.json", "--format", "argus"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("neither a header nor a record of Argus"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn several_inputs_of_several_formats_are_one_run() {
    let scratch = Scratch::new("formats");
    let mut args = vec!["--check".to_owned()];
    let mut expected = String::new();
    for (notation, said) in NOTATIONS.iter().zip([
        "Zeek conn.log, tab-separated, recognised by its header",
        "Zeek conn.log, JSON, recognised by the names in its JSON",
        "Suricata eve.json, recognised by its event_type",
        "Argus flow records, comma-separated, recognised by its columns",
    ]) {
        scratch.file(notation.name, file(notation, 100, |_| false).as_bytes());
        args.extend(["-f".to_owned(), notation.name.to_owned()]);
        writeln!(expected, "ready: {} ({said})", notation.name).unwrap();
    }
    let nfcapd = own_data().join("formats/sweep-icmp/nfcapd").display().to_string();
    let pcap = own_data().join("web.pcap").display().to_string();
    args.extend(["-b".to_owned(), nfcapd.clone(), "-r".to_owned(), pcap.clone()]);
    let of = |args: &[String]| slips(&scratch.0, &args.iter().map(String::as_str).collect::<Vec<_>>());
    let said = text(&of(&args).stdout);
    assert!(said.contains(&expected) && said.contains(&format!("ready: {pcap} (capture file)\n")), "{said}");
    assert!(said.contains(&format!("ready: {nfcapd} (nfdump file of version 1.7, ")), "{said}");
    let flows = |args: &[String]| {
        let all: Vec<String> =
            ["-v", "0", "-l", "--json"].map(str::to_owned).into_iter().chain(args.iter().cloned()).collect();
        summary(&of(&all))["flows"].as_u64().unwrap()
    };
    let alone: u64 = args[1..].chunks(2).map(flows).sum();
    assert_eq!(flows(&args[1..]), alone);
}

#[test]
fn a_terminal_gets_a_bar_with_rate_and_time_left() {
    let scratch = Scratch::new("bar");
    let notation = &NOTATIONS[0];
    scratch.file(notation.name, file(notation, 40_000, |_| false).as_bytes());
    // `script` gives the program a terminal.
    let call = format!("{} -v 0 -l --json -f {}", env!("CARGO_BIN_EXE_slips"), notation.name);
    let output = Command::new("script")
        .args(["-qec", &call, "typescript"])
        .current_dir(&scratch.0)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let shown = String::from_utf8_lossy(&fs::read(scratch.0.join("typescript")).unwrap()).into_owned();
    assert!(shown.contains("packets or records, ") && shown.contains(" left)"), "{shown}");
    assert!(shown.contains("MiB/s") || shown.contains("KiB/s"), "{shown}");
    // The same in a pipe.
    let output = quiet(&scratch.0, &["-f", notation.name]);
    assert_eq!((text(&output.stderr), summary(&output)["flows"].as_u64()), (String::new(), Some(40_000)));
}

/// A stream of `megabytes` with the traffic of the same hosts through the whole program. Gives its peak memory, bytes.
fn peak_of_a_stream(dir: &Path, notation: &Notation, megabytes: usize) -> u64 {
    let mut child = command(dir, &["-v", "0", "-l", "--json", "-f", "-", "--format", notation.format])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(notation.head.as_bytes()).unwrap();
    let (mut sent, mut n) = (0, 0);
    while sent < megabytes * 1_000_000 {
        let piece: String = (n..n + 1000).map(|n| (notation.good)(n) + "\n").collect();
        pipe.write_all(piece.as_bytes()).unwrap();
        (sent, n) = (sent + piece.len(), n + 1000);
    }
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    let found = summary(&output);
    assert_eq!(found["flows"].as_u64(), Some(u64::from(n)), "{}", text(&output.stderr));
    found["peak_rss_bytes"].as_u64().unwrap()
}

/// The full size, 10 GB against 10 MB, is measured by `tests/bench/inputs.rs`.
#[test]
fn a_stream_ten_times_as_long_needs_no_more_memory() {
    let scratch = Scratch::new("constant-memory");
    for notation in &NOTATIONS {
        let small = peak_of_a_stream(&scratch.0, notation, 2);
        let large = peak_of_a_stream(&scratch.0, notation, 20);
        // Ten times the input is 18 MB more.
        assert!(large < small + 4_000_000, "{}: {small} bytes for 2 MB, {large} for 20 MB", notation.name);
    }
}
