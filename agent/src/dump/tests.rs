use std::net::Ipv4Addr;

use super::*;
use crate::app::record::{Answer, AnswerData, Dns};
use crate::record::{App, AppRecord, ConnState, Counters, FiveTuple, Mac, Service, proto};

fn flow(duration_us: u64) -> FlowRecord {
    FlowRecord {
        uid: Uid(5),
        kind: FlowKind::Final,
        tuple: FiveTuple {
            orig_addr: Ipv4Addr::new(10, 0, 0, 1).into(),
            orig_port: 5000,
            resp_addr: Ipv4Addr::new(10, 0, 0, 2).into(),
            resp_port: 53,
            proto: proto::UDP,
        },
        start_us: 1_476_535_655_529_809,
        duration_us,
        emitted_us: 0,
        orig: Counters { pkts: 1, ip_bytes: 62, payload_bytes: 34 },
        resp: Counters { pkts: 1, ip_bytes: 128, payload_bytes: 100 },
        state: ConnState::Sf,
        history: "Dd".try_into().unwrap(),
        service: Service::MDNS,
        missed_bytes: 0,
        orig_mac: Some(Mac([2, 0, 0, 0, 0, 1])),
        resp_mac: None,
        vlan: Some(7),
        parent: Some(Uid(6)),
    }
}

fn lookup() -> AppRecord<&'static str> {
    let mut answers = heapless::Vec::new();
    answers
        .push(Answer { rtype: 1, ttl: 60, data: AnswerData::Addr(Ipv4Addr::new(1, 2, 3, 4).into()) })
        .unwrap();
    AppRecord {
        uid: Uid(5),
        tuple: flow(0).tuple,
        ts_us: 1_000_000,
        emitted_us: 0,
        body: App::Dns(Dns {
            service: Service::DNS,
            trans_id: 9,
            query: "example.org",
            qtype: 1,
            qclass: 1,
            rcode: Some(0),
            aa: false,
            tc: false,
            rd: true,
            ra: true,
            rtt_us: Some(2500),
            answers,
            answers_left_out: 0,
        }),
    }
}

fn dumped(fill: impl FnOnce(&mut Dump<&mut Vec<u8>>)) -> (Vec<String>, Written) {
    let mut out = Vec::new();
    let mut dump = Dump::new(&mut out);
    fill(&mut dump);
    let written = dump.finish().unwrap();
    (String::from_utf8(out).unwrap().lines().map(str::to_owned).collect(), written)
}

#[test]
fn a_line_has_zeeks_names_and_its_applications() {
    let (lines, written) = dumped(|d| {
        d.record(Record::App(&lookup()));
        d.record(Record::Flow(&FlowRecord { kind: FlowKind::Ongoing, ..flow(1) }));
        d.record(Record::Flow(&flow(34_025)));
    });
    assert_eq!(written, Written { flows: 1, dropped: 0 });
    assert_eq!(
        lines,
        [concat!(
            r#"{"ts":1476535655.529809,"uid":"C00000000005","id.orig_h":"10.0.0.1","id.orig_p":5000,"#,
            r#""id.resp_h":"10.0.0.2","id.resp_p":53,"proto":"udp","service":"dns","duration":0.034025,"#,
            r#""orig_bytes":34,"resp_bytes":100,"conn_state":"SF","missed_bytes":0,"history":"Dd","#,
            r#""orig_pkts":1,"orig_ip_bytes":62,"resp_pkts":1,"resp_ip_bytes":128,"#,
            r#""tunnel_parents":["C00000000006"],"ip_proto":17,"orig_l2_addr":"02:00:00:00:00:01","vlan":7,"#,
            r#""dns":[{"ts":1.0,"trans_id":9,"rtt":0.0025,"query":"example.org","qclass":1,"#,
            r#""qclass_name":"C_INTERNET","qtype":1,"qtype_name":"A","rcode":0,"rcode_name":"NOERROR","#,
            r#""AA":false,"TC":false,"RD":true,"RA":true,"answers":["1.2.3.4"],"TTLs":[60.0],"rejected":false}]}"#,
        )]
    );
}

#[test]
fn what_has_no_value_is_left_out() {
    let (lines, _) = dumped(|d| d.record(Record::Flow(&FlowRecord { service: Service::UNKNOWN, ..flow(0) })));
    for absent in ["duration", "orig_bytes", "service", "dns"] {
        assert!(!lines[0].contains(&format!("\"{absent}\"")), "{absent}: {}", lines[0]);
    }
}

#[test]
fn waiting_records_are_bounded_and_belong_to_one_flow() {
    let (lines, written) = dumped(|d| {
        for _ in 0..MAX_PER_FLOW + 5 {
            d.record(Record::App(&lookup()));
        }
        d.record(Record::Flow(&flow(1)));
        // The next flow with the same identity has none of them.
        d.record(Record::Flow(&flow(1)));
    });
    assert_eq!(written, Written { flows: 2, dropped: 5 });
    assert_eq!(lines[0].matches("trans_id").count(), MAX_PER_FLOW);
    assert!(!lines[1].contains("dns\":["));
}

#[test]
fn a_closed_pipe_ends_the_writing() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut dump = Dump::new(Closed);
    dump.record(Record::Flow(&flow(1)));
    assert!(dump.failed());
    dump.record(Record::Flow(&flow(1)));
    assert_eq!(dump.finish().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}
