//! For the tests of modules: traffic written in a line, run through the whole engine, and what came of it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use slips_agent::record::{
    App, AppRecord, ArpRecord, ConnState, Counters, FiveTuple, FlowKind, FlowRecord, History, Mac, Service,
    Uid, proto,
};

use super::{Entry, Modules};
use crate::config::Config;
use crate::engine::Engine;
use crate::evidence::blocking::Decision;
use crate::evidence::{Alert, Evidence};
use crate::input::{Intake as _, Record, Text};
use crate::output::{Folder, Summary};

/// Start of the traffic of tests: a window of one hour begins here.
pub const START_S: u64 = 1_600_000_000 - 1_600_000_000 % 3600;

/// `START_S` + `seconds`, in microseconds.
pub fn at(seconds: f64) -> u64 {
    START_S * 1_000_000 + (seconds * 1e6).round() as u64
}

/// What came of some traffic: evidence in its last state, by id; alerts; the summary.
#[derive(Debug, Default)]
pub struct Outcome {
    pub evidence: Vec<Evidence>,
    pub alerts: Vec<Alert>,
    pub decisions: Vec<Decision>,
    /// Ids in the order in which evidence was told, first and again.
    pub told: Vec<u64>,
    pub summary: Summary,
}

impl Outcome {
    /// The evidence of one type.
    pub fn of(&self, kind: &str) -> Vec<&Evidence> {
        self.evidence.iter().filter(|e| e.kind == kind).collect()
    }

    /// The only evidence there is.
    pub fn only(&self) -> &Evidence {
        match self.evidence.as_slice() {
            [one] => one,
            other => panic!("one evidence was expected, there are {}: {other:#?}", other.len()),
        }
    }
}

/// Runs records through an engine with these modules only.
pub fn run(entries: &[&Entry], config: &Config, records: impl IntoIterator<Item = Record>) -> Outcome {
    let modules = entries.iter().map(|entry| (entry.about, (entry.make)(config).unwrap())).collect();
    run_with(Modules::of(modules), config, records)
}

/// The same with modules already made.
pub fn run_with(modules: Modules, config: &Config, records: impl IntoIterator<Item = Record>) -> Outcome {
    run_idle(modules, config, records, |_| false)
}

/// The same; records that `is_idle` says are no records, but moments at which the source has nothing.
pub fn run_idle(
    modules: Modules,
    config: &Config,
    records: impl IntoIterator<Item = Record>,
    is_idle: impl Fn(&Record) -> bool,
) -> Outcome {
    whole(config, modules, Engine::with_modules, |engine| {
        for record in records {
            if is_idle(&record) { engine.idle(0) } else { engine.take(record) }
        }
    })
}

/// The same with an engine made by `make`.
pub fn run_in(
    modules: Modules,
    config: &Config,
    records: Vec<Record>,
    make: impl FnOnce(&Config, Arc<Folder>, Arc<Modules>) -> Engine,
) -> Outcome {
    whole(config, modules, make, |engine| records.into_iter().for_each(|record| engine.take(record)))
}

/// The same, and `then` before the end.
pub fn run_then(
    modules: Modules,
    config: &Config,
    records: Vec<Record>,
    then: impl FnOnce(&mut Engine),
) -> Outcome {
    whole(config, modules, Engine::with_modules, |engine| {
        records.into_iter().for_each(|record| engine.take(record));
        then(engine);
    })
}

fn whole(
    config: &Config,
    modules: Modules,
    make: impl FnOnce(&Config, Arc<Folder>, Arc<Modules>) -> Engine,
    feed: impl FnOnce(&mut Engine),
) -> Outcome {
    let dir = std::env::temp_dir().join("slips-bench-makes-no-files");
    let kept: Arc<Mutex<Outcome>> = Arc::default();
    let hears = Arc::clone(&kept);
    let watch = crate::output::Watch::new(move |_, news| hears.lock().unwrap().hear(news));
    let config = Config { create_log_files: false, watch, ..config.clone() };
    let folder = Arc::new(Folder::create(&dir, &config).unwrap());
    let mut engine = make(&config, folder, Arc::new(modules));
    feed(&mut engine);
    let (summary, trouble) = engine.finish().unwrap();
    assert!(trouble.is_none());
    let mut outcome = std::mem::take(&mut *kept.lock().unwrap());
    outcome.summary = summary;
    outcome
}

impl Outcome {
    fn hear(&mut self, news: crate::output::News<'_>) {
        use crate::output::News;
        let (News::Evidence(evidence) | News::Grown(evidence)) = news else {
            match news {
                News::Alert(alert) => self.alerts.push(alert.clone()),
                News::Decision(decision) => self.decisions.push(decision.clone()),
                News::Evidence(_) | News::Grown(_) => {}
            }
            return;
        };
        if matches!(news, News::Evidence(_)) {
            self.told.push(evidence.id);
        }
        match self.evidence.iter_mut().find(|e| e.id == evidence.id) {
            Some(known) => *known = evidence.clone(),
            None => self.evidence.push(evidence.clone()),
        }
    }
}

