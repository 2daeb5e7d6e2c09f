//! Several sources of one site as one, in the order of their traffic.
//!
//! Enters: sources that each are in their own order. Leaves: their records by the time at which they were emitted, the earlier
//! source first where times are equal, so that flows of one are not late because another was read before. Each source has a
//! thread and a short channel: memory does not grow, and a slow reader holds back the others. A source that fails ends
//! alone; the first failure is reported when all have ended.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::{Error, Intake, Job, Progress, Record, Source};
use crate::output::InputTotals;

/// Records handed over at a time.
const BATCH: usize = 256;
/// Messages that wait.
const WAITING: usize = 4;

/// See the head of the file.
pub struct Merged(Vec<Box<dyn Source>>);

impl Merged {
    /// Of these.
    #[must_use]
    pub fn new(sources: Vec<Box<dyn Source>>) -> Self {
        Self(sources)
    }
}

/// What a reader's thread says.
enum Message {
    Records(Vec<Record>),
    Progress { done_bytes: u64, total_bytes: Option<u64>, records: u64, totals: Option<InputTotals> },
    Say(String),
    Done(Result<InputTotals, Error>),
}

/// Hands records over in batches.
struct Batches {
    batch: Vec<Record>,
    to: SyncSender<Message>,
}

impl Batches {
    fn flush(&mut self) {
        if !self.batch.is_empty() {
            // A merger that has gone needs nothing more; the reader sees `stop`.
            let _ = self.to.send(Message::Records(std::mem::take(&mut self.batch)));
        }
    }
}

impl Intake for Batches {
    fn take(&mut self, record: Record) {
        self.batch.push(record);
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }
}

/// One source as the merger sees it.
struct Lane {
    from: Receiver<Message>,
    waiting: VecDeque<Record>,
    done_bytes: u64,
    total_bytes: Option<u64>,
    records: u64,
    totals: Option<InputTotals>,
    result: Option<Result<InputTotals, Error>>,
}

impl Source for Merged {
    fn describe(&self) -> String {
        self.0.iter().map(|source| source.describe()).collect::<Vec<_>>().join(" and ")
    }

    fn read(&mut self, intake: &mut dyn Intake, job: Job<'_>) -> Result<InputTotals, Error> {
        let stop = job.stop;
        std::thread::scope(|scope| {
            let mut lanes: Vec<Lane> = self
                .0
                .iter_mut()
                .map(|source| {
                    let (to, from) = sync_channel(WAITING);
                    scope.spawn(move || run(&mut **source, stop, to));
                    let waiting = VecDeque::new();
                    Lane {
                        from,
                        waiting,
                        done_bytes: 0,
                        total_bytes: None,
                        records: 0,
                        totals: None,
                        result: None,
                    }
                })
                .collect();
            loop {
                for at in 0..lanes.len() {
                    fill(&mut lanes, at, job);
                }
                let earliest = lanes
                    .iter_mut()
                    .filter_map(|lane| Some((lane.waiting.front()?.emitted_us(), lane)))
                    .min_by_key(|(at_us, _)| *at_us);
                match earliest.and_then(|(_, lane)| lane.waiting.pop_front()) {
                    Some(record) => intake.take(record),
                    None => break,
                }
            }
            let mut all = InputTotals::default();
            let mut failed = None;
            for lane in lanes {
                match lane.result {
                    Some(Ok(totals)) => all.add(&totals),
                    Some(Err(error)) => {
                        all.add(&lane.totals.unwrap_or_default());
                        failed.get_or_insert(error);
                    }
                    None => {}
                }
            }
            if let Some(error) = failed {
                (job.progress)(Progress { totals: Some(&all), ..Progress::default() });
                return Err(error);
            }
            Ok(all)
        })
    }
}

