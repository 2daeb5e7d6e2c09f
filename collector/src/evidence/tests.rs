//! Accumulation and alerts computed by hand.

use super::*;
use crate::modules::{Kind, Needs};

const KIND: Kind = Kind {
    name: "thing",
    needs: &[Needs::Flows],
    rule: "",
    level: ThreatLevel::High,
    level_note: "",
    confidence: "",
    keys: &[],
    source: "",
    proof: "",
};

const OTHER: Kind = Kind { name: "other", ..KIND };

const HOUR: u64 = 3_600_000_000;

#[derive(Default)]
struct Heard {
    evidence: BTreeMap<u64, Evidence>,
    told: Vec<u64>,
    settled: Vec<u64>,
    alerts: Vec<Alert>,
    decisions: Vec<Decision>,
}

impl Herald for Heard {
    fn raise(&mut self, evidence: &Evidence) {
        self.told.push(evidence.id);
        self.update(evidence);
    }

    fn update(&mut self, evidence: &Evidence) {
        self.evidence.insert(evidence.id, evidence.clone());
    }

    fn settle(&mut self, id: u64) {
        self.settled.push(id);
    }

    fn alert(&mut self, alert: &Alert) {
        self.alerts.push(alert.clone());
    }

    fn decide(&mut self, decision: &Decision) {
        self.decisions.push(decision.clone());
    }
}

