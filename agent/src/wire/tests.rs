//! Properties: any records come back as they were, and no bytes do harm.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::string::String;
use std::vec::Vec;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::app::record::*;
use crate::ledger::Ledger;
use crate::packet::Drop;
use crate::record::*;

const SEED: u64 = 7;

fn options(max_bytes: usize) -> Options<'static> {
    Options {
        site: "home",
        sensor: "router-1",
        boot: Boot([1, 2, 3, 4, 5, 6, 7, 8]),
        detail: Detail::Flows,
        max_bytes,
        hash_seed: SEED,
    }
}

/// A record that owns its text.
#[allow(clippy::large_enum_variant, reason = "lives in a test")]
#[derive(Clone, Debug)]
enum Owned {
    Flow(FlowRecord),
    App(AppRecord<String>),
    Arp(ArpRecord),
}

fn push(encoder: &mut Encoder, record: &Owned) -> Result<(), Refused> {
    match record {
        Owned::Flow(f) => encoder.push(Record::Flow(f)),
        Owned::App(a) => encoder.push(Record::App(&a.map(&mut |s: &String| s.as_str()))),
        Owned::Arp(a) => encoder.push(Record::Arp(a)),
    }
}

fn flow_of(peer: IpAddr, from: u16, to: u16) -> FlowRecord {
    let orig_addr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let one = Counters { pkts: 1, ip_bytes: 60, payload_bytes: 20 };
    FlowRecord {
        uid: Uid(1),
        kind: FlowKind::Final,
        tuple: FiveTuple { orig_addr, orig_port: from, resp_addr: peer, resp_port: to, proto: 6 },
        start_us: 0,
        duration_us: 5,
        emitted_us: 0,
        orig: one,
        resp: one,
        state: if from.is_multiple_of(2) { ConnState::Sf } else { ConnState::S0 },
        history: History::new(),
        service: Service::UNKNOWN,
        missed_bytes: 0,
        orig_mac: None,
        resp_mac: None,
        vlan: None,
        parent: None,
    }
}

fn same(record: &Owned, decoded: &Decoded<'_>) -> bool {
    match (record, decoded) {
        (Owned::Flow(a), Decoded::Flow(b)) => a == b,
        (Owned::App(a), Decoded::App(b)) => a.map(&mut |s: &String| s.as_str()) == *b,
        (Owned::Arp(a), Decoded::Arp(b)) => a == b,
        _ => false,
    }
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(MAX_TIME_US), 0..=MAX_TIME_US, 1_700_000_000_000_000u64..1_700_000_100_000_000]
}

fn addr() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0u8..4).prop_map(|n| IpAddr::V4(Ipv4Addr::new(10, 0, 0, n))),
        any::<u32>().prop_map(|n| IpAddr::V4(Ipv4Addr::from(n))),
        any::<u128>().prop_map(|n| IpAddr::V6(Ipv6Addr::from(n))),
    ]
}

fn mac() -> impl Strategy<Value = Mac> {
    prop_oneof![(0u8..3).prop_map(|n| Mac([n; 6])), any::<[u8; 6]>().prop_map(Mac)]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just(String::from("example.org")),
        "[a-z.é]{0,20}",
        Just("x".repeat(MAX_TEXT)),
    ]
}

fn tuple() -> impl Strategy<Value = FiveTuple> {
    (addr(), any::<u16>(), addr(), any::<u16>(), any::<u8>()).prop_map(
        |(orig_addr, orig_port, resp_addr, resp_port, proto)| FiveTuple {
            orig_addr,
            orig_port,
            resp_addr,
            resp_port,
            proto,
        },
    )
}

fn counters() -> impl Strategy<Value = Counters> {
    let number = || prop_oneof![Just(0), 0u64..100_000, any::<u64>()];
    (number(), number(), number()).prop_map(|(pkts, ip_bytes, payload_bytes)| Counters {
        pkts,
        ip_bytes,
        payload_bytes,
    })
}

