//! The object of a dumped line: Zeek's names for what a flow record holds.

use std::net::IpAddr;

use serde::Serialize;

use crate::record::{FlowRecord, Service, proto};

/// Fields of `conn.log` (Zeek 8).
#[derive(Serialize)]
pub struct Conn<'a> {
    ts: f64,
    uid: String,
    #[serde(rename = "id.orig_h")]
    orig_h: IpAddr,
    #[serde(rename = "id.orig_p")]
    orig_p: u16,
    #[serde(rename = "id.resp_h")]
    resp_h: IpAddr,
    #[serde(rename = "id.resp_p")]
    resp_p: u16,
    proto: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orig_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resp_bytes: Option<u64>,
    conn_state: &'static str,
    missed_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<&'a str>,
    orig_pkts: u64,
    orig_ip_bytes: u64,
    resp_pkts: u64,
    resp_ip_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tunnel_parents: Option<[String; 1]>,
    ip_proto: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    orig_l2_addr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resp_l2_addr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vlan: Option<u16>,
}

impl<'a> Conn<'a> {
    /// The line of a flow.
    pub fn of(f: &'a FlowRecord) -> Self {
        let lasted = f.duration_us > 0;
        Self {
            ts: seconds(f.start_us),
            uid: f.uid.to_string(),
            orig_h: f.tuple.orig_addr,
            orig_p: f.tuple.orig_port,
            resp_h: f.tuple.resp_addr,
            resp_p: f.tuple.resp_port,
            proto: match f.tuple.proto {
                proto::TCP => "tcp",
                proto::UDP => "udp",
                proto::ICMP | proto::ICMPV6 => "icmp",
                _ => "unknown_transport",
            },
            service: service(f.service, f.tuple.proto == proto::TCP).filter(|name| !name.is_empty()),
            duration: lasted.then(|| seconds(f.duration_us)),
            orig_bytes: lasted.then_some(f.orig.payload_bytes),
            resp_bytes: lasted.then_some(f.resp.payload_bytes),
            conn_state: f.state.name(),
            missed_bytes: f.missed_bytes,
            history: (!f.history.is_empty()).then_some(f.history.as_str()),
            orig_pkts: f.orig.pkts,
            orig_ip_bytes: f.orig.ip_bytes,
            resp_pkts: f.resp.pkts,
            resp_ip_bytes: f.resp.ip_bytes,
            tunnel_parents: f.parent.map(|uid| [uid.to_string()]),
            ip_proto: f.tuple.proto,
            orig_l2_addr: f.orig_mac.map(|mac| mac.to_string()),
            resp_l2_addr: f.resp_mac.map(|mac| mac.to_string()),
            vlan: f.vlan,
        }
    }
}

/// Zeek has one name for DNS, whoever is asked, and two for protocols that it reads differently over TCP.
const fn service(service: Service, tcp: bool) -> Option<&'static str> {
    match service {
        Service::UNKNOWN => None,
        Service::MDNS | Service::LLMNR => Some(Service::DNS.name()),
        Service::LDAP if tcp => Some("ldap_tcp"),
        Service::LDAP => Some("ldap_udp"),
        Service::KRB if tcp => Some("krb_tcp"),
        other => Some(other.name()),
    }
}

/// Microseconds as Zeek writes times and intervals.
pub fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}
