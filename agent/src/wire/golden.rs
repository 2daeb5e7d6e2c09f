//! The bytes of format version 1. A test that fails here means: other bytes need another version.
//!
//! The bytes were laid down by hand from `FORMAT.md`, not copied from a run.

use std::string::String;
use std::vec::Vec;

use super::*;
use crate::app::record::{Answer as DnsAnswer, AnswerData, App, AppRecord, Dns};
use crate::ledger::{COUNTERS, Ledger};
use crate::packet::Drop;
use crate::record::*;
use crate::window::{Features, Role};

/// A ledger in which only the `n`th counter is not zero, as the format has it: its lists may become longer without a new
/// version, so their lengths are ours.
fn ledger_text(n: usize, value: &str, not_understood: &[u8]) -> String {
    let counters: String = (0..COUNTERS).map(|i| if i == n { value } else { "00" }).collect();
    let reasons: String =
        (0..Drop::ALL.len()).map(|i| format!("{:02x}", not_understood.get(i).unwrap_or(&0))).collect();
    format!("{COUNTERS:02x} {counters} {:02x} {reasons}", Drop::ALL.len())
}

/// Hexadecimal digits; blanks and what stands behind `;` are for people.
fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .lines()
        .flat_map(|line| line.split(';').next().unwrap().bytes())
        .filter(|b| !b.is_ascii_whitespace())
        .map(|b| (b as char).to_digit(16).unwrap() as u8)
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn tuple() -> FiveTuple {
    FiveTuple {
        orig_addr: [10, 0, 0, 2].into(),
        orig_port: 5353,
        resp_addr: "2001:db8::53".parse().unwrap(),
        resp_port: 53,
        proto: 17,
    }
}

fn flow_record() -> FlowRecord {
    FlowRecord {
        uid: Uid(1),
        kind: FlowKind::Final,
        tuple: tuple(),
        start_us: 0,
        duration_us: 0,
        emitted_us: 0,
        orig: Counters::default(),
        resp: Counters::default(),
        state: ConnState::S0,
        history: History::new(),
        service: Service::UNKNOWN,
        missed_bytes: 0,
        orig_mac: None,
        resp_mac: None,
        vlan: None,
        parent: None,
    }
}

