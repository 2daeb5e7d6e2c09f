//! Flows of a home, as many as wanted, the same in every run: what the benchmarks use where a capture has too few.
//!
//! Of 1,000 flows 350 are DNS questions to one resolver, 500 TLS to one of 2,000 servers (few of them take most), 60 HTTP, 30 NTP,
//! 40 attempts that nobody answers, 20 flows between hosts. Hosts take turns; time runs at 20 flows a second.

use std::net::{IpAddr, Ipv4Addr};

use slips_agent::record::{
    ConnState, Counters, FiveTuple, FlowKind, FlowRecord, History, Service, Uid, proto,
};

/// 2023-11-14T22:00:00Z.
pub const START_US: u64 = 1_699_999_200_000_000;

/// See the head of the file.
pub struct Home {
    hosts: u32,
    state: u64,
    count: u64,
}

impl Home {
    /// A home, or a branch office, of so many hosts.
    pub fn new(hosts: u32) -> Self {
        Self { hosts, state: 0x9e37_79b9_7f4a_7c15, count: 0 }
    }

    /// Xorshift (Marsaglia 2003).
    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}

impl Iterator for Home {
    type Item = FlowRecord;

    fn next(&mut self) -> Option<FlowRecord> {
        let (a, b) = (self.random(), self.random());
        let host = 0x0a00_0001 + (a % u64::from(self.hosts)) as u32;
        // The square of a fraction leans to the low numbers.
        let server = 0x5db8_0000 + (((b & 0xffff) * (b & 0xffff) * 2000) >> 32) as u32;
        let v4 = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(n));
        let size = 1_u64 << (b >> 60);
        let (peer, port, proto, state, service, sent, received) = match (a >> 32) % 1000 {
            0..350 => (0x0a00_00fe, 53, proto::UDP, ConnState::Sf, Service::DNS, (1, 40), (1, 120)),
            350..850 => {
                (server, 443, proto::TCP, ConnState::Sf, Service::SSL, (12, 1_800 + size), (14, 5_000 * size))
            }
            850..910 => (server, 80, proto::TCP, ConnState::Sf, Service::HTTP, (6, 400), (5, 900 * size)),
            910..940 => {
                (0x0808_0800 + (b % 4) as u32, 123, proto::UDP, ConnState::Sf, Service::NTP, (1, 48), (1, 48))
            }
            940..980 => (
                b as u32,
                (b >> 32) as u16 % 1024,
                proto::TCP,
                ConnState::S0,
                Service::UNKNOWN,
                (2, 0),
                (0, 0),
            ),
            _ => (
                0x0a00_0001 + (b % u64::from(self.hosts)) as u32,
                445,
                proto::TCP,
                ConnState::Sf,
                Service::SMB,
                (20, 3_000),
                (18, 9_000),
            ),
        };
        let start_us = START_US + self.count * 50_000;
        self.count += 1;
        let counters =
            |(pkts, bytes): (u64, u64)| Counters { pkts, ip_bytes: bytes + 40 * pkts, payload_bytes: bytes };
        let tuple = FiveTuple {
            orig_addr: v4(host),
            orig_port: 32_768 + (a >> 49) as u16,
            resp_addr: v4(peer),
            resp_port: port,
            proto,
        };
        let duration_us = (b >> 16) % 3_000_000;
        Some(FlowRecord {
            uid: Uid::of(&tuple, None, start_us),
            kind: FlowKind::Final,
            tuple,
            start_us,
            duration_us,
            emitted_us: start_us + duration_us,
            orig: counters(sent),
            resp: counters(received),
            state,
            history: History::new(),
            service,
            missed_bytes: 0,
            orig_mac: None,
            resp_mac: None,
            vlan: None,
            parent: None,
        })
    }
}
