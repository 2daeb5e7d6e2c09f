use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::input::Record;

struct Kept<'a>(&'a Mutex<Vec<Record>>, &'a AtomicBool);

impl Intake for Kept<'_> {
    fn take(&mut self, record: Record) {
        self.0.lock().unwrap().push(record);
    }

    fn idle(&mut self, _: u64) {
        self.1.store(true, Ordering::Relaxed);
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("slips-follow-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.0.join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Follows while `write` writes; ends when `expected` records have come, and a little later to see that no more do.
fn followed(mut source: Follow, expected: usize, write: impl FnOnce()) -> (Vec<Record>, InputTotals, bool) {
    let (stop, kept, idle) = (AtomicBool::new(false), Mutex::new(Vec::new()), AtomicBool::new(false));
    let totals = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            source
                .read(&mut Kept(&kept, &idle), Job { stop: &stop, progress: &|_| {}, say: &|_| {} })
                .unwrap()
        });
        write();
        let begin = Instant::now();
        while kept.lock().unwrap().len() < expected && begin.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(2 * LOOK);
        stop.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    (kept.into_inner().unwrap(), totals, idle.into_inner())
}

const HEADER: &str = "#separator \\x09\n#path\tconn\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tconn_state\n";

fn conn(n: u32) -> String {
    format!("{n}\tC{n}\t10.0.0.1\t{}\t10.0.0.2\t80\ttcp\tSF\n", n % 60_000)
}

#[test]
fn a_zeek_folder_through_rotations_and_restarts() {
    let folder = Folder::new("zeek");
    let pause = || std::thread::sleep(Duration::from_millis(3));
    let (records, totals, idle) = followed(Follow::zeek(&folder.0), 1000 + 500, || {
        for round in 0..10u32 {
            folder.append("conn.log", HEADER);
            for n in 0..100 {
                let line = conn(round * 100 + n);
                // Lines arrive in two pieces, as from a writer's buffer.
                let (a, b) = line.split_at((n as usize * 7) % line.len());
                folder.append("conn.log", a);
                if n % 25 == 0 {
                    pause();
                }
                folder.append("conn.log", b);
                if n % 2 == 0 {
                    folder.append("dns.log", &format!("{{\"ts\":{}.5,\"uid\":\"D{}\",\"id.orig_h\":\"10.0.0.1\",\"id.orig_p\":5,\"id.resp_h\":\"10.0.0.9\",\"id.resp_p\":53,\"proto\":\"udp\",\"query\":\"x\"}}\n", round * 100 + n, round * 100 + n));
                }
            }
            folder.append("conn.log", "#close\t2024-01-01-00-00-00\n");
            fs::rename(
                folder.0.join("conn.log"),
                folder.0.join(format!("conn.{round:02}:00:00-{:02}:00:00.log", round + 1)),
            )
            .unwrap();
            pause();
        }
    });
    let flows: Vec<u64> = records
        .iter()
        .filter_map(|r| if let Record::Flow(f) = r { Some(f.start_us / 1_000_000) } else { None })
        .collect();
    assert_eq!(flows.len(), 1000, "{:?}", totals.losses);
    assert_eq!(flows.iter().collect::<BTreeSet<_>>().len(), 1000);
    assert_eq!((records.len(), totals.bad_records, idle), (1500, 0, true));
}

#[test]
fn an_eve_json_through_rotation_and_truncation() {
    let folder = Folder::new("eve");
    let event = |n: u32| {
        format!(
            "{{\"timestamp\":\"2021-06-06T15:57:37.{n:06}+0200\",\"flow_id\":{n},\"event_type\":\"anomaly\",\"src_ip\":\"10.0.0.1\",\"dest_ip\":\"10.0.0.2\",\"proto\":\"TCP\",\"anomaly\":{{\"event\":\"e{n}\"}}}}\n"
        )
    };
    let path = folder.0.join("eve.json");
    let reader_catches_up = || std::thread::sleep(3 * LOOK);
    let (records, totals, _) = followed(Follow::suricata(&path), 600, || {
        for n in 0..200 {
            folder.append("eve.json", &event(n));
        }
        reader_catches_up();
        fs::rename(&path, folder.0.join("eve.json.1")).unwrap();
        folder.append("eve.json.1", &event(200));
        for n in 201..400 {
            folder.append("eve.json", &event(n));
        }
        // copytruncate: what was read is gone, the file goes on shorter.
        reader_catches_up();
        fs::write(&path, "").unwrap();
        reader_catches_up();
        for n in 400..600 {
            folder.append("eve.json", &event(n));
        }
    });
    let names: BTreeSet<String> = records.iter().map(|r| format!("{r:?}")).collect();
    assert_eq!((records.len(), names.len(), totals.bad_records), (600, 600, 0));
}
