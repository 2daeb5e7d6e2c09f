//! Reads a filter expression into the steps of its evaluation.
//!
//! Enters: text of a user. Leaves: steps, or the column of the first word that does not fit and what was expected there. It
//! looks nothing up: names of hosts would be asked of a name server, on the network that is being watched.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Direction, FilterError, Layer, MAX_DEPTH, MAX_EXPRESSION, Range, Step, Test};
use crate::record::{Mac, proto};

/// Parentheses and negations inside each other.
const MAX_NESTING: u32 = 32;

/// Words with a meaning, which can be no address, number or name.
const KEYWORDS: [&str; 31] = [
    "and",
    "or",
    "not",
    "src",
    "dst",
    "host",
    "net",
    "mask",
    "port",
    "portrange",
    "proto",
    "ether",
    "ip",
    "ip6",
    "arp",
    "tcp",
    "udp",
    "sctp",
    "icmp",
    "icmp6",
    "igmp",
    "vlan",
    "less",
    "greater",
    "broadcast",
    "multicast",
    "(",
    ")",
    "!",
    "&&",
    "||",
];

const PRIMITIVE: &str = "an address, or a word like host, net, port, tcp, udp, ip, arp, vlan, not or (";

/// Names that stand for ports, as in `/etc/services`.
const SERVICES: [(&str, u16); 30] = [
    ("ftp-data", 20),
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("domain", 53),
    ("bootps", 67),
    ("bootpc", 68),
    ("tftp", 69),
    ("http", 80),
    ("kerberos", 88),
    ("pop3", 110),
    ("sunrpc", 111),
    ("ntp", 123),
    ("netbios-ns", 137),
    ("netbios-dgm", 138),
    ("netbios-ssn", 139),
    ("imap", 143),
    ("snmp", 161),
    ("bgp", 179),
    ("ldap", 389),
    ("https", 443),
    ("microsoft-ds", 445),
    ("syslog", 514),
    ("ldaps", 636),
    ("imaps", 993),
    ("pop3s", 995),
    ("mysql", 3306),
    ("mdns", 5353),
    ("xmpp-client", 5222),
];

/// Names that stand for IP protocols, as in `/etc/protocols`.
const PROTOCOLS: [(&str, u8); 12] = [
    ("icmp", 1),
    ("igmp", 2),
    ("ipip", 4),
    ("tcp", 6),
    ("udp", 17),
    ("ipv6", 41),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmp6", 58),
    ("ospf", 89),
    ("sctp", 132),
];

/// What an address or number means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Host,
    Net,
    Port,
    PortRange,
    Proto,
    EtherHost,
}

/// Words in front of an address or number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Qualifiers {
    layer: Layer,
    transport: Option<u8>,
    direction: Direction,
    kind: Kind,
}

struct Parser<'a> {
    words: Vec<(usize, &'a str)>,
    at: usize,
    end: usize,
    steps: Vec<Step>,
    /// Operands that wait at this point of the evaluation.
    depth: u32,
    nesting: u32,
    last: Option<Qualifiers>,
}

/// Steps of `expression`.
pub(super) fn parse(expression: &str) -> Result<Vec<Step>, FilterError> {
    let end = expression.chars().count() + 1;
    let mut parser =
        Parser { words: Vec::new(), at: 0, end, steps: Vec::new(), depth: 0, nesting: 0, last: None };
    if expression.len() > MAX_EXPRESSION {
        return Err(FilterError {
            column: MAX_EXPRESSION,
            expected: "an expression of at most 4,096 characters",
            found: "more".to_owned(),
        });
    }
    parser.words = words(expression);
    if parser.words.is_empty() {
        return Ok(Vec::new());
    }
    parser.expression()?;
    match parser.peek() {
        None => Ok(parser.steps),
        Some(_) => Err(parser.wrong("and, or, or the end")),
    }
}

