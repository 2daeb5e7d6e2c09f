//! The records that leave the sensor: flow, application and ARP records.
//!
//! Every input of the collector (agent, pcap, Zeek, Suricata, Argus, nfdump) becomes these types, so that there is one
//! flow record and one detection pipeline. All times are microseconds of traffic time since the Unix epoch (UTC);
//! the wire format converts from and to the sensor's monotonic time base.

use core::fmt;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::app::{Direction, FlowContext, Segment};

pub use crate::app::record::{App, AppRecord};

/// Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Identity of a flow: 64 bits computed from five-tuple, VLAN and start time, so that the same traffic has the same
/// identity in every run and on every road (file, interface, broker).
///
/// Shown as `C` and eleven base-62 digits, the shape that Zeek users know.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Uid(pub u64);

impl Uid {
    /// FNV-1a over the five-tuple, VLAN and start, finished with a 64-bit mix. Not keyed on purpose: two sensors and two
    /// runs must agree. It is a name, never a table key without a keyed hash in front.
    #[must_use]
    pub fn of(tuple: &FiveTuple, vlan: Option<u16>, start_us: u64) -> Self {
        let mut h: u64 = 0xcbf2_9ce4_8422_2325;
        let mut eat = |bytes: &[u8]| {
            for b in bytes {
                h ^= u64::from(*b);
                h = h.wrapping_mul(0x0000_0100_0000_01b3);
            }
        };
        let mut addr = |a: IpAddr| match a {
            IpAddr::V4(v) => eat(&v.octets()),
            IpAddr::V6(v) => eat(&v.octets()),
        };
        addr(tuple.orig_addr);
        addr(tuple.resp_addr);
        eat(&tuple.orig_port.to_be_bytes());
        eat(&tuple.resp_port.to_be_bytes());
        eat(&[tuple.proto]);
        eat(&vlan.map_or(0xffff, |v| v & 0x0fff).to_be_bytes());
        eat(&start_us.to_be_bytes());
        h ^= h >> 33;
        h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
        h ^= h >> 33;
        h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        h ^= h >> 33;
        Self(h)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut text = *b"C00000000000";
        let mut rest = self.0;
        for slot in text.iter_mut().skip(1).rev() {
            *slot = DIGITS.get((rest % 62) as usize).copied().unwrap_or(b'0');
            rest /= 62;
        }
        f.write_str(core::str::from_utf8(&text).unwrap_or("C"))
    }
}

/// From its text, as [`fmt::Display`] writes it.
impl core::str::FromStr for Uid {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.strip_prefix('C').filter(|digits| digits.len() == 11).ok_or(())?;
        digits
            .bytes()
            .try_fold(0_u64, |number, digit| {
                let value = match digit {
                    b'0'..=b'9' => digit - b'0',
                    b'A'..=b'Z' => digit - b'A' + 10,
                    b'a'..=b'z' => digit - b'a' + 36,
                    _ => return Err(()),
                };
                number.checked_mul(62).and_then(|n| n.checked_add(u64::from(value))).ok_or(())
            })
            .map(Self)
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// IP protocol numbers that the program treats by name. Any other number stays a number.
pub mod proto {
    /// ICMP for IPv4. In a flow the originator's port is the type and the responder's port the code, as Zeek does it.
    pub const ICMP: u8 = 1;
    /// IGMP.
    pub const IGMP: u8 = 2;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 in IPv4 (6in4).
    pub const IPV6: u8 = 41;
    /// GRE.
    pub const GRE: u8 = 47;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// SCTP.
    pub const SCTP: u8 = 132;

    /// Lower-case name as in Zeek's and Argus' logs, or `None` for a number without one.
    #[must_use]
    pub const fn name(proto: u8) -> Option<&'static str> {
        Some(match proto {
            ICMP => "icmp",
            IGMP => "igmp",
            TCP => "tcp",
            UDP => "udp",
            GRE => "gre",
            ICMPV6 => "ipv6-icmp",
            SCTP => "sctp",
            _ => return None,
        })
    }
}

/// Addresses, ports and protocol, seen from the originator.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct FiveTuple {
    /// Who opened the flow.
    pub orig_addr: IpAddr,
    /// Source port; ICMP type for ICMP.
    pub orig_port: u16,
    /// Who was asked.
    pub resp_addr: IpAddr,
    /// Destination port; ICMP code for ICMP.
    pub resp_port: u16,
    /// IP protocol number.
    pub proto: u8,
}

/// One direction of a flow: how much the end *sent*.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Packets.
    pub pkts: u64,
    /// Bytes of the IP packets, headers included.
    pub ip_bytes: u64,
    /// Bytes above layer 4. For TCP from sequence numbers, so that retransmissions do not count twice.
    pub payload_bytes: u64,
}