prop_compose! {
    fn flow()(
        tuple in tuple(),
        (a, b) in (time(), time()),
        emitted_us in time(),
        (orig, resp) in (counters(), counters()),
        state in 0usize..15,
        history in "[A-Za-z^]{0,32}",
        service in any::<u8>(),
        missed_bytes in prop_oneof![Just(0), any::<u64>()],
        (orig_mac, resp_mac) in (option::of(mac()), option::of(mac())),
        vlan in option::of(any::<u16>()),
        parent in option::of(any::<u64>().prop_map(Uid)),
        uid in option::of(any::<u64>()),
        ongoing in any::<bool>(),
    ) -> FlowRecord {
        let start_us = a.min(b);
        let states = ["S0", "S1", "SF", "REJ", "S2", "S3", "RSTO", "RSTR", "RSTOS0", "RSTRH", "SH", "SHR", "OTH"];
        let coarse = [ConnState::Established, ConnState::NotEstablished];
        FlowRecord {
            uid: uid.map_or_else(|| Uid::of(&tuple, vlan, start_us), Uid),
            kind: if ongoing { FlowKind::Ongoing } else { FlowKind::Final },
            tuple,
            start_us,
            duration_us: a.max(b) - start_us,
            emitted_us,
            orig,
            resp,
            state: states.get(state).map_or_else(|| coarse[state - 13], |s| ConnState::from_zeek(s).unwrap()),
            history: history.as_str().try_into().unwrap(),
            service: Service(service),
            missed_bytes,
            orig_mac,
            resp_mac,
            vlan,
            parent,
        }
    }
}

fn answer() -> impl Strategy<Value = Answer<String>> {
    let data = prop_oneof![
        addr().prop_map(AnswerData::Addr),
        text().prop_map(AnswerData::Name),
        text().prop_map(AnswerData::Text)
    ];
    (any::<u16>(), any::<u32>(), data).prop_map(|(rtype, ttl, data)| Answer { rtype, ttl, data })
}

type Answer<S> = crate::app::record::Answer<S>;

fn cert() -> impl Strategy<Value = Cert<String>> {
    (text(), text(), text(), any::<(i64, i64)>(), any::<[u8; 20]>(), any::<[u8; 32]>(), any::<bool>())
        .prop_map(|(subject, issuer, san, (not_before_s, not_after_s), sha1, sha256, self_signed)| Cert {
            subject,
            issuer,
            not_before_s,
            not_after_s,
            sha1,
            sha256,
            self_signed,
            san,
        })
}