/// Words with their columns. `(`, `)`, `!`, `&&` and `||` need no space around them.
fn words(expression: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut start = None;
    let mut skip = 0;
    for (column, (place, c)) in expression.char_indices().enumerate() {
        if skip > 0 {
            skip -= 1;
            continue;
        }
        let rest = expression.get(place..).unwrap_or("");
        let symbol = ["&&", "||", "(", ")", "!"].into_iter().find(|s| rest.starts_with(s));
        if c.is_whitespace() || symbol.is_some() {
            if let Some((column, from)) = start.take() {
                words.push((column, expression.get(from..place).unwrap_or("")));
            }
            if let Some(symbol) = symbol {
                words.push((column + 1, symbol));
                skip = symbol.len() - 1;
            }
        } else if start.is_none() {
            start = Some((column + 1, place));
        }
    }
    if let Some((column, from)) = start {
        words.push((column, expression.get(from..).unwrap_or("")));
    }
    words
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).map(|(_, word)| *word)
    }

    fn peek_at(&self, ahead: usize) -> Option<&'a str> {
        self.words.get(self.at + ahead).map(|(_, word)| *word)
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        self.at += usize::from(found);
        found
    }

    fn wrong(&self, expected: &'static str) -> FilterError {
        let (column, found) = self.words.get(self.at).copied().unwrap_or((self.end, ""));
        FilterError { column, expected, found: found.to_owned() }
    }

    fn test(&mut self, test: Test) -> Result<(), FilterError> {
        self.depth += 1;
        // One bit lies below the operands.
        if self.depth >= MAX_DEPTH {
            return Err(self.wrong("fewer parentheses"));
        }
        self.steps.push(Step::Test(test));
        Ok(())
    }

    fn expression(&mut self) -> Result<(), FilterError> {
        self.primitive()?;
        loop {
            let step = match self.peek() {
                Some("and" | "&&") => Step::And,
                Some("or" | "||") => Step::Or,
                _ => return Ok(()),
            };
            self.at += 1;
            self.primitive()?;
            self.steps.push(step);
            self.depth -= 1;
        }
    }

    fn primitive(&mut self) -> Result<(), FilterError> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(self.wrong("fewer parentheses"));
        }
        match self.peek() {
            Some("(") => {
                self.at += 1;
                self.expression()?;
                if !self.take(")") {
                    return Err(self.wrong("and, or, or )"));
                }
            }
            Some("not" | "!") => {
                self.at += 1;
                self.primitive()?;
                self.steps.push(Step::Not);
            }
            _ => self.words_and_value()?,
        }
        self.nesting -= 1;
        Ok(())
    }

    fn words_and_value(&mut self) -> Result<(), FilterError> {
        let word = self.peek().ok_or_else(|| self.wrong(PRIMITIVE))?;
        match word {
            "icmp" => return self.alone(Test::Protocol(Layer::Ip, proto::ICMP)),
            "icmp6" => return self.alone(Test::Protocol(Layer::Ip6, proto::ICMPV6)),
            "igmp" => return self.alone(Test::Protocol(Layer::Ip, proto::IGMP)),
            "broadcast" => return self.alone(Test::Broadcast),
            "multicast" => return self.alone(Test::Multicast(Layer::Any)),
            "less" | "greater" => {
                self.at += 1;
                let len = self.number("a length in bytes", u32::MAX)?;
                return self.test(if word == "less" { Test::Less(len) } else { Test::Greater(len) });
            }
            "vlan" => {
                self.at += 1;
                let id = match self.peek() {
                    Some(word) if word.bytes().all(|b| b.is_ascii_digit()) => {
                        Some(self.number("a VLAN number up to 4095", 4095)? as u16)
                    }
                    _ => None,
                };
                return self.test(Test::Vlan(id));
            }
            _ => {}
        }
        if !KEYWORDS.contains(&word) {
            // An address or number alone has the words of the one before.
            let host = Qualifiers {
                layer: Layer::Any,
                transport: None,
                direction: Direction::Either,
                kind: Kind::Host,
            };
            if self.last.is_none() && address(word).is_none_or(|range| range.mask != full(range.v6)) {
                return Err(self.wrong(PRIMITIVE));
            }
            let last = self.last.unwrap_or(host);
            return self.value(last);
        }
        self.qualified()
    }

    fn alone(&mut self, test: Test) -> Result<(), FilterError> {
        self.at += 1;
        self.test(test)
    }

    /// `[layer] [direction] [kind] value`, or a layer alone.
    fn qualified(&mut self) -> Result<(), FilterError> {
        let word = self.peek().unwrap_or("");
        let (layer, transport, ether) = match word {
            "ether" => (Layer::Any, None, true),
            "ip" => (Layer::Ip, None, false),
            "ip6" => (Layer::Ip6, None, false),
            "arp" => (Layer::Arp, None, false),
            "tcp" => (Layer::Any, Some(proto::TCP), false),
            "udp" => (Layer::Any, Some(proto::UDP), false),
            "sctp" => (Layer::Any, Some(proto::SCTP), false),
            _ => (Layer::Any, None, false),
        };
        let named = ether || layer != Layer::Any || transport.is_some();
        self.at += usize::from(named);
        let direction = self.direction();
        let kind = match self.peek() {
            Some("host") => Some(if ether { Kind::EtherHost } else { Kind::Host }),
            Some("net") if !ether => Some(Kind::Net),
            Some("port") if !ether => Some(Kind::Port),
            Some("portrange") if !ether => Some(Kind::PortRange),
            Some("proto") if !ether && direction.is_none() => Some(Kind::Proto),
            Some("multicast") if direction.is_none() && transport.is_none() && named => {
                return self.alone(Test::Multicast(layer));
            }
            Some("broadcast") if direction.is_none() && ether => return self.alone(Test::Broadcast),
            _ => None,
        };
        if kind.is_none() && direction.is_none() {
            if !named {
                return Err(self.wrong(PRIMITIVE));
            }
            if ether {
                return Err(self.wrong("host, src, dst, broadcast or multicast"));
            }
            return self.test(transport.map_or(Test::Layer(layer), |n| Test::Protocol(Layer::Any, n)));
        }
        let kind = kind.unwrap_or(if ether { Kind::EtherHost } else { Kind::Host });
        // Ports belong to transports, everything else does not.
        let is_port = matches!(kind, Kind::Port | Kind::PortRange);
        if (is_port && layer != Layer::Any) || (!is_port && transport.is_some()) {
            return Err(self.wrong(if is_port {
                "tcp, udp, sctp or nothing before port"
            } else {
                "port or portrange after tcp, udp, sctp"
            }));
        }
        if kind == Kind::Proto && layer == Layer::Arp {
            return Err(self.wrong("host, net, src or dst after arp"));
        }
        self.at += usize::from(matches!(self.peek(), Some("host" | "net" | "port" | "portrange" | "proto")));
        let qualifiers =
            Qualifiers { layer, transport, direction: direction.unwrap_or(Direction::Either), kind };
        self.last = Some(qualifiers);
        self.value(qualifiers)
    }

    /// `src`, `dst`, or both joined.
    fn direction(&mut self) -> Option<Direction> {
        let first = match self.peek()? {
            "src" => Direction::Source,
            "dst" => Direction::Destination,
            _ => return None,
        };
        let other = if first == Direction::Source { "dst" } else { "src" };
        let joined = match (self.peek_at(1), self.peek_at(2)) {
            (Some("or" | "||"), Some(word)) if word == other => Some(Direction::Either),
            (Some("and" | "&&"), Some(word)) if word == other => Some(Direction::Both),
            _ => None,
        };
        self.at += if joined.is_some() { 3 } else { 1 };
        Some(joined.unwrap_or(first))
    }

    fn value(&mut self, q: Qualifiers) -> Result<(), FilterError> {
        let word = self.peek().unwrap_or("");
        let test = match q.kind {
            Kind::Host => {
                let range = address(word)
                    .filter(|range| range.mask == full(range.v6))
                    .ok_or_else(|| self.wrong("an IPv4 or IPv6 address (names are not looked up)"))?;
                self.at += 1;
                Test::Address(q.layer, q.direction, range)
            }
            Kind::Net => {
                let mut range = address(word)
                    .ok_or_else(|| self.wrong("a network like 10.0.0.0/8, 192.168 or 2001:db8::/32"))?;
                self.at += 1;
                if self.peek() == Some("mask") && !range.v6 && !word.contains('/') {
                    self.at += 1;
                    let mask = self.peek().and_then(|m| m.parse::<Ipv4Addr>().ok());
                    range.mask =
                        u128::from(mask.ok_or_else(|| self.wrong("a mask like 255.255.0.0"))?.to_bits());
                    self.at += 1;
                }
                if range.bits & !range.mask != 0 {
                    self.at -= 1;
                    return Err(self.wrong("a network whose bits behind the mask are zero"));
                }
                Test::Address(q.layer, q.direction, range)
            }
            Kind::Port => {
                let port = port(word)
                    .ok_or_else(|| self.wrong("a port number up to 65535 or the name of a service"))?;
                self.at += 1;
                Test::Port(q.transport, q.direction, port, port)
            }
            Kind::PortRange => {
                let range = word.split_once('-').and_then(|(a, b)| Some((port(a)?, port(b)?)));
                let (a, b) = range.ok_or_else(|| self.wrong("a range of ports like 6000-6010"))?;
                self.at += 1;
                Test::Port(q.transport, q.direction, a.min(b), a.max(b))
            }
            Kind::Proto => {
                // tcpdump wants names that are also words behind a backslash.
                let name = word.trim_start_matches('\\');
                let known = PROTOCOLS.iter().find(|(n, _)| *n == name).map(|(_, number)| *number);
                let number = known.or_else(|| name.parse().ok());
                let number =
                    number.ok_or_else(|| self.wrong("a protocol number up to 255 or a name like tcp"))?;
                self.at += 1;
                Test::Protocol(q.layer, number)
            }
            Kind::EtherHost => {
                let mac =
                    mac(word).ok_or_else(|| self.wrong("an Ethernet address like 02:00:5e:10:00:ff"))?;
                self.at += 1;
                Test::Mac(q.direction, mac)
            }
        };
        self.test(test)
    }

    fn number(&mut self, expected: &'static str, most: u32) -> Result<u32, FilterError> {
        let number = self.peek().and_then(|word| word.parse().ok()).filter(|n| *n <= most);
        let number = number.ok_or_else(|| self.wrong(expected))?;
        self.at += 1;
        Ok(number)
    }
}