fn addr(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn finding(key: u64, level: ThreatLevel, confidence: f64) -> Finding {
    Finding {
        kind: &KIND,
        key: key.into(),
        profile: addr(5),
        attacker: "10.0.0.5".to_owned(),
        attacker_side: Side::Source,
        victim: None,
        port: None,
        proto: None,
        level,
        confidence,
        count: Count::Add(1),
        ts_us: key,
        flow: Some(slips_agent::record::Uid(key)),
        description: format!("thing {key}"),
    }
}

fn place(window: i64) -> Where {
    Where { now_us: 77, window, start_us: window.unsigned_abs() * HOUR, module: "test", shield: None }
}

#[test]
fn threshold_follows_width() {
    for (rate, width, expected) in [
        (0.25, HOUR, 15.0),
        (0.08, HOUR, 4.8),
        (0.43, HOUR, 25.8),
        (0.25, HOUR / 12, 1.25),
        (0.25, 24 * HOUR, 360.0),
        (0.25, u64::MAX, 15.0),
    ] {
        assert!((threshold(rate, width) - expected).abs() < 1e-9, "{rate} {width}");
    }
}

/// 0.25 × 60 = 15: eighteen high (0.8) of confidence 1 make 14.4, the nineteenth makes 15.2.
#[test]
fn the_sum_reaches_the_threshold_and_starts_again() {
    let mut book = Book::new(0.25, HOUR);
    let mut heard = Heard::default();
    for key in 1..=18 {
        book.take(finding(key, ThreatLevel::High, 1.0), place(5), &mut heard);
    }
    assert!(heard.alerts.is_empty());
    book.take(finding(19, ThreatLevel::High, 1.0), place(5), &mut heard);
    let [alert] = heard.alerts.as_slice() else { panic!("one alert") };
    assert!((alert.accumulated - 15.2).abs() < 1e-9 && (alert.threshold - 15.0).abs() < 1e-9);
    assert!((alert.confidence - (15.2 - 4.8) / 21.2).abs() < 1e-9);
    assert_eq!(alert.evidence, (1..=19).collect::<Vec<_>>());
    assert_eq!((alert.ts_us, alert.window, alert.id), (77, 1, 1));
    // What was used does not count again, also when it grows.
    book.take(finding(19, ThreatLevel::Critical, 1.0), place(5), &mut heard);
    for key in 20..=37 {
        book.take(finding(key, ThreatLevel::High, 1.0), place(5), &mut heard);
    }
    assert_eq!(heard.alerts.len(), 1);
    book.take(finding(38, ThreatLevel::High, 1.0), place(5), &mut heard);
    assert_eq!(heard.alerts[1].evidence, (20..=38).collect::<Vec<_>>());
    assert!(heard.alerts[1].description.contains("19 suspicious findings within 1 h 0 min"));
}

/// 75 × 0.2 = 15 exactly, though not in floating point.
#[test]
fn rounding_does_not_hold_back_an_alert() {
    let mut book = Book::new(0.25, HOUR);
    let mut heard = Heard::default();
    for key in 1..=74 {
        book.take(finding(key, ThreatLevel::Low, 1.0), place(0), &mut heard);
    }
    assert!(heard.alerts.is_empty());
    book.take(finding(75, ThreatLevel::Low, 1.0), place(0), &mut heard);
    assert_eq!(heard.alerts.len(), 1);
}

#[test]
fn info_and_the_other_side_never_count_and_windows_are_apart() {
    let mut book = Book::new(0.08, HOUR);
    let mut heard = Heard::default();
    for key in 1..=100 {
        book.take(finding(key, ThreatLevel::Info, 1.0), place(0), &mut heard);
        let other = Finding {
            kind: &OTHER,
            attacker_side: Side::Destination,
            ..finding(key, ThreatLevel::Critical, 1.0)
        };
        book.take(other, place(0), &mut heard);
    }
    // 4.8 = 4 critical and one high; three of each window stay below.
    for window in 1..=9 {
        for key in 1..=4 {
            book.take(finding(key, ThreatLevel::Critical, 1.0), place(window), &mut heard);
        }
    }
    assert!(heard.alerts.is_empty());
    book.take(finding(5, ThreatLevel::High, 1.0), place(4), &mut heard);
    assert_eq!(heard.alerts.len(), 1);
    assert_eq!(heard.alerts[0].window, 5, "window 0 is the profile's first");
    assert_eq!(heard.alerts[0].evidence.len(), 5);
}

#[test]
fn repeats_are_one_evidence_told_on_a_log_scale_and_when_worse() {
    let mut book = Book::new(0.25, HOUR);
    let mut heard = Heard::default();
    for i in 0..150_u64 {
        let repeat = Finding {
            ts_us: i,
            flow: Some(slips_agent::record::Uid(i)),
            ..finding(1, ThreatLevel::Low, 0.5)
        };
        book.take(repeat, place(0), &mut heard);
    }
    let evidence = &heard.evidence[&1];
    assert_eq!((heard.evidence.len(), evidence.count, evidence.flows.len()), (1, 150, MAX_FLOWS));
    assert_eq!((evidence.ts_us, evidence.last_ts_us), (0, 149));
    assert_eq!(heard.told.len(), 3, "at 1, 10, 100");
    book.take(finding(1, ThreatLevel::Medium, 1.0), place(0), &mut heard);
    assert_eq!(heard.told.len(), 4);
    book.take(finding(1, ThreatLevel::Low, 1.0), place(0), &mut heard);
    let evidence = &heard.evidence[&1];
    assert_eq!((evidence.threat_level, evidence.confidence, evidence.count), (ThreatLevel::Medium, 1.0, 152));
    book.close(0, &mut heard);
    assert_eq!(heard.settled, [1]);
    book.take(finding(1, ThreatLevel::Low, 1.0), place(1), &mut heard);
    assert_eq!(heard.evidence[&2].count, 1, "a new window starts anew");
}

#[test]
fn windows_are_numbered_from_the_first_and_backwards() {
    let mut book = Book::new(0.25, HOUR);
    book.created(addr(5), 100);
    assert_eq!([100, 101, 103, 99, 98].map(|w| book.number(addr(5), w)), [1, 2, 4, 0, -1]);
    // Evidence about an address without profile starts its count.
    assert_eq!(book.number(addr(9), 50), 1);
    book.created(addr(9), 52);
    assert_eq!(book.number(addr(9), 52), 3);
    book.forgotten(addr(5));
    assert_eq!(book.number(addr(5), 101), 2);
}

#[test]
fn too_much_evidence_is_refused_and_counted() {
    let mut book = Book::new(1000.0, HOUR);
    let mut heard = Heard::default();
    for key in 0..Book::MAX_EVIDENCE as u64 + 7 {
        book.take(finding(key, ThreatLevel::Low, 1.0), place(0), &mut heard);
    }
    assert_eq!((heard.evidence.len(), book.refused()), (Book::MAX_EVIDENCE, 7));
}

/// 0.8 × 0.5 weighs 0.4, 0.8, 1.2 and 1.6 at 1, 10, 100 and 1,000 observations.
#[test]
fn what_is_seen_again_weighs_at_each_power_of_ten() {
    let alerts_after = |observations: u64, per_minute: f64| {
        let (mut book, mut heard) = (Book::new(per_minute, HOUR), Heard::default());
        for _ in 0..observations {
            book.take(finding(1, ThreatLevel::High, 0.5), place(1), &mut heard);
        }
        heard.alerts.iter().map(|a| a.accumulated).collect::<Vec<_>>()
    };
    let threshold = 1.2 / 60.0;
    assert!(alerts_after(99, threshold).is_empty());
    assert_eq!(alerts_after(100, threshold).len(), 1);
    assert!((alerts_after(100, threshold)[0] - 1.2).abs() < 1e-9);
    assert!(alerts_after(999, 1.6 / 60.0).is_empty());
    assert_eq!(alerts_after(5000, 1.6 / 60.0).len(), 1);
}

/// Invented addresses with one evidence each: the kind is full, another kind is still told, and a closed window makes room.
#[test]
fn a_flood_of_one_kind_hides_no_other() {
    const MOST: usize = 1000;
    let (mut book, mut heard) = (Book::new(0.25, HOUR).with_room(MOST), Heard::default());
    let by = |n: usize| IpAddr::from((n as u32).to_be_bytes());
    for n in 0..MOST + 500 {
        book.take(Finding { profile: by(n), ..finding(1, ThreatLevel::High, 1.0) }, place(1), &mut heard);
    }
    assert_eq!((heard.evidence.len(), book.refused()), (MOST, 500));
    let last = by(MOST + 499);
    book.take(
        Finding { profile: last, kind: &OTHER, ..finding(1, ThreatLevel::High, 1.0) },
        place(1),
        &mut heard,
    );
    book.take(Finding { profile: by(7), ..finding(1, ThreatLevel::High, 1.0) }, place(1), &mut heard);
    assert_eq!(book.refused(), 500, "another kind is new, and what is known still grows");
    book.close(1, &mut heard);
    book.take(Finding { profile: last, ..finding(1, ThreatLevel::High, 1.0) }, place(2), &mut heard);
    assert_eq!((heard.evidence.len(), book.refused()), (MOST + 2, 500));
}

/// Of three windows: ten high findings (0.8) in each make 8; 8 × 1/3 + 8 × 2/3 + 0.8 n reaches 15 at n = 9.
#[test]
fn a_slow_attacker_adds_up_over_detection_windows() {
    let run = |span: u32, close: bool| {
        let (mut book, mut heard) = (Book::new(0.25, HOUR).spanning(span), Heard::default());
        for window in 5..=7_i64 {
            for key in 0..10 {
                book.take(finding(key, ThreatLevel::High, 1.0), place(window), &mut heard);
            }
            if close {
                book.close(window - 1, &mut heard);
            }
        }
        (book, heard)
    };
    assert!(run(1, true).1.alerts.is_empty(), "each window by itself");
    assert!(run(2, true).1.alerts.is_empty(), "8 × 1/2 + 8 stays below 15");
    // Whether the window before is closed already makes no difference.
    for close in [true, false] {
        let (mut book, mut heard) = run(3, close);
        let [alert] = heard.alerts.as_slice() else { panic!("{:?}", heard.alerts) };
        assert!((alert.accumulated - 15.2).abs() < 1e-9, "{}", alert.accumulated);
        assert_eq!(alert.evidence, (1..=29).collect::<Vec<_>>(), "of all three windows");
        assert!(
            alert.description.contains("29 suspicious findings within 3 h 0 min"),
            "{}",
            alert.description
        );
        assert_eq!(alert.window, 3);
        // The tenth of window 7 is left: 0.8 × 2/3, and 14.4 + 0.53 is not 15.
        for key in 0..18 {
            book.take(finding(key, ThreatLevel::High, 1.0), place(8), &mut heard);
        }
        assert_eq!(heard.alerts.len(), 1, "what an alert has used adds no more");
        book.take(finding(18, ThreatLevel::Low, 1.0), place(8), &mut heard);
        assert_eq!(heard.alerts.len(), 2);
        assert_eq!(heard.alerts[1].evidence.first(), Some(&30));
    }
}