/// Boxed, here and in `record`: unboxed the strategies alone outgrow the stack of a test.
fn body() -> BoxedStrategy<App<String>> {
    let t4 = || (text(), text(), text(), text());
    prop_oneof![
        (
            text(),
            any::<[u16; 4]>(),
            option::of(any::<u8>()),
            any::<[bool; 4]>(),
            option::of(any::<u64>()),
            vec(answer(), 0..=MAX_ANSWERS)
        )
            .prop_map(|(query, n, rcode, b, rtt_us, answers)| App::Dns(Dns {
                service: Service::MDNS,
                trans_id: n[0],
                query,
                qtype: n[1],
                qclass: n[2],
                rcode,
                aa: b[0],
                tc: b[1],
                rd: b[2],
                ra: b[3],
                rtt_us,
                answers: answers.into_iter().collect(),
                answers_left_out: n[3],
            })),
        (
            t4(),
            any::<[u16; 3]>(),
            any::<[bool; 3]>(),
            any::<(Option<[u8; 16]>, Option<[u8; 16]>)>(),
            vec(cert(), 0..=MAX_CERTS),
            any::<u8>()
        )
            .prop_map(
                |((server_name, alpn, ja4, validation), n, b, (ja3, ja3s), certs, cert_count)| App::Tls(
                    Tls {
                        quic: b[0],
                        version: n[0],
                        cipher: n[1],
                        group: n[2],
                        server_name,
                        alpn,
                        resumed: b[1],
                        established: b[2],
                        ja3,
                        ja3s,
                        ja4,
                        validation,
                        certs: certs.into_iter().collect(),
                        cert_count,
                    }
                )
            ),
        (t4(), t4(), text(), any::<[u64; 2]>(), any::<[u16; 2]>()).prop_map(
            |(
                (method, host, uri, referrer),
                (user_agent, version, username, status_msg),
                resp_mime,
                l,
                n,
            )| App::Http(Http {
                depth: n[0],
                method,
                host,
                uri,
                referrer,
                user_agent,
                version,
                username,
                request_body_len: l[0],
                response_body_len: l[1],
                status_code: n[1],
                status_msg,
                resp_mime,
            })
        ),
        (t4(), any::<u16>()).prop_map(|((user, command, arg, reply_msg), reply_code)| App::Ftp(Ftp {
            user,
            command,
            arg,
            reply_code,
            reply_msg
        })),
        (t4(), any::<(bool, bool)>()).prop_map(
            |((helo, mail_from, rcpt_to, last_reply), (auth_failed, tls))| {
                App::Smtp(Smtp { helo, mail_from, rcpt_to, last_reply, auth_failed, tls })
            }
        ),
        (t4(), mac(), option::of(addr()), any::<(u8, u32)>()).prop_map(
            |((host_name, domain, vendor_class, _), client_mac, requested, (message, lease_s))| {
                App::Dhcp(Dhcp {
                    message,
                    client_mac,
                    host_name,
                    domain,
                    vendor_class,
                    requested,
                    assigned: None,
                    server: requested,
                    router: None,
                    lease_s,
                })
            }
        ),
        (text(), text(), any::<(u8, u16, Option<bool>)>(), any::<Option<[u8; 16]>>()).prop_map(
            |(client, server, (version, auth_attempts, auth_success), hassh)| {
                App::Ssh(Ssh {
                    version,
                    client,
                    server,
                    hassh,
                    hassh_server: None,
                    auth_success,
                    auth_attempts,
                })
            }
        ),
        (text(), any::<Option<bool>>()).prop_map(|(user, success)| App::Login(Login {
            service: Service::TELNET,
            user,
            success
        })),
    ]
    .boxed()
}

prop_compose! {
    fn app()(tuple in tuple(), ts_us in time(), emitted_us in time(), uid in option::of(0u64..4), body in body()) -> AppRecord<String> {
        AppRecord { uid: uid.map_or_else(|| Uid::of(&tuple, None, ts_us), Uid), tuple, ts_us, emitted_us, body }
    }
}

prop_compose! {
    fn arp()(ts_us in time(), operation in any::<u16>(), m in [mac(), mac(), mac(), mac()], a in any::<[u32; 2]>()) -> ArpRecord {
        ArpRecord {
            ts_us,
            operation,
            eth_src: m[0],
            eth_dst: m[1],
            sender_mac: m[2],
            sender_addr: a[0].into(),
            target_mac: m[3],
            target_addr: a[1].into(),
        }
    }
}

fn record() -> BoxedStrategy<Owned> {
    prop_oneof![
        flow().prop_map(Owned::Flow).boxed(),
        app().prop_map(Owned::App).boxed(),
        arp().prop_map(Owned::Arp).boxed()
    ]
    .boxed()
}