const fn full(v6: bool) -> u128 {
    if v6 { u128::MAX } else { 0xffff_ffff }
}

/// An address, a network with its length, or the first octets of an IPv4 network.
fn address(word: &str) -> Option<Range> {
    let (text, len) = match word.split_once('/') {
        Some((text, len)) => (text, Some(len.parse::<u32>().ok()?)),
        None => (word, None),
    };
    let (v6, bits, width) = match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(a)) => (false, u128::from(a.to_bits()), 32),
        Ok(IpAddr::V6(a)) => (true, Ipv6Addr::to_bits(a), 128),
        Err(_) => {
            let mut octets = [0u8; 4];
            let mut n = 0;
            for part in text.split('.') {
                *octets.get_mut(n)? = part.parse().ok()?;
                n += 1;
            }
            let bits = u128::from(u32::from_be_bytes(octets));
            // What was left out is the host's part.
            let mask = u128::from(u32::MAX.checked_shl(32 - 8 * u32::try_from(n).ok()?).unwrap_or(0));
            let mask = match len {
                Some(len) if len <= 32 => u128::from(u32::MAX.checked_shl(32 - len).unwrap_or(0)),
                Some(_) => return None,
                None => mask,
            };
            return Some(Range { v6: false, bits, mask });
        }
    };
    let len = len.unwrap_or(width);
    if len > width {
        return None;
    }
    let mask = full(v6) & full(v6).checked_shl(width - len).unwrap_or(0);
    Some(Range { v6, bits, mask })
}

fn port(word: &str) -> Option<u16> {
    let named = SERVICES.iter().find(|(name, _)| *name == word).map(|(_, port)| *port);
    named.or_else(|| word.bytes().all(|b| b.is_ascii_digit()).then(|| word.parse().ok())?)
}

fn mac(word: &str) -> Option<Mac> {
    let mut bytes = [0u8; 6];
    let mut n = 0;
    for part in word.split([':', '-']) {
        if part.is_empty() || part.len() > 2 {
            return None;
        }
        *bytes.get_mut(n)? = u8::from_str_radix(part, 16).ok()?;
        n += 1;
    }
    (n == 6).then_some(Mac(bytes))
}