/// What modules find in a file or folder of any format that is read.
pub fn run_file(entries: &[&Entry], config: &Config, path: &std::path::Path) -> Outcome {
    let mut source = crate::input::open(path, &crate::input::Wish::default()).unwrap();
    let read = crate::input::testing::read(source.as_mut());
    run(entries, config, read.kept.0)
}

/// An address, or the end of the test.
pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A flow of one second with a few packets each way; change what matters.
pub fn flow(seconds: f64, from: &str, to: &str, port: u16) -> FlowRecord {
    let tuple = FiveTuple {
        orig_addr: ip(from),
        orig_port: 50_000,
        resp_addr: ip(to),
        resp_port: port,
        proto: proto::TCP,
    };
    let start_us = at(seconds);
    FlowRecord {
        uid: Uid::of(&tuple, None, start_us),
        kind: FlowKind::Final,
        tuple,
        start_us,
        duration_us: 1_000_000,
        emitted_us: start_us + 1_000_000,
        orig: Counters { pkts: 5, ip_bytes: 700, payload_bytes: 500 },
        resp: Counters { pkts: 5, ip_bytes: 1700, payload_bytes: 1500 },
        state: ConnState::Sf,
        history: History::new(),
        service: Service::UNKNOWN,
        missed_bytes: 0,
        orig_mac: None,
        resp_mac: None,
        vlan: None,
        parent: None,
    }
}

/// The same as an attempt without answer.
pub fn attempt(seconds: f64, from: &str, to: &str, port: u16) -> FlowRecord {
    FlowRecord {
        duration_us: 0,
        emitted_us: at(seconds),
        orig: Counters { pkts: 1, ip_bytes: 44, payload_bytes: 0 },
        resp: Counters::default(),
        state: ConnState::S0,
        ..flow(seconds, from, to, port)
    }
}

/// For the engine.
pub fn rec(flow: FlowRecord) -> Record {
    Record::Flow(Box::new(flow))
}

/// Something said in `flow` at its start.
pub fn said(flow: &FlowRecord, body: App<Text>) -> Record {
    Record::App(Box::new(AppRecord {
        uid: flow.uid,
        tuple: flow.tuple,
        ts_us: flow.start_us,
        emitted_us: flow.start_us,
        body,
    }))
}

/// A DNS answer with addresses.
pub fn dns(query: &str, answers: &[&str]) -> App<Text> {
    use slips_agent::app::record::{Answer, AnswerData, Dns};
    App::Dns(Dns {
        service: Service::DNS,
        trans_id: 1,
        query: query.into(),
        qtype: 1,
        qclass: 1,
        rcode: Some(0),
        aa: false,
        tc: false,
        rd: true,
        ra: true,
        rtt_us: Some(10_000),
        answers: answers
            .iter()
            .map(|a| Answer { rtype: 1, ttl: 60, data: AnswerData::Addr(ip(a)) })
            .collect(),
        answers_left_out: 0,
    })
}

/// A GET request.
pub fn http(host: &str, uri: &str) -> App<Text> {
    App::Http(slips_agent::app::record::Http {
        depth: 1,
        method: "GET".into(),
        host: host.into(),
        uri: uri.into(),
        referrer: "".into(),
        user_agent: "".into(),
        version: "1.1".into(),
        username: "".into(),
        request_body_len: 0,
        response_body_len: 0,
        status_code: 200,
        status_msg: "".into(),
        resp_mime: "".into(),
    })
}

/// A TLS session whose server shows a certificate with this subject.
pub fn tls(server_name: &str, subject: &str) -> App<Text> {
    let mut certs = heapless::Vec::new();
    let _ = certs.push(slips_agent::app::record::Cert {
        subject: subject.into(),
        issuer: "CN=an issuer".into(),
        not_before_s: 0,
        not_after_s: 0,
        sha1: [1; 20],
        sha256: [1; 32],
        self_signed: false,
        san: "".into(),
    });
    App::Tls(slips_agent::app::record::Tls {
        quic: false,
        version: 0x0303,
        cipher: 1,
        group: 0,
        server_name: server_name.into(),
        alpn: "".into(),
        resumed: false,
        established: true,
        ja3: None,
        ja3s: None,
        ja4: "".into(),
        certs,
        cert_count: 1,
        validation: "".into(),
    })
}

/// An ARP packet.
pub fn arp(seconds: f64, operation: u16, sender: (&str, u8), target: &str) -> Record {
    let mac = Mac([2, 0, 0, 0, 0, sender.1]);
    let v4 = |text: &str| text.parse().unwrap();
    Record::Arp(Box::new(ArpRecord {
        ts_us: at(seconds),
        operation,
        eth_src: mac,
        eth_dst: Mac([0xff; 6]),
        sender_mac: mac,
        sender_addr: v4(sender.0),
        target_mac: Mac([0; 6]),
        target_addr: v4(target),
    }))
}