/// Records where an application record is followed by the flow that it belongs to.
fn stream() -> impl Strategy<Value = Vec<Owned>> {
    vec((record(), flow().boxed(), any::<bool>()), 0..60).prop_map(|list| {
        let mut out = Vec::new();
        for (record, mut flow, follow) in list {
            if let (Owned::App(a), true) = (&record, follow) {
                (flow.uid, flow.tuple) = (a.uid, a.tuple);
                out.push(record);
                out.push(Owned::Flow(flow));
            } else {
                out.push(record);
            }
        }
        out
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Everything pushed comes back, in order, over as many reports as it takes, whatever the seed of the hashes.
    #[test]
    fn any_records_come_back(records in stream(), base in time(), ledger in any::<[u64; crate::ledger::COUNTERS]>(), last in any::<bool>()) {
        let mut counted = Ledger::default();
        counted.set_counters(&ledger);
        counted.drop(Drop::NotIp);
        let time = TimeBase { sensor_us: base, utc_us: base, clock: Clock::File };
        let mut encoder = Encoder::new(&options(MIN_REPORT), time).unwrap();
        let mut other = Encoder::new(&Options { hash_seed: 99, ..options(MIN_REPORT) }, time).unwrap();
        let mut reports: Vec<Vec<u8>> = Vec::new();
        let mut close = |encoder: &mut Encoder, other: &mut Encoder, last: bool| {
            let seq = reports.len() as u64 + 1;
            let bytes = encoder.finish(seq, base, &counted, last).unwrap().to_vec();
            assert_eq!(other.finish(seq, base, &counted, last).unwrap(), bytes);
            assert!(bytes.len() <= MIN_REPORT);
            reports.push(bytes);
            encoder.begin(time);
            other.begin(time);
        };
        for record in &records {
            while let Err(refused) = push(&mut encoder, record) {
                prop_assert_eq!(refused, Refused::Full);
                prop_assert!(encoder.records() > 0, "an empty report takes any record");
                close(&mut encoder, &mut other, false);
            }
            prop_assert_eq!(push(&mut other, record), Ok(()));
        }
        close(&mut encoder, &mut other, last);
        let mut read = records.iter();
        let count = reports.len();
        for (n, bytes) in reports.iter().enumerate() {
            let report = Report::open(bytes).unwrap();
            prop_assert_eq!(report.head.seq, n as u64 + 1);
            prop_assert_eq!(report.head.ledger, counted);
            prop_assert_eq!(report.head.last, last && n + 1 == count);
            prop_assert_eq!(report.check(), Ok(()));
            for decoded in report.records() {
                let (decoded, record) = (decoded.unwrap(), read.next().unwrap());
                prop_assert!(same(record, &decoded), "{:?}\n{:?}", record, decoded);
            }
        }
        prop_assert!(read.next().is_none());
    }

    /// Damaged reports end in an error or in other records, never in a panic or in more records than were announced.
    #[test]
    fn damage_does_no_harm(records in stream(), hits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()) {
        let mut encoder = Encoder::new(&options(MIN_REPORT), TimeBase::default()).unwrap();
        for record in &records {
            let _ = push(&mut encoder, record);
        }
        let mut bytes = encoder.finish(1, 0, &Ledger::default(), false).unwrap().to_vec();
        prop_assert!(Report::open(&bytes).unwrap().check().is_ok());
        let short = bytes.get(..cut.index(bytes.len())).unwrap();
        prop_assert!(Report::open(short).is_err() || Report::open(short).unwrap().check().is_err());
        for (at, value) in hits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(report) = Report::open(&bytes) {
            prop_assert!(report.records().count() <= report.head.records as usize + 1);
        }
    }

    /// Any bytes at all, behind a right version and kind.
    #[test]
    fn any_bytes_do_no_harm(mut bytes in vec(any::<u8>(), 0..600), kind in 0u8..6) {
        let _ = Report::open(&bytes).map(|r| r.records().count());
        for (slot, value) in bytes.iter_mut().zip([VERSION, kind]) {
            *slot = value;
        }
        let _ = Report::open(&bytes).map(|r| r.records().count());
        let _ = (Status::read(&bytes), Stored::read(&bytes), Command::read(&bytes));
    }

    /// The clock of the sensor is corrected by the report, and the identity of flows is not.
    #[test]
    fn times_are_turned_into_utc(mut f in flow(), offset in -1_000_000_000i64..1_000_000_000) {
        for t in [&mut f.start_us, &mut f.emitted_us] {
            *t = (*t).clamp(10_000_000_000, MAX_TIME_US - 10_000_000_000);
        }
        f.duration_us = f.duration_us.min(1_000_000);
        f.uid = Uid::of(&f.tuple, f.vlan, f.start_us);
        let time = TimeBase { sensor_us: 20_000_000_000, utc_us: 20_000_000_000u64.wrapping_add_signed(offset), clock: Clock::Set };
        let mut encoder = Encoder::new(&options(MIN_REPORT), time).unwrap();
        encoder.push(Record::Flow(&f)).unwrap();
        let bytes = encoder.finish(3, 20_000_000_001, &Ledger::default(), false).unwrap();
        let read: Vec<_> = Report::open(bytes).unwrap().records().collect();
        f.start_us = f.start_us.wrapping_add_signed(offset);
        f.emitted_us = f.emitted_us.wrapping_add_signed(offset);
        prop_assert_eq!(read, [Ok(Decoded::Flow(f))]);
    }
}

fn every_text(body: &App<&str>) -> usize {
    let mut texts = 0;
    let _ = body.map(&mut |_| texts += 1);
    texts
}

/// The largest record of each kind fits into the smallest report: a record is never refused for ever.
#[test]
fn the_largest_record_fits_into_the_smallest_report() {
    let texts: Vec<String> = (0..40).map(|n| format!("{n:0>512}")).collect();
    let mut next = texts.iter();
    let mut text = || next.next().unwrap().as_str();
    let certs: Vec<_> = (0..MAX_CERTS)
        .map(|_| Cert {
            subject: text(),
            issuer: text(),
            not_before_s: i64::MIN,
            not_after_s: i64::MIN,
            sha1: [255; 20],
            sha256: [255; 32],
            self_signed: true,
            san: text(),
        })
        .collect();
    let tls = App::Tls(Tls {
        quic: true,
        version: u16::MAX,
        cipher: u16::MAX,
        group: u16::MAX,
        server_name: text(),
        alpn: text(),
        resumed: true,
        established: true,
        ja3: Some([255; 16]),
        ja3s: Some([255; 16]),
        ja4: text(),
        validation: text(),
        certs: certs.into_iter().collect(),
        cert_count: u8::MAX,
    });
    let mut next = texts.iter();
    let mut text = || next.next().unwrap().as_str();
    let answers: Vec<_> = (0..MAX_ANSWERS)
        .map(|_| Answer { rtype: u16::MAX, ttl: u32::MAX, data: AnswerData::Text(text()) })
        .collect();
    let dns = App::Dns(Dns {
        service: Service::DNS,
        trans_id: u16::MAX,
        query: text(),
        qtype: u16::MAX,
        qclass: u16::MAX,
        rcode: Some(255),
        aa: true,
        tc: true,
        rd: true,
        ra: true,
        rtt_us: Some(u64::MAX),
        answers: answers.into_iter().collect(),
        answers_left_out: u16::MAX,
    });
    let v6 = |n: u8| IpAddr::V6(Ipv6Addr::from([n; 16]));
    for body in [tls, dns] {
        assert!(every_text(&body) >= 16);
        let tuple =
            FiveTuple { orig_addr: v6(1), orig_port: 65535, resp_addr: v6(2), resp_port: 65535, proto: 255 };
        let app = AppRecord { uid: Uid(1), tuple, ts_us: MAX_TIME_US, emitted_us: 0, body };
        let mut encoder = Encoder::new(&options(0), TimeBase::default()).unwrap();
        assert_eq!(encoder.push(Record::App(&app)), Ok(()));
    }
}

/// What the format cannot carry is refused as such and not as full, and leaves no trace.
#[test]
fn a_record_over_the_limits_is_refused() {
    let mut encoder = Encoder::new(&options(MIN_REPORT), TimeBase::default()).unwrap();
    let long = "y".repeat(MAX_TEXT + 1);
    let login = App::Login(Login { service: Service::RSH, user: long.as_str(), success: None });
    let tuple = FiveTuple {
        orig_addr: [1, 1, 1, 1].into(),
        orig_port: 1,
        resp_addr: [2, 2, 2, 2].into(),
        resp_port: 2,
        proto: 6,
    };
    let mut app = AppRecord { uid: Uid(1), tuple, ts_us: 1, emitted_us: 1, body: login };
    assert_eq!(encoder.push(Record::App(&app)), Err(Refused::Unfit));
    app.body = App::Login(Login { service: Service::RSH, user: "root", success: Some(true) });
    app.emitted_us = MAX_TIME_US + 1;
    assert_eq!(encoder.push(Record::App(&app)), Err(Refused::Unfit));
    app.emitted_us = 5;
    assert_eq!(encoder.push(Record::App(&app)), Ok(()));
    let bytes = encoder.finish(1, 5, &Ledger::default(), true).unwrap();
    let read: Vec<_> = Report::open(bytes).unwrap().records().collect();
    assert_eq!(read, [Ok(Decoded::App(app))]);
}

/// A head with the largest numbers fits before the records.
#[test]
fn the_largest_head_has_room() {
    let mut ledger = Ledger { not_understood: [u64::MAX; Drop::ALL.len()], ..Ledger::default() };
    ledger.set_counters(&[u64::MAX; crate::ledger::COUNTERS]);
    let name = "n".repeat(topic::MAX_NAME);
    let time = TimeBase { sensor_us: MAX_TIME_US, utc_us: MAX_TIME_US, clock: Clock::Set };
    let options = Options { site: &name, sensor: &name, ..options(MAX_REPORT) };
    let mut encoder = Encoder::new(&options, time).unwrap();
    let bytes = encoder.finish(u64::MAX, 0, &ledger, true).unwrap();
    assert!(bytes.len() + 40 < super::head::MAX_HEAD, "{}: room for four more counters", bytes.len());
    assert_eq!(Report::open(bytes).unwrap().head.ledger, ledger);
}

/// A ledger with more or fewer counters than ours is read as far as both know it.
#[test]
fn longer_and_shorter_ledgers_are_read() {
    let head = |a: &[u64], b: &[u64]| {
        let mut bytes = vec![VERSION, Kind::Report as u8];
        bytes.extend(postcard::to_allocvec(&("s", "t", Boot([9; 8]), 1u64)).unwrap());
        bytes.extend(postcard::to_allocvec(&(5u64, 5u64, 1u8, 0i64, 0u8, 0u8)).unwrap());
        bytes.extend(postcard::to_allocvec(&(a, b, 0u32)).unwrap());
        bytes
    };
    let short = head(&[7, 8], &[]);
    let ledger = Report::open(&short).unwrap().head.ledger;
    assert_eq!((ledger.packets, ledger.bytes, ledger.kernel_dropped), (7, 8, 0));
    let long = head(&[1; 100], &[2; 100]);
    let ledger = Report::open(&long).unwrap().head.ledger;
    assert_eq!((ledger.filtered, ledger.not_understood), (1, [2; Drop::ALL.len()]));
    assert_eq!(Report::open(&head(&[1; 129], &[])).err(), Some(Error::Malformed(Malformed::Code)));
}

#[test]
fn topics_and_names() {
    let text = topic::Topic { site: "home", sensor: "router-1", kind: Kind::Report }.to_string();
    assert_eq!(text, format!("slips/v1/{:02x}/home/router-1/report", topic::partition("home")));
    let parsed = topic::Topic::parse(&text).unwrap();
    assert_eq!((parsed.site, parsed.sensor, parsed.kind), ("home", "router-1", Kind::Report));
    // Pinned: brokers and collectors divide the sites by it.
    assert_eq!(topic::partition("home"), 0x56);
    assert_eq!(topic::partition(""), 0xc5);
    assert_eq!(topic::partition("branch-17"), 0x10);
    let wrong = [
        "slips/v1/00/home/router-1/report",
        "slips/v1/AF/office/router-1/report",
        "slips/v2/56/home/router-1/report",
        &text.replace("report", "reports"),
        &format!("{text}/x"),
        &text.replace("router-1", ".."),
        &text.replace("router-1", "a b"),
        "",
        "slips/v1",
    ];
    for topic in wrong {
        assert_eq!(topic::Topic::parse(topic), None, "{topic}");
    }
    assert!(topic::is_name("A.b_c-9") && topic::is_name(&"a".repeat(64)));
    for name in ["", ".a", "-a", "a/b", "a#", "a+", "ü", &"a".repeat(65)] {
        assert!(!topic::is_name(name), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Parts of feature records, sketches included, come back over as many reports as it takes; cut or damaged they do no harm.
    #[test]
    fn any_parts_come_back(flows in vec((addr(), any::<u16>(), any::<u16>(), 0u8..4), 1..700), at in 0usize..30_000, damage in any::<u8>()) {
        use crate::window::{Features, Role};
        let mut features = Features::new(0);
        for (n, (peer, from, to, pick)) in flows.iter().enumerate() {
            let mut one = flow_of(*peer, *from, *to);
            one.tuple.proto = [6, 17, 1, 47][usize::from(*pick)];
            one.start_us = n as u64 * 1000;
            features.fold(if n % 3 == 0 { Role::Server } else { Role::Client }, &one);
        }
        let time = TimeBase { sensor_us: 5, utc_us: 5, clock: Clock::File };
        let mut encoder = Encoder::new(&options(MIN_REPORT), time).unwrap();
        encoder.set_detail(Detail::Features);
        let mut reports: Vec<Vec<u8>> = Vec::new();
        let profile = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        let sent: Result<(), Refused> = features.view().parts(|part| {
            let folded = Folded { emitted_us: 9, profile, start_us: 0, width_us: 7, part };
            if encoder.push_folded(&folded).is_ok() {
                return Ok(());
            }
            let bytes = encoder.finish(reports.len() as u64 + 1, 9, &Ledger::default(), false).unwrap().to_vec();
            assert!(bytes.len() <= MIN_REPORT);
            reports.push(bytes);
            encoder.begin(time);
            encoder.push_folded(&folded)
        });
        prop_assert_eq!(sent, Ok(()));
        reports.push(encoder.finish(reports.len() as u64 + 1, 9, &Ledger::default(), true).unwrap().to_vec());
        let mut arrived = Features::new(0);
        for bytes in &reports {
            for record in Report::open(bytes).unwrap().records() {
                let Ok(Decoded::Folded(folded)) = record else { panic!("{record:?}") };
                prop_assert_eq!((folded.profile, folded.emitted_us, folded.width_us), (profile, 9, 7));
                folded.part.with(|part| arrived.add(part));
            }
        }
        prop_assert!(arrived == features);
        let mut bytes = reports.swap_remove(at % reports.len());
        let place = at % bytes.len();
        for cut in [&bytes[..place], &[]] {
            let read = Report::open(cut).map(|report| report.check());
            prop_assert!(!matches!(read, Ok(Ok(()))));
        }
        bytes[place] ^= damage;
        if let Ok(report) = Report::open(&bytes) {
            for record in report.records().flatten() {
                if let Decoded::Folded(folded) = record {
                    folded.part.with(|part| Features::new(0).add(part));
                }
            }
        }
    }

    #[test]
    fn stored_comes_back(up_to in 0u64..1000, steps in vec((1u64..50, 0u64..50), 0..=stored::MAX_RANGES), all in any::<bool>()) {
        let mut missing = heapless::Vec::new();
        let mut at = up_to;
        for (gap, len) in steps {
            missing.push(Range { from: at + gap, to: at + gap + len }).unwrap();
            at += gap + len;
        }
        if let (true, Some(range)) = (all, missing.last_mut()) {
            range.to = u64::MAX;
        }
        let stored = Stored { site: "s", sensor: "t", boot: Boot([3; 8]), up_to, missing };
        let mut buf = [0; MAX_OTHER];
        let bytes = stored.write(&mut buf).unwrap();
        prop_assert_eq!(Stored::read(bytes), Ok(stored));
    }

    #[test]
    fn commands_come_back(id in any::<u64>(), expires_us in time(), addr in addr(), seconds in any::<u32>(), text in "[a-z =\n]{0,200}", pick in 0usize..4) {
        let order = [Order::Block { addr, seconds }, Order::Unblock { addr }, Order::Detail(Detail::Features), Order::Configure(&text)][pick];
        let command = Command { site: "s", sensor: "t", id, expires_us, order };
        let mut buf = [0; MAX_OTHER];
        let bytes = command.write(&mut buf).unwrap();
        prop_assert_eq!(Command::read(bytes), Ok(command));
    }

    #[test]
    fn statuses_come_back(online in any::<bool>(), blocks in vec((addr(), time()), 0..=status::MAX_BLOCKS), ids in vec(any::<u64>(), 0..=status::MAX_REPLIES), note in "[a-z ]{0,160}") {
        let answers = ids.into_iter().map(|id| super::Answer { id, outcome: Outcome::Expired, note: &note }).collect();
        let status = Status {
            site: "s",
            sensor: "t",
            boot: Boot([3; 8]),
            online,
            version: "0.1.0",
            time: TimeBase { sensor_us: 1, utc_us: 2, clock: Clock::Unset },
            detail: Detail::Flows,
            capabilities: capability::FLOWS,
            custody: Custody { next: 9, oldest: 4, waiting: 5, waiting_bytes: 99, discarded: 1, discarded_records: 2, unfit_records: 3 },
            ledger: Ledger { packets: 5, ..Ledger::default() },
            blocks: blocks.into_iter().map(|(addr, until_us)| Block { addr, until_us }).collect(),
            blocks_left_out: 7,
            answers,
            note: &note,
        };
        let mut buf = [0; MAX_OTHER];
        let bytes = status.write(&mut buf).unwrap();
        prop_assert_eq!(Status::read(bytes), Ok(status));
    }
}

/// The largest messages of the other kinds fit their limit.
#[test]
fn the_largest_status_fits() {
    let (name, note) = ("n".repeat(topic::MAX_NAME), "x".repeat(status::MAX_NOTE));
    let v6 = IpAddr::V6(Ipv6Addr::from([255; 16]));
    let answer = super::Answer { id: u64::MAX, outcome: Outcome::Failed, note: &note };
    let mut ledger = Ledger { not_understood: [u64::MAX; Drop::ALL.len()], ..Ledger::default() };
    ledger.set_counters(&[u64::MAX; crate::ledger::COUNTERS]);
    let m = u64::MAX;
    let status = Status {
        site: &name,
        sensor: &name,
        boot: Boot([255; 8]),
        online: true,
        version: &note[..status::MAX_VERSION],
        time: TimeBase { sensor_us: MAX_TIME_US, utc_us: MAX_TIME_US, clock: Clock::Set },
        detail: Detail::Features,
        capabilities: u32::MAX,
        custody: Custody {
            next: m,
            oldest: m,
            waiting: m,
            waiting_bytes: m,
            discarded: m,
            discarded_records: m,
            unfit_records: m,
        },
        ledger,
        blocks: [Block { addr: v6, until_us: MAX_TIME_US }; status::MAX_BLOCKS].into_iter().collect(),
        blocks_left_out: u32::MAX,
        answers: [answer; status::MAX_REPLIES].into_iter().collect(),
        note: &note,
    };
    let mut buf = [0; MAX_OTHER];
    let bytes = status.write(&mut buf).unwrap();
    assert_eq!(Status::read(bytes), Ok(status));
}

#[test]
fn errors_say_what_is_wrong() {
    assert_eq!(Report::open(&[]).err(), Some(Error::Malformed(Malformed::Value)));
    assert_eq!(Report::open(&[2, 1]).err(), Some(Error::Version(2)));
    assert_eq!(Report::open(&[1, 3]).err(), Some(Error::Kind(3)));
    let large = vec![1; MAX_REPORT + 1];
    assert_eq!(
        Report::open(&large).err(),
        Some(Error::TooLarge { bytes: MAX_REPORT + 1, limit: MAX_REPORT })
    );
    assert_eq!(Error::Version(2).to_string(), "it is of format version 2 and this program knows version 1");
}