/// How a connection went, in Zeek's notation; the last two for sources that only know established or not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum ConnState {
    /// Attempt without answer.
    S0,
    /// Established, not ended.
    S1,
    /// Normal end.
    Sf,
    /// Attempt rejected.
    Rej,
    /// Established, originator closed, responder did not.
    S2,
    /// Established, responder closed, originator did not.
    S3,
    /// Established, originator aborted.
    Rsto,
    /// Responder aborted.
    Rstr,
    /// Originator sent SYN and RST, no answer seen.
    Rstos0,
    /// Responder sent SYN-ACK and RST, no SYN seen.
    Rstrh,
    /// Originator sent SYN and FIN, no SYN-ACK seen.
    Sh,
    /// Responder sent SYN-ACK and FIN, no SYN seen.
    Shr,
    /// Midstream traffic, or a protocol without states.
    #[default]
    Oth,
    /// The source says established and no more (Suricata, Argus, nfdump).
    Established,
    /// The source says not established and no more.
    NotEstablished,
}

impl ConnState {
    /// Zeek's name; the two coarse states by name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::S0 => "S0",
            Self::S1 => "S1",
            Self::Sf => "SF",
            Self::Rej => "REJ",
            Self::S2 => "S2",
            Self::S3 => "S3",
            Self::Rsto => "RSTO",
            Self::Rstr => "RSTR",
            Self::Rstos0 => "RSTOS0",
            Self::Rstrh => "RSTRH",
            Self::Sh => "SH",
            Self::Shr => "SHR",
            Self::Oth => "OTH",
            Self::Established => "established",
            Self::NotEstablished => "notestablished",
        }
    }

    /// The state with Zeek's `name`.
    #[must_use]
    pub fn from_zeek(name: &str) -> Option<Self> {
        Some(match name {
            "S0" => Self::S0,
            "S1" => Self::S1,
            "SF" => Self::Sf,
            "REJ" => Self::Rej,
            "S2" => Self::S2,
            "S3" => Self::S3,
            "RSTO" => Self::Rsto,
            "RSTR" => Self::Rstr,
            "RSTOS0" => Self::Rstos0,
            "RSTRH" => Self::Rstrh,
            "SH" => Self::Sh,
            "SHR" => Self::Shr,
            "OTH" => Self::Oth,
            _ => return None,
        })
    }

    /// Whether Slips counts the flow as established. RSTR depends on the packets of both directions: up to three are
    /// a rejected attempt (Slips 0.7.1, final-state rule 11).
    #[must_use]
    pub const fn established(self, pkts: u64) -> bool {
        match self {
            Self::S1 | Self::Sf | Self::S2 | Self::S3 | Self::Rsto | Self::Oth | Self::Established => true,
            Self::Rstr => pkts > 3,
            Self::S0
            | Self::Rej
            | Self::Rstos0
            | Self::Rstrh
            | Self::Sh
            | Self::Shr
            | Self::NotEstablished => false,
        }
    }
}

/// What is spoken above layer 4. A number, so that a newer sensor's value passes through an older collector.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Service(pub u8);

impl Service {
    /// The source does not look above layer 4 (Argus, NetFlow): that nothing is known says nothing about the flow.
    pub const UNSEEN: Self = Self(u8::MAX);
}

macro_rules! services {
    ($($value:literal $konst:ident $name:literal)*) => {
        impl Service {
            $(#[doc = concat!("`", $name, "`")] pub const $konst: Self = Self($value);)*
            /// Zeek's service name, empty when unknown.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self.0 { $($value => $name,)* _ => "" }
            }
            /// The service with this name in Zeek's or Suricata's logs; `UNKNOWN` for any other.
            #[must_use]
            pub fn from_name(name: &str) -> Self {
                match name { $($name => Self::$konst,)* "tls" => Self::SSL, _ => Self::UNKNOWN }
            }
        }
    };
}
services! {
    0 UNKNOWN "" 1 DNS "dns" 2 SSL "ssl" 3 QUIC "quic" 4 HTTP "http" 5 SSH "ssh" 6 DHCP "dhcp" 7 SMTP "smtp"
    8 FTP "ftp" 9 TELNET "telnet" 10 RDP "rdp" 11 SMB "smb" 12 NTP "ntp" 13 MQTT "mqtt" 14 SIP "sip"
    15 MDNS "mdns" 16 LLMNR "llmnr" 17 SSDP "ssdp" 18 IRC "irc" 19 POP3 "pop3" 20 IMAP "imap" 21 LDAP "ldap"
    22 KRB "krb" 23 SNMP "snmp" 24 SYSLOG "syslog" 25 RADIUS "radius" 26 MYSQL "mysql" 27 POSTGRESQL "postgresql"
    28 MODBUS "modbus" 29 DNP3 "dnp3" 30 SOCKS "socks" 31 DCE_RPC "dce_rpc" 32 NTLM "ntlm" 33 FTP_DATA "ftp-data"
    34 VXLAN "vxlan" 35 GENEVE "geneve" 36 TEREDO "teredo" 37 GTPV1 "gtpv1" 38 AYIYA "ayiya" 39 BITTORRENT "bittorrent"
    40 RFB "rfb" 41 REDIS "redis" 42 XMPP "xmpp" 43 WIREGUARD "wireguard" 44 COAP "coap" 45 STUN "stun" 46 DTLS "dtls"
    47 RTSP "rtsp" 48 NETBIOS "netbios" 49 GSSAPI "gssapi" 50 WEBSOCKET "websocket" 51 RLOGIN "rlogin" 52 RSH "rsh"
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0, self.name())
    }
}

