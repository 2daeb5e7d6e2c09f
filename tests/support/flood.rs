//! Records of made traffic for what measures the analysis: the bench of floods and the test of memory.

use std::net::{IpAddr, Ipv4Addr};

use slips::input::{Record, Text};
use slips_agent::app::record::{App, Dns};
use slips_agent::record::{
    AppRecord, ConnState, Counters, FiveTuple, FlowKind, FlowRecord, History, Service, Uid, proto,
};

/// An answered connection of 20 ms; DNS over UDP where it goes to port 53.
pub fn flow(from: u32, to: u32, (orig_port, resp_port): (u16, u16), start_us: u64) -> FlowRecord {
    let v4 = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(n));
    let tuple = FiveTuple {
        orig_addr: v4(from),
        orig_port,
        resp_addr: v4(to),
        resp_port,
        proto: if resp_port == 53 { proto::UDP } else { proto::TCP },
    };
    FlowRecord {
        uid: Uid::of(&tuple, None, start_us),
        kind: FlowKind::Final,
        tuple,
        start_us,
        duration_us: 20_000,
        emitted_us: start_us + 20_000,
        orig: Counters { pkts: 6, ip_bytes: 900, payload_bytes: 500 },
        resp: Counters { pkts: 8, ip_bytes: 6000, payload_bytes: 2000 },
        state: ConnState::Sf,
        history: History::new(),
        service: if resp_port == 53 { Service::DNS } else { Service::SSL },
        missed_bytes: 0,
        orig_mac: None,
        resp_mac: None,
        vlan: None,
        parent: None,
    }
}

/// A question for a name in `flow`, answered without an address.
pub fn said(flow: &FlowRecord, query: String) -> Record {
    let body: App<Text> = App::Dns(Dns {
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
        answers: heapless::Vec::new(),
        answers_left_out: 0,
    });
    let (ts_us, emitted_us) = (flow.start_us, flow.start_us);
    Record::App(Box::new(AppRecord { uid: flow.uid, tuple: flow.tuple, ts_us, emitted_us, body }))
}