#[test]
fn report() {
    let mut ledger = Ledger { packets: 300, ..Ledger::default() };
    ledger.drop(Drop::LinkType);
    let options = Options {
        site: "home",
        sensor: "r1",
        boot: Boot([0xb0, 1, 2, 3, 4, 5, 6, 7]),
        detail: Detail::Flows,
        max_bytes: MIN_REPORT,
        hash_seed: 1,
    };
    let time = TimeBase { sensor_us: 1_000_000, utc_us: 1_000_500, clock: Clock::Set };
    let dns = AppRecord {
        uid: Uid::of(&tuple(), None, 1_000_010),
        tuple: tuple(),
        ts_us: 1_000_010,
        emitted_us: 1_000_030,
        body: App::Dns(Dns {
            service: Service::DNS,
            trans_id: 0x1234,
            query: "a.b",
            qtype: 1,
            qclass: 1,
            rcode: Some(0),
            aa: false,
            tc: false,
            rd: true,
            ra: true,
            rtt_us: Some(20),
            answers: [
                DnsAnswer { rtype: 5, ttl: 60, data: AnswerData::Name("c.d") },
                DnsAnswer { rtype: 1, ttl: 300, data: AnswerData::Addr([192, 0, 2, 1].into()) },
            ]
            .into_iter()
            .collect(),
            answers_left_out: 0,
        }),
    };
    let flow = FlowRecord {
        uid: dns.uid,
        kind: FlowKind::Final,
        tuple: tuple(),
        start_us: 1_000_010,
        duration_us: 20,
        emitted_us: 61_000_030,
        orig: Counters { pkts: 1, ip_bytes: 58, payload_bytes: 30 },
        resp: Counters { pkts: 1, ip_bytes: 98, payload_bytes: 70 },
        state: ConnState::Sf,
        history: "Dd".try_into().unwrap(),
        service: Service::DNS,
        missed_bytes: 0,
        orig_mac: Some(Mac([2, 0, 0, 0, 0, 1])),
        resp_mac: Some(Mac([2, 0, 0, 0, 0, 2])),
        vlan: None,
        parent: None,
    };
    let rare = FlowRecord {
        uid: Uid(0x0102_0304_0506_0708),
        kind: FlowKind::Ongoing,
        tuple: FiveTuple { resp_addr: [10, 0, 0, 3].into(), resp_port: 443, proto: 6, ..tuple() },
        resp: Counters::default(),
        orig: Counters { pkts: 2, ip_bytes: 3, payload_bytes: 5 },
        state: ConnState::S0,
        service: Service(200),
        missed_bytes: 9,
        orig_mac: None,
        vlan: Some(7),
        parent: Some(dns.uid),
        ..flow.clone()
    };
    let arp = ArpRecord {
        ts_us: 61_000_029,
        operation: 2,
        eth_src: Mac([2, 0, 0, 0, 0, 1]),
        eth_dst: Mac([255; 6]),
        sender_mac: Mac([2, 0, 0, 0, 0, 1]),
        sender_addr: [10, 0, 0, 2].into(),
        target_mac: Mac([0; 6]),
        target_addr: [10, 0, 0, 2].into(),
    };
    let expected = bytes(
        &"01 01 04 686f6d65 02 7231           ; version, kind, site, sensor
         b001020304050607 05                 ; boot, sequence
         c0843d b4883d 01                    ; sensor time 1000000, UTC 1000500, clock set
         809c9c39                            ; closed 60000000 later
         00 01                               ; flows, last
         LEDGER
         04                                  ; records
         02                                  ; application event
         01                                  ; new flow, identity from the event
         11 00 00 0a000002 e929              ; UDP, address 0 = 10.0.0.2, port 5353
         00 01 20010db8000000000000000000000053 35
         3c 28                               ; emitted 30 after the head, 20 after the event
         00 01 b424 01 03 612e62 01 01       ; DNS, service, id, text 0 = a.b, type, class
         01 00 00 00 01 01 01 14             ; reply code 0, RD, RA, round trip
         02                                  ; two answers
         05 3c 01 01 03 632e64               ; CNAME, text 1 = c.d
         01 ac02 00 00 c0000201              ; A
         00
         01 1e 00                            ; flow, both MACs, responder, introduced: flow 0
         809c9c39 809c9c39 14                ; emitted 60000000 later, 60000000 after its last packet, duration 20
         01 1e 38 01 46 38                   ; 1 packet, 30 bytes, 28 of headers; 1, 70, 28
         02 01 01 02 4464                    ; SF, dns, text 2 = Dd
         00 020000000001 00 020000000002     ; MAC 0, MAC 1
         01 e503                             ; flow: ongoing, responder's MAC, missed, VLAN, parent, identity written
         06 01 e929 00 00 0a000003 bb03      ; TCP, address 0, address 2 = 10.0.0.3
         0102030405060708
         00 809c9c39 14
         02 05 03                            ; 2 packets, 5 bytes, 3 - 5 = -2
         00 c8 04 02                         ; S0, service 200, text 2, MAC 1
         09 07 b0013c37016b715d              ; missed, VLAN, parent
         03 01 02                            ; ARP, 1 earlier, reply
         01 00 ffffffffffff 01 01 00 000000000000 01"
            .replace("LEDGER", &ledger_text(0, "ac02", &[1])),
    );
    let mut encoder = Encoder::new(&options, time).unwrap();
    for record in [Record::App(&dns), Record::Flow(&flow), Record::Flow(&rare), Record::Arp(&arp)] {
        encoder.push(record).unwrap();
    }
    let written = encoder.finish(5, 61_000_000, &ledger, true).unwrap();
    assert_eq!(written, expected, "format version {VERSION}");
    let read: Vec<_> = Report::open(&expected).unwrap().records().collect::<Result<_, _>>().unwrap();
    let times: Vec<u64> = read.iter().map(Decoded::emitted_us).collect();
    assert_eq!(times, [1_000_530, 61_000_530, 61_000_530, 61_000_529], "format version {VERSION}");
    let Decoded::App(app) = &read[0] else { panic!("{:?}", read[0]) };
    assert_eq!((&app.body, app.uid), (&dns.body, dns.uid), "format version {VERSION}");
}

#[test]
fn a_part_of_a_feature_record() {
    let options = Options {
        site: "home",
        sensor: "r1",
        boot: Boot([0xb0, 1, 2, 3, 4, 5, 6, 7]),
        detail: Detail::Features,
        max_bytes: MIN_REPORT,
        hash_seed: 1,
    };
    let flow = FlowRecord {
        tuple: FiveTuple {
            orig_port: 40_000,
            resp_addr: [192, 0, 2, 1].into(),
            resp_port: 443,
            proto: 6,
            ..tuple()
        },
        state: ConnState::Sf,
        start_us: 1_000_500,
        orig: Counters { pkts: 5, ip_bytes: 460, payload_bytes: 200 },
        resp: Counters { pkts: 4, ip_bytes: 460, payload_bytes: 300 },
        ..flow_record()
    };
    let mut features = Features::new(1_000_000);
    features.fold(Role::Client, &flow);
    let time = TimeBase { sensor_us: 1_000_000, utc_us: 1_000_500, clock: Clock::Set };
    let mut encoder = Encoder::new(&options, time).unwrap();
    let mut parts = 0;
    features
        .view()
        .parts(|part| {
            parts += 1;
            let folded = Folded {
                emitted_us: 2_000_000,
                profile: tuple().orig_addr,
                start_us: 1_000_000,
                width_us: 3_600_000_000,
                part,
            };
            // The second one: pairs by destination port.
            if parts == 2 { encoder.push_folded(&folded) } else { Ok(()) }
        })
        .unwrap();
    let expected = bytes(
        &"01 01 04 686f6d65 02 7231
         b001020304050607 01
         c0843d b4883d 01 00 01 00           ; both clocks, set, closed at the beginning, features
         LEDGER
         01                                  ; one record
         04 80897a 00 00 0a000002            ; emitted 1000000 later, address 0 = 10.0.0.2
         c0843d 80c8ceb40d                   ; window from 1000000, 3600000000 wide
         01 00 00 01                         ; pairs of TCP, established, client; by destination port; one
         bb03 00 c0000201 01 05 04 c801 ac02"
            .replace("LEDGER", &ledger_text(0, "00", &[])),
    );
    let written = encoder.finish(1, 1_000_000, &Ledger::default(), false).unwrap();
    assert_eq!(written, expected, "format version {VERSION}");
    let read: Vec<_> = Report::open(&expected).unwrap().records().collect::<Result<_, _>>().unwrap();
    let [Decoded::Folded(part)] = &*read else { panic!("{read:?}") };
    assert_eq!(
        (part.emitted_us, part.start_us, part.part.class().role),
        (2_000_500, 1_000_000, Role::Client)
    );
}