/// Why a flow is reported now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum FlowKind {
    /// The flow lives on; this is how far it has come. Only modules that ask for it see it.
    Ongoing,
    /// The flow is over: counters are final.
    #[default]
    Final,
}

/// History string of a flow in Zeek's letters. Longer histories are cut.
pub type History = heapless::String<32>;

/// One flow, complete so far.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FlowRecord {
    /// Identity; application records of the flow carry it too.
    pub uid: Uid,
    /// Final or ongoing.
    pub kind: FlowKind,
    /// Who spoke with whom.
    pub tuple: FiveTuple,
    /// Time of the first packet.
    pub start_us: u64,
    /// First to last packet.
    pub duration_us: u64,
    /// Traffic time at which the record left the flow table. The site's clock is the latest of these.
    pub emitted_us: u64,
    /// Sent by the originator.
    pub orig: Counters,
    /// Sent by the responder.
    pub resp: Counters,
    /// How it went.
    pub state: ConnState,
    /// Letters of what happened, as Zeek writes them; empty where the source has none.
    pub history: History,
    /// What was spoken.
    pub service: Service,
    /// Payload bytes that passed unseen (gaps in the TCP sequence).
    pub missed_bytes: u64,
    /// Ethernet address the originator's packets came from, where there is one.
    pub orig_mac: Option<Mac>,
    /// Ethernet address the originator's packets went to.
    pub resp_mac: Option<Mac>,
    /// Outermost 802.1Q tag.
    pub vlan: Option<u16>,
    /// Identity of the flow that carried this one, for tunnelled traffic with an outer flow.
    pub parent: Option<Uid>,
}

impl FlowRecord {
    /// Packets of both directions.
    #[must_use]
    pub const fn pkts(&self) -> u64 {
        self.orig.pkts.saturating_add(self.resp.pkts)
    }

    /// Payload bytes of both directions.
    #[must_use]
    pub const fn payload_bytes(&self) -> u64 {
        self.orig.payload_bytes.saturating_add(self.resp.payload_bytes)
    }

    /// Established in the sense of Slips, see [`ConnState::established`].
    #[must_use]
    pub const fn established(&self) -> bool {
        self.state.established(self.pkts())
    }

    /// Whether both ends are really there: the flow was established, and packets went both ways.
    #[must_use]
    pub const fn answered(&self) -> bool {
        self.established() && self.orig.pkts > 0 && self.resp.pkts > 0
    }
}

/// One ARP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ArpRecord {
    /// When it was seen.
    pub ts_us: u64,
    /// 1 request, 2 reply; any other number as it was.
    pub operation: u16,
    /// Ethernet source.
    pub eth_src: Mac,
    /// Ethernet destination.
    pub eth_dst: Mac,
    /// Sender's hardware address in the ARP body.
    pub sender_mac: Mac,
    /// Sender's protocol address.
    pub sender_addr: core::net::Ipv4Addr,
    /// Target's hardware address in the ARP body.
    pub target_mac: Mac,
    /// Target's protocol address.
    pub target_addr: core::net::Ipv4Addr,
}

/// What a sensor or reader emits, borrowed: nothing is allocated on the way out.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// A flow, final or ongoing.
    Flow(&'a FlowRecord),
    /// What was said above layer 4.
    App(&'a AppRecord<&'a str>),
    /// An ARP packet.
    Arp(&'a ArpRecord),
}

impl Record<'_> {
    /// Traffic time at which the record was emitted.
    #[must_use]
    pub const fn emitted_us(&self) -> u64 {
        match self {
            Self::Flow(f) => f.emitted_us,
            Self::App(a) => a.emitted_us,
            Self::Arp(a) => a.ts_us,
        }
    }
}

/// Takes records as they leave the sensor.
pub trait Sink {
    /// One record. It is borrowed: what must outlive the call is copied by the sink.
    fn record(&mut self, record: Record<'_>);

    /// Payload of a flow, as it passes: for what stands beside the sensor in the same process. It never leaves an agent.
    fn payload(&mut self, flow: &FlowContext, dir: Direction, service: Service, segment: &Segment<'_>) {
        let _ = (flow, dir, service, segment);
    }
}

impl<F: FnMut(Record<'_>)> Sink for F {
    fn record(&mut self, record: Record<'_>) {
        self(record);
    }
}
