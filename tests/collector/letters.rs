//! `--export-letters`: the vectors that the original function gave, as flows of a Zeek log through the program; and a beacon's letters.

use std::fs;

use crate::program::{Scratch, slips, text};
use crate::support::own_data;

/// Rows of a table of letters: tuple, letters, profile, window, direction, length.
fn rows(scratch: &Scratch) -> Vec<Vec<String>> {
    let table = fs::read_to_string(scratch.0.join("letters.tsv")).unwrap();
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some("tuple\tletters\tprofile\twindow\tdirection\tlength"));
    lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// Starts (relative), duration, bytes, letters: slips-0.7.1, made by running the original function.
type Vector = (&'static [f64], f64, u64, &'static str);

const VECTORS: [Vector; 8] = [
    (&[0., 60., 120., 180., 240., 300.], 0.05, 200, "11,a,a,a,a,"),
    (&[0., 60., 120., 180., 240.], 5.0, 1000, "55,e,e,e,"),
    (&[0., 10., 20., 33., 47., 127., 206.], 12.0, 5000, "99,i,I,I,Z+i+"),
    (&[0., 3600., 7200., 14399., 34399.], 0.1, 250, "11*0a*0r00000r"),
    (&[0., 0., 0., 0.], 0.0, 0, "11.a.a."),
    (&[0., 10., 5., 15.], 1.0, 300, "55,e.e,"),
    (&[0., 100., 205., 341.5, 1024.], 10.0, 1100, "55+e+E+v*"),
    (&[0., 5., 65., 365., 3965., 7566.], 10.01, 1101, "99.Z,z+0Z*0i"),
];

#[test]
fn the_vectors_of_the_original_come_out_of_the_program() {
    for (number, (starts, duration, bytes, expected)) in VECTORS.into_iter().enumerate() {
        let scratch = Scratch::new(&format!("letters-{number}"));
        let mut log = String::new();
        for (n, start) in starts.iter().enumerate() {
            log += &format!(
                "{{\"ts\":{:.6},\"uid\":\"C{n}\",\"id.orig_h\":\"10.0.0.5\",\"id.orig_p\":{},\"id.resp_h\":\"203.0.113.9\",\"id.resp_p\":443,\
                 \"proto\":\"tcp\",\"duration\":{duration},\"orig_bytes\":{bytes},\"resp_bytes\":0,\"conn_state\":\"SF\",\"orig_pkts\":3,\"resp_pkts\":3,\
                 \"orig_ip_bytes\":{bytes},\"resp_ip_bytes\":0,\"history\":\"ShADaFf\"}}\n",
                1_600_000_000.0 + start,
                40_000 + n,
            );
        }
        scratch.file("conn.log", log.as_bytes());
        let args =
            ["-v", "0", "-f", "conn.log", "-w", "only_one_tw", "-l", "--export-letters", "letters.tsv"];
        let ended = slips(&scratch.0, &args);
        assert!(ended.status.success(), "{}", text(&ended.stderr));
        let row = ["203.0.113.9-443-tcp", expected, "10.0.0.5", "1", "out", &expected.len().to_string()];
        assert_eq!(rows(&scratch), [row], "vector {number}");
    }
}

#[test]
fn every_window_has_its_own_and_a_file_that_cannot_be_is_refused() {
    let scratch = Scratch::new("letters-beacon");
    let input = own_data().join("beacon.pcap").display().to_string();
    let args = ["-v", "0", "-r", &input, "-w", "60", "-o", "out", "--export-letters", "letters.tsv"];
    assert!(slips(&scratch.0, &args).status.success());
    let rows = rows(&scratch);
    let mut windows: Vec<&str> = rows.iter().map(|row| row[3].as_str()).collect();
    windows.dedup();
    assert!(windows.len() > 1, "{rows:?}");
    // The table says what the window files say.
    for row in rows {
        let profile = fs::read_dir(scratch.0.join("out").join(&row[2])).unwrap().flatten();
        let end = format!(".timewindow{}", row[3]);
        let window = profile.map(|e| e.path()).find(|path| path.to_string_lossy().ends_with(&end)).unwrap();
        assert!(fs::read_to_string(window).unwrap().contains(&format!("\t{} (['{}', ", row[0], row[1])));
    }
    let refused = slips(&scratch.0, &["-r", &input, "-o", "other", "--export-letters", "no/such/folder.tsv"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(!scratch.0.join("other").exists(), "nothing is left behind");
}
