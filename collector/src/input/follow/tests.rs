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

/// Start times of the flows, seconds.
fn starts(records: &[Record]) -> Vec<u64> {
    let start = |r: &Record| if let Record::Flow(f) = r { Some(f.start_us / 1_000_000) } else { None };
    records.iter().filter_map(start).collect()
}

#[test]
fn a_zeek_folder_goes_on_after_a_restart_of_this_program_through_rotations() {
    let folder = Folder::new("restart");
    let kept = folder.0.join("positions.json");
    let follow = || Follow::zeek(&folder.0).with_positions(&kept).unwrap();
    let rotate = |to: &str| fs::rename(folder.0.join("conn.log"), folder.0.join(to)).unwrap();
    let write = |lines: std::ops::Range<u32>| {
        for n in lines {
            folder.append("conn.log", &conn(n));
        }
    };
    // What was rotated before the first start is left alone.
    folder.append("conn.log", HEADER);
    write(0..10);
    rotate("conn.00:00:00-01:00:00.log");
    let (first, ..) = followed(follow(), 50, || {
        folder.append("conn.log", HEADER);
        write(100..150);
        folder.append("conn.log", "150\tC150\t10.0.");
    });
    assert_eq!(starts(&first), (100..150).collect::<Vec<_>>());
    // Nobody looks: the line is ended, the log goes on, is rotated, comes again and is rotated, and comes again.
    folder.append("conn.log", "0.1\t5\t10.0.0.2\t80\ttcp\tSF\n");
    write(151..200);
    rotate("conn.01:00:00-02:00:00.log");
    folder.append("conn.log", HEADER);
    write(200..250);
    rotate("conn.02:00:00-03:00:00.log");
    folder.append("conn.log", HEADER);
    write(250..300);
    let (second, totals, _) = followed(follow(), 150 + 20, || write(300..320));
    assert_eq!(starts(&second), (150..320).collect::<Vec<_>>());
    assert_eq!(totals.bad_records, 0);
    // A start at which nothing has come.
    let (third, ..) = followed(follow(), 0, || {});
    assert!(third.is_empty());
    // Packed and gone while nobody looked: said, and the new file read whole.
    fs::remove_file(folder.0.join("conn.log")).unwrap();
    folder.append("conn.log", HEADER);
    write(400..410);
    let said = std::cell::RefCell::new(Vec::new());
    Growing::new(&folder.0)
        .resume(&Store::open(&kept).unwrap().1.unwrap(), &|text| said.borrow_mut().push(text.to_owned()));
    assert!(said.borrow()[0].contains("is not there any more"), "{said:?}");
    let (fourth, ..) = followed(follow(), 10, || {});
    assert_eq!(starts(&fourth), (400..410).collect::<Vec<_>>());
}

#[test]
fn an_eve_json_goes_on_after_a_restart_of_this_program() {
    let folder = Folder::new("restart-eve");
    let (path, kept) = (folder.0.join("eve.json"), folder.0.join("positions.json"));
    let follow = || Follow::suricata(&path).with_positions(&kept).unwrap();
    let flow = |n: u32| {
        format!(
            "{{\"timestamp\":\"1970-01-01T00:00:00+0000\",\"flow_id\":{n},\"event_type\":\"flow\",\"src_ip\":\"10.0.0.1\",\"src_port\":9,\"dest_ip\":\"10.0.0.2\",\"dest_port\":80,\"proto\":\"TCP\",\"flow\":{{\"start\":\"{n}\",\"end\":\"{n}\"}}}}\n"
        )
    };
    let write = |lines: std::ops::Range<u32>| lines.for_each(|n| folder.append("eve.json", &flow(n)));
    let (first, ..) = followed(follow(), 100, || write(100..200));
    write(200..250);
    fs::rename(&path, folder.0.join("eve.json.1")).unwrap();
    write(250..300);
    let (second, totals, _) = followed(follow(), 110, || write(300..310));
    let all: Vec<u64> = starts(&first).into_iter().chain(starts(&second)).collect();
    assert_eq!((all, totals.bad_records), ((100..310).collect(), 0));
    // Emptied while nobody looked.
    fs::write(&path, "").unwrap();
    write(400..405);
    let (third, ..) = followed(follow(), 5, || {});
    assert_eq!(starts(&third), (400..405).collect::<Vec<_>>());
}

#[test]
fn what_is_kept_while_the_program_runs_lags_behind() {
    let folder = Folder::new("lag");
    let kept = folder.0.join("positions.json");
    let at = |offset| {
        let file = (1, 2, None);
        Positions::new(vec![Position { path: "eve.json".into(), file, offset, lines: 1 }], Vec::new())
    };
    let on_disk = || Store::open(&kept).unwrap().1.map(|p| p.files[0].offset);
    let (mut store, nothing) = Store::open(&kept).unwrap();
    assert_eq!(nothing, None);
    let begin = Instant::now();
    for (ms, offset) in [(0, 10), (500, 20), (1900, 30)] {
        store.round(begin + Duration::from_millis(ms), || at(offset)).unwrap();
        assert_eq!(on_disk(), None);
    }
    store.round(begin + Duration::from_millis(2100), || at(40)).unwrap();
    assert_eq!(on_disk(), Some(10));
    store.round(begin + Duration::from_millis(4200), || at(50)).unwrap();
    assert_eq!(on_disk(), Some(40));
    store.end(at(60)).unwrap();
    assert_eq!(on_disk(), Some(60));
    fs::write(&kept, "{\"version\":9}").unwrap();
    assert!(Store::open(&kept).err().unwrap().what.starts_with("is no file of positions"));
    let missing = folder.0.join("none/positions.json");
    assert!(Store::open(&missing).unwrap().0.end(at(1)).unwrap_err().what.starts_with("cannot be written"));
}