fn run(source: &mut dyn Source, stop: &std::sync::atomic::AtomicBool, to: SyncSender<Message>) {
    let tell = to.clone();
    let progress = |p: Progress<'_>| {
        let totals = p.totals.cloned();
        let (done_bytes, total_bytes, records) = (p.done_bytes, p.total_bytes, p.records);
        let _ = tell.send(Message::Progress { done_bytes, total_bytes, records, totals });
    };
    let say = |text: &str| {
        let _ = tell.send(Message::Say(text.to_owned()));
    };
    let mut batches = Batches { batch: Vec::new(), to: to.clone() };
    let result = source.read(&mut batches, Job { stop, progress: &progress, say: &say });
    batches.flush();
    let _ = to.send(Message::Done(result));
}

/// Waits until the lane has a record, or has ended.
fn fill(lanes: &mut [Lane], at: usize, job: Job<'_>) {
    loop {
        let Some(lane) = lanes.get_mut(at) else { return };
        if !lane.waiting.is_empty() || lane.result.is_some() {
            return;
        }
        match lane.from.recv() {
            Ok(Message::Records(records)) => lane.waiting.extend(records),
            Ok(Message::Progress { done_bytes, total_bytes, records, totals }) => {
                lane.done_bytes = done_bytes;
                lane.total_bytes = total_bytes;
                lane.records = records;
                lane.totals = totals.or(lane.totals.take());
                tell(lanes, job);
            }
            Ok(Message::Say(text)) => (job.say)(&text),
            Ok(Message::Done(result)) => lane.result = Some(result),
            Err(_) => lane.result = Some(Err(Error::failed("a reader", "ended before its time"))),
        }
    }
}

/// How far all of them are.
fn tell(lanes: &[Lane], job: Job<'_>) {
    let mut totals = InputTotals::default();
    let mut progress = Progress { total_bytes: Some(0), ..Progress::default() };
    for lane in lanes {
        progress.done_bytes += lane.done_bytes;
        progress.records += lane.records;
        progress.total_bytes = progress.total_bytes.zip(lane.total_bytes).map(|(a, b)| a + b);
        if let Some(known) = lane.totals.as_ref().or(lane.result.as_ref().and_then(|r| r.as_ref().ok())) {
            totals.add(known);
        }
    }
    progress.totals = Some(&totals);
    (job.progress)(progress);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::modules::bench::{attempt, rec};

    struct Given(Vec<f64>, Option<Error>);

    impl Source for Given {
        fn describe(&self) -> String {
            "given".to_owned()
        }

        fn read(&mut self, intake: &mut dyn Intake, job: Job<'_>) -> Result<InputTotals, Error> {
            for (i, at) in self.0.iter().enumerate() {
                intake.take(rec(attempt(*at, "10.0.0.1", "10.0.0.2", 80)));
                if i % 100 == 0 {
                    (job.progress)(Progress { records: i as u64, ..Progress::default() });
                }
            }
            self.1.take().map_or_else(
                || Ok(InputTotals { packets: self.0.len() as u64, ..InputTotals::default() }),
                Err,
            )
        }
    }

    #[derive(Default)]
    struct Kept(Vec<u64>);

    impl Intake for Kept {
        fn take(&mut self, record: Record) {
            self.0.push(record.emitted_us());
        }
    }

    #[test]
    fn in_the_order_of_traffic_and_to_the_end_of_each() {
        let every =
            |n: u32, step: f64, from: f64| (0..n).map(|i| from + f64::from(i) * step).collect::<Vec<_>>();
        let sources: Vec<Box<dyn Source>> = vec![
            Box::new(Given(every(3000, 0.7, 0.0), None)),
            Box::new(Given(every(20, 11.0, 1000.0), Some(Error::failed("second", "broke")))),
            Box::new(Given(Vec::new(), None)),
            Box::new(Given(every(2000, 1.3, 5.0), None)),
        ];
        let mut kept = Kept::default();
        let stop = AtomicBool::new(false);
        let job = Job { stop: &stop, progress: &|_| {}, say: &|_| {} };
        let result = Merged::new(sources).read(&mut kept, job);
        assert_eq!(result.unwrap_err().place, "second");
        assert_eq!(kept.0.len(), 5020);
        assert!(kept.0.is_sorted());
    }
}
