//! What the program knows of addresses besides their traffic: databases of places, lists of indicators, as their user meets them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::mmdb::{country, database, network};

/// A fresh folder, removed at the end of the test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("slips-knowledge-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slips"));
        command.current_dir(&self.0).args(args).stdin(Stdio::null());
        // Nothing of the machine's own.
        command.env("XDG_DATA_HOME", self.0.join("home"));
        command
    }

    pub fn slips(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub fn lines(path: &Path) -> Vec<Value> {
    let read = fs::read_to_string(path).unwrap();
    read.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Zeek's conn.log of connections from 10.0.0.5 to these addresses, port 443.
pub fn connections(to: &[&str]) -> String {
    let mut log = String::new();
    for (n, addr) in to.iter().enumerate() {
        log += &format!(
            "{{\"ts\":1600000000.0,\"uid\":\"C{n}\",\"id.orig_h\":\"10.0.0.5\",\"id.orig_p\":{},\"id.resp_h\":\"{addr}\",\
             \"id.resp_p\":443,\"proto\":\"tcp\",\"service\":\"ssl\",\"duration\":1.0,\"orig_bytes\":500,\"resp_bytes\":900,\
             \"conn_state\":\"SF\",\"orig_pkts\":6,\"resp_pkts\":6}}\n",
            40_000 + n
        );
    }
    log
}

#[test]
fn places_stand_in_timeline_profile_summary_and_story() {
    let dir = Scratch::new("places");
    let asn = database("ASN", &[("8.8.8.0/24", network(15169, "Google LLC"))]);
    let land = database("Country", &[("8.0.0.0/8", country("US")), ("147.32.0.0/16", country("CZ"))]);
    dir.file("geo/asn.mmdb", asn);
    dir.file("geo/country.mmdb", land);
    dir.file(
        "conn.log",
        connections(&["8.8.8.8", "147.32.83.255", "224.0.0.9", "100.64.1.1", "8.8.8.8", "192.168.1.1"]),
    );
    dir.file(
        "slips.conf",
        "[geoip]\ndatabases = geo/asn.mmdb, geo/country.mmdb\n[parameters]\nanalysis_direction = all\n",
    );
    let run = dir.slips(&["-f", "conn.log", "-o", "out"]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert!(text(&run.stdout).contains("flows by country: US 2, CZ 1"), "{}", text(&run.stdout));
    let timeline = dir.read("out/10.0.0.5/timeline");
    for part in [
        " to 8.8.8.8 [Google LLC, US] 443/tcp",
        " to 147.32.83.255 [CZ] 443/tcp",
        " to 224.0.0.9 [multicast] 443/tcp",
        " to 100.64.1.1 [provider's own network (carrier-grade NAT)] 443/tcp",
        " to 192.168.1.1 [internal] 443/tcp",
    ] {
        assert!(timeline.contains(part), "{part}\n{timeline}");
    }
    let profile = dir.read("out/8.8.8.8/profile");
    for line in ["Kind of address: public", "Network: AS15169 Google LLC", "Country: US"] {
        assert!(profile.lines().any(|l| l == line), "{line}\n{profile}");
    }
    assert!(dir.read("out/10.0.0.5/profile").contains("Kind of address: private network"));
    let summary: Value = serde_json::from_str(&dir.read("out/summary.json")).unwrap();
    assert_eq!(summary["countries"], serde_json::json!({"CZ": 1, "US": 2}));
    // The usual place of what `slips update --geo` fetched.
    fs::rename(dir.0.join("geo"), dir.0.join("data_geo")).unwrap();
    fs::create_dir_all(dir.0.join("data")).unwrap();
    fs::rename(dir.0.join("data_geo"), dir.0.join("data/geo")).unwrap();
    dir.file("slips.conf", "[update]\ndata_folder = data\n");
    let run = dir.slips(&["-f", "conn.log", "-o", "again"]);
    assert!(text(&run.stdout).contains("flows by country: US 2, CZ 1"), "{}", text(&run.stdout));
    // Without a database nothing is said of places.
    dir.file("slips.conf", "");
    let run = dir.slips(&["-f", "conn.log", "-o", "without"]);
    assert!(run.status.success() && !text(&run.stdout).contains("country"), "{}", text(&run.stdout));
    dir.file("slips.conf", "[geoip]\ndatabases = conn.log\n");
    let run = dir.slips(&["-f", "conn.log", "-o", "refused"]);
    assert_eq!(run.status.code(), Some(2));
    assert!(text(&run.stderr).contains("conn.log: the database cannot be used"), "{}", text(&run.stderr));
}