#[test]
fn stored() {
    let missing = [Range { from: 8, to: 9 }, Range { from: 300, to: u64::MAX }].into_iter().collect();
    let stored =
        Stored { site: "home", sensor: "r1", boot: Boot([0xb0, 1, 2, 3, 4, 5, 6, 7]), up_to: 5, missing };
    let expected = bytes(
        "01 03 04 686f6d65 02 7231
         b001020304050607 05                 ; boot, stored up to 5
         02 08 09                            ; two ranges: 8 to 9
         ac02 ffffffffffffffffff01           ; 300 to everything",
    );
    assert_eq!(stored.write(&mut [0; 64]), Ok(expected.as_slice()), "format version {VERSION}");
    assert_eq!(Stored::read(&expected), Ok(stored), "format version {VERSION}");
}

#[test]
fn command() {
    let orders = [
        (Order::Block { addr: [192, 0, 2, 1].into(), seconds: 3600 }, "01 00 c0000201 901c"),
        (Order::Unblock { addr: "2001:db8::1".parse().unwrap() }, "02 01 20010db8000000000000000000000001"),
        (Order::Detail(Detail::Features), "03 01"),
        (Order::Configure("a=1\n"), "04 04 613d310a"),
    ];
    for (order, text) in orders {
        let command = Command { site: "home", sensor: "r1", id: 0xff, expires_us: 1_000_000, order };
        let expected = bytes(&format!("01 04 04 686f6d65 02 7231 00000000000000ff c0843d {text}"));
        assert_eq!(command.write(&mut [0; 64]), Ok(expected.as_slice()), "format version {VERSION}");
        assert_eq!(Command::read(&expected), Ok(command), "format version {VERSION}");
    }
}

#[test]
fn status() {
    let status = Status {
        site: "home",
        sensor: "r1",
        boot: Boot([0xb0, 1, 2, 3, 4, 5, 6, 7]),
        online: true,
        version: "0.1.0",
        time: TimeBase { sensor_us: 1, utc_us: 1_000_000, clock: Clock::Unset },
        detail: Detail::Flows,
        capabilities: capability::FLOWS | capability::BLOCK,
        custody: Custody {
            next: 300,
            oldest: 5,
            waiting: 3,
            waiting_bytes: 200,
            discarded: 1,
            discarded_records: 2,
            unfit_records: 0,
        },
        ledger: Ledger { bytes: 7, ..Ledger::default() },
        blocks: [Block { addr: [192, 0, 2, 1].into(), until_us: 2 }].into_iter().collect(),
        blocks_left_out: 4,
        answers: [super::Answer { id: 0xff, outcome: Outcome::Unsupported, note: "no" }]
            .into_iter()
            .collect(),
        note: "hi",
    };
    let expected = bytes(
        &"01 02 04 686f6d65 02 7231
         b001020304050607 01 05 302e312e30   ; boot, online, version
         01 c0843d 00 00 05                  ; clocks, detail, capabilities
         ac02 05 03 c801 01 02 00            ; custody
         LEDGER
         01 00 c0000201 02 04                ; one block, four left out
         01 00000000000000ff 02 02 6e6f      ; one answer
         02 6869"
            .replace("LEDGER", &ledger_text(1, "07", &[])),
    );
    assert_eq!(status.write(&mut [0; 200]), Ok(expected.as_slice()), "format version {VERSION}");
    assert_eq!(Status::read(&expected), Ok(status), "format version {VERSION}");
}

/// The written specification names the counters in the order in which they are sent.
#[test]
fn the_specification_lists_the_ledger() {
    let page: Vec<&str> = include_str!("FORMAT.md").split_whitespace().collect();
    let page = page.join(" ");
    let reasons: Vec<&str> = Drop::ALL.iter().map(|reason| reason.name()).collect();
    assert!(page.contains(&format!("Reasons: {}.", reasons.join(", "))), "{reasons:?}");
    let list = page.split("since the agent's start: ").nth(1).unwrap().split('.').next().unwrap();
    assert_eq!(list.split(", ").count(), COUNTERS, "{list}");
}
