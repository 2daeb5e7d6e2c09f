use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::queue::Queue;
use super::receivers::Pace;
use super::sender::Sender;
use super::*;
use crate::evidence::{Evidence, Side};

fn evidence(id: u64, level: ThreatLevel, count: u64) -> Evidence {
    Evidence {
        id,
        kind: "test",
        module: "test",
        profile: "10.0.0.1".parse().unwrap(),
        window: 1,
        window_start_us: 0,
        ts_us: 0,
        last_ts_us: count,
        attacker: "10.0.0.1".to_owned(),
        attacker_side: Side::Source,
        victim: None,
        port: None,
        proto: None,
        threat_level: level,
        confidence: 1.0,
        count,
        flows: Vec::new(),
        description: format!("evidence {id}"),
    }
}

fn item(id: u64, level: ThreatLevel, count: u64) -> Arc<Item> {
    Arc::new(Item { sensor: "s".into(), site: None, body: Body::Evidence(evidence(id, level, count)) })
}

fn ids(batch: &[Arc<Item>]) -> Vec<(u64, u64)> {
    let of = |item: &Arc<Item>| match &item.body {
        Body::Evidence(e) => (e.id, e.count),
        Body::Alert { .. } | Body::Test => (0, 0),
    };
    batch.iter().map(of).collect()
}

#[test]
fn a_full_queue_drops_the_least_important_and_counts() {
    use ThreatLevel::{High, Low, Medium};
    let queue = Queue::new(3);
    for (id, level) in [(1, Low), (2, High), (3, Low), (4, Medium), (5, Low), (6, Medium)] {
        queue.push(&item(id, level, 1));
    }
    // 4 drove out 1, the newcomer 5 is no better than 3 and drove it out, 6 drove out 5.
    assert_eq!((queue.tally().dropped, queue.tally().left), (3, 3));
    assert_eq!(ids(&queue.take(9, Instant::now()).unwrap()), [(2, 1), (4, 1), (6, 1)]);
    queue.push(&item(7, High, 1));
    queue.push(&item(8, High, 1));
    queue.push(&item(9, High, 1));
    queue.push(&item(10, Low, 1));
    assert_eq!(ids(&queue.take(9, Instant::now()).unwrap()), [(7, 1), (8, 1), (9, 1)]);
}

#[test]
fn evidence_that_waits_is_replaced_by_its_later_state() {
    let queue = Queue::new(10);
    for count in [1, 10, 100] {
        queue.push(&item(1, ThreatLevel::High, count));
        queue.push(&item(2, ThreatLevel::Low, count));
    }
    assert_eq!(ids(&queue.take(9, Instant::now()).unwrap()), [(1, 100), (2, 100)]);
}

/// Answers in the order of a script, then always well.
struct Script(VecDeque<Result<(), Trouble>>, Arc<Mutex<Calls>>, Arc<str>);

/// Number and count of the evidence of each call.
type Calls = Vec<Vec<(u64, u64)>>;

impl Receive for Script {
    fn name(&self) -> &'static str {
        "script"
    }

    fn pace(&self) -> Pace {
        Pace { most: 2, every: Duration::ZERO }
    }

    fn sensor(&self) -> &Arc<str> {
        &self.2
    }

    fn send(&mut self, batch: &[Arc<Item>]) -> Result<(), Trouble> {
        self.1.lock().unwrap().push(ids(batch));
        self.0.pop_front().unwrap_or(Ok(()))
    }
}

fn later() -> Result<(), Trouble> {
    Err(Trouble::later("is away"))
}

fn refused() -> Result<(), Trouble> {
    Err(Trouble::Refused { why: "dislikes it".to_owned() })
}

type Heard = Arc<Mutex<Vec<String>>>;

/// Runs the sender over five messages, with the end of the run at the beginning.
fn deliver(script: Vec<Result<(), Trouble>>, patience: Duration) -> (Tally, Calls, Vec<String>) {
    let queue = Arc::new(Queue::new(100));
    (1..=5).for_each(|id| queue.push(&item(id, ThreatLevel::High, 1)));
    let (calls, heard): (Arc<Mutex<Calls>>, Heard) = Default::default();
    let said = Arc::clone(&heard);
    let receiver = Script(script.into(), Arc::clone(&calls), "s".into());
    queue.close(Instant::now() + patience);
    let say: Say = Arc::new(move |text: &str| said.lock().unwrap().push(text.to_owned()));
    let tally = Sender::new(Box::new(receiver), queue, say).run();
    let (calls, heard) = (calls.lock().unwrap().clone(), heard.lock().unwrap().clone());
    (tally, calls, heard)
}

#[test]
fn an_outage_is_told_once_and_nothing_is_lost() {
    let (tally, calls, heard) = deliver(vec![Ok(()), later(), later()], Duration::from_secs(20));
    assert_eq!(tally, Tally { sent: 5, ..Tally::default() });
    assert_eq!(calls.len(), 5, "{calls:?}");
    assert_eq!(calls[1..4], [vec![(3, 1), (4, 1)], vec![(3, 1), (4, 1)], vec![(3, 1), (4, 1)]]);
    assert_eq!(
        heard,
        ["export to script: is away; messages wait and it is tried again", "export to script: reached again"]
    );
}

#[test]
fn one_that_is_refused_does_not_take_others_with_it() {
    let (tally, calls, heard) = deliver(vec![refused(), refused(), Ok(())], Duration::from_secs(20));
    assert_eq!(tally, Tally { sent: 4, refused: 1, ..Tally::default() });
    assert_eq!(calls[..3], [vec![(1, 1), (2, 1)], vec![(1, 1)], vec![(2, 1)]]);
    assert_eq!(heard, ["export to script: a message was refused: dislikes it"]);
    assert_eq!(losses(&[("script".to_owned(), tally)]), ["export to script: 4 sent, 1 refused by it"]);
}

#[test]
fn the_deadline_ends_it_and_what_is_left_is_counted() {
    let started = Instant::now();
    let (tally, ..) = deliver(vec![later(); 1000], Duration::from_millis(700));
    assert_eq!(tally, Tally { left: 5, ..Tally::default() });
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[test]
fn what_is_read_again_is_not_told_again() {
    let queue = Arc::new(Queue::new(10));
    let thread = std::thread::spawn(Tally::default);
    let lanes = vec![Lane { name: "x".to_owned(), queue: Arc::clone(&queue), thread }];
    let running = Running { lanes, sensor: "s".into(), level: ThreatLevel::Medium };
    let watch = running.watch().apart();
    let home = watch.at(&"home".into());
    watch.again(true);
    home.tell(News::Evidence(&evidence(1, ThreatLevel::High, 1)));
    watch.again(false);
    home.tell(News::Evidence(&evidence(2, ThreatLevel::Low, 1)));
    home.tell(News::Grown(&evidence(1, ThreatLevel::High, 2)));
    home.tell(News::Evidence(&evidence(1, ThreatLevel::High, 10)));
    // The same number at another site is another evidence.
    watch.at(&"work".into()).tell(News::Evidence(&evidence(1, ThreatLevel::High, 1)));
    assert_eq!(ids(&queue.take(9, Instant::now()).unwrap()), [(1, 10), (1, 1)]);
}
