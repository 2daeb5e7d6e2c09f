//! All features of a window as text, in the layout of Slips' window files.
//!
//! Enters: a feature record. Leaves: lines in a fixed order: addresses, then by role, protocol and state the statistics, the
//! ports and the peers, each with its dictionary. A number that is an estimate says so and how far it may be off; a table that is not
//! complete says how many keys there are about, and what an absent one has at most. The blocks by peer are those that
//! Slips looks for under misspelt names and never prints.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write as _};
use std::net::IpAddr;

use slips_agent::window::{
    Class, ClassView, Distinct, Entry, Features, Histogram, Key, Moments, Role, Selection, Table, Traffic,
    View,
};

use super::line::seconds;

/// Everything in the record.
pub fn write(features: &Features, out: &mut String) {
    addresses(features.view(), &|_| None, out);
    tables(features.view(), out);
}

/// The peers with their number of flows: of the profile as client, then as server. `info` tells what else is known of an
/// address.
pub fn addresses(view: View<'_>, info: &dyn Fn(IpAddr) -> Option<String>, out: &mut String) {
    for (role, title) in [(Role::Client, "DstIP"), (Role::Server, "SrcIP")] {
        let classes: Vec<ClassView<'_>> = view.classes().filter(|c| c.class().role == role).collect();
        if classes.is_empty() {
            continue;
        }
        let mut peers: BTreeMap<Key, Bounds> = BTreeMap::new();
        for class in &classes {
            for entry in class.entries(Table::Peers) {
                peers.entry(entry.key).or_default().add(entry.seen.flows, entry.missed.flows);
            }
        }
        // A peer without an entry in one class may have flows there all the same.
        for class in classes.iter().filter(|c| !c.exact(Table::Peers)) {
            let absent = class.absent(Table::Peers).flows;
            for (key, bounds) in &mut peers {
                if class.entry(Table::Peers, *key).is_none() {
                    bounds.add(0, absent);
                }
            }
        }
        let _ = write!(out, "{title}:");
        let of_role = view.select(|c| c.role == role);
        let complete = classes.iter().all(|c| c.exact(Table::Peers));
        incomplete(complete, peers.len(), of_role.distinct(Table::Peers), None, out);
        for (key, flows) in &peers {
            let known = match key {
                Key::Addr(addr) => info(*addr),
                Key::Port(_) => None,
            };
            let _ = writeln!(out, "\t{key} ({flows} times). Info: {}", known.as_deref().unwrap_or("-"));
        }
    }
}

/// Statistics and tables of every class of flows.
pub fn tables(view: View<'_>, out: &mut String) {
    for role in [Role::Client, Role::Server] {
        let of_role = view.select(|c| c.role == role);
        if of_role.stats().traffic.flows == 0 {
            continue;
        }
        // Writing into a String cannot fail.
        let _ = writeln!(out, "As {role:?}:");
        let _ = statistics(&of_role, out);
        if let Some(failed) = of_role.failed_share() {
            let _ = writeln!(out, "\tNot established: {:.1} % of the flows.", failed * 100.0);
        }
        for class in view.classes().filter(|c| c.class().role == role) {
            let _ = writeln!(out, "As {}:", title(class.class()));
            let _ = statistics(&Selection::from(class), out);
            for table in Table::ALL {
                let _ = entries(&class, table, out);
            }
        }
    }
}

/// `Client, TCP Established`.
fn title(class: Class) -> String {
    let state = if class.established { "Established" } else { "NotEstablished" };
    format!("{:?}, {} {state}", class.role, class.protocol.name())
}

fn statistics(of: &Selection<'_>, out: &mut String) -> fmt::Result {
    let stats = of.stats();
    let t = &stats.traffic;
    write!(
        out,
        "\tTotal Flows: {}. Total Pkts: {} (sent {}, received {}). TotalBytes: {} (sent {}, received {}",
        t.flows,
        t.pkts(),
        t.sent_pkts,
        t.received_pkts,
        t.bytes(),
        t.sent_bytes,
        t.received_bytes
    )?;
    if let Some(share) = of.sent_share() {
        write!(out, ", share sent {share:.3}")?;
    }
    writeln!(out, "). IP bytes: sent {}, received {}.", stats.sent_ip_bytes, stats.received_ip_bytes)?;
    write!(
        out,
        "\tFirst flow {} s, last {} s after the window's start; last end {} s.",
        seconds(stats.first_us),
        seconds(stats.last_us),
        seconds(stats.end_us)
    )?;
    if let Some(gaps) = of.gaps() {
        write!(
            out,
            " Between starts: mean {:.6} s, standard deviation {:.6} s",
            gaps.mean_us / 1e6,
            gaps.deviation_us / 1e6
        )?;
        if gaps.error_us > 0.0 {
            write!(out, " (estimate, off by at most {} s)", gaps.error_us / 1e6)?;
        }
        out.push('.');
    }
    out.push('\n');
    let shape = of.shape();
    moments("Durations", " s", 1e6, &stats.duration_us, &shape.durations, out)?;
    moments("Bytes per flow", "", 1.0, &stats.size_bytes, &shape.sizes, out)?;
    for table in Table::ALL {
        let distinct = of.distinct(table);
        write!(out, "\tDifferent {}: {}", nouns(table), count(distinct))?;
        if let Some(entropy) = of.entropy(table) {
            let estimate = if entropy.exact { "" } else { " (estimate)" };
            write!(out, ", entropy {:.3} bits{estimate}", entropy.bits)?;
        }
        out.push_str(".\n");
    }
    Ok(())
}

/// `Durations: mean …, standard deviation …, least …, most …, half below …, nine tenths below ….`
fn moments<const FIRST: u32>(
    title: &str,
    unit: &str,
    scale: f64,
    of: &Moments,
    histogram: &Histogram<FIRST>,
    out: &mut String,
) -> fmt::Result {
    let (Some(mean), Some(deviation)) = (of.mean(), of.deviation()) else { return Ok(()) };
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let scaled = |value: u64| value as f64 / scale;
    write!(
        out,
        "\t{title}: mean {:.6}{unit}, standard deviation {:.6}{unit}, least {}{unit}, most {}{unit}",
        mean / scale,
        deviation / scale,
        scaled(of.min),
        scaled(of.max)
    )?;
    for (name, permille) in [("median", 500), ("ninth decile", 900)] {
        if let Some((from, to)) = histogram.quantile(permille) {
            let (from, to) = (from.max(of.min), to.min(of.max));
            write!(out, ", {name} {}", scaled(from))?;
            if to > from {
                write!(out, " to {}", scaled(to))?;
            }
            out.push_str(unit);
        }
    }
    out.push_str(". By octave:");
    for (from, _, number) in histogram.buckets() {
        write!(out, " {}{unit}: {number},", scaled(from))?;
    }
    if out.ends_with(',') {
        out.pop();
    }
    out.push_str(".\n");
    Ok(())
}

const fn nouns(table: Table) -> &'static str {
    match table {
        Table::DstPorts => "Dst ports",
        Table::SrcPorts => "Src ports",
        Table::Peers => "peers",
    }
}

/// Heading, then a line for each key and one for its dictionary.
fn entries(class: &ClassView<'_>, table: Table, out: &mut String) -> fmt::Result {
    let role = class.class().role;
    let (heading, word, dictionary) = match (table, role) {
        (Table::DstPorts, Role::Client) => ("Dst ports", "Port", "dstips"),
        (Table::DstPorts, Role::Server) => ("Dst ports", "Port", "srcips"),
        (Table::SrcPorts, Role::Client) => ("Src ports", "Port", "dstips"),
        (Table::SrcPorts, Role::Server) => ("Src ports", "Port", "srcips"),
        (Table::Peers, Role::Client) => ("Dst IPs", "IP", "dstports"),
        (Table::Peers, Role::Server) => ("Src IPs", "IP", "dstports"),
    };
    let entries = class.entries(table);
    write!(out, "As {} {heading}:", title(class.class()))?;
    let distinct = Selection::from(*class).distinct(table);
    incomplete(class.exact(table), entries.len(), distinct, Some(class.absent(table)), out);
    for entry in &entries {
        let of =
            |field: fn(&Traffic) -> u64| Bounds { low: field(&entry.seen), missed: field(&entry.missed) };
        writeln!(
            out,
            "\t{word} {}. Total Flows: {}. Total Pkts: {}. TotalBytes: {}. Sent: {} pkts, {} bytes. Received: {} pkts, {} bytes.",
            entry.key,
            of(|t| t.flows),
            of(Traffic::pkts),
            of(Traffic::bytes),
            of(|t| t.sent_pkts),
            of(|t| t.sent_bytes),
            of(|t| t.received_pkts),
            of(|t| t.received_bytes),
        )?;
        subs(entry, dictionary, out)?;
    }
    Ok(())
}

/// The dictionary of a key: packets by peer or by port.
fn subs(entry: &Entry<'_>, title: &str, out: &mut String) -> fmt::Result {
    write!(out, "\t\t{title}:")?;
    for (at, sub) in entry.subs.entries.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(out, "{comma} {} {} pkts", sub.key, Bounds { low: sub.pkts, missed: sub.missed })?;
    }
    if !entry.subs.exact {
        let since = if entry.is_exact() { "" } else { " since it is counted" };
        write!(out, " (the heaviest of {}{since})", count(entry.subs.distinct()))?;
    }
    out.push('\n');
    Ok(())
}

/// Ends a heading; for a table that is not complete it says what is missing.
fn incomplete(complete: bool, shown: usize, of: Distinct, absent: Option<Traffic>, out: &mut String) {
    if !complete {
        let _ = write!(out, " the {shown} heaviest of {}", count(of));
        if let Some(absent) = absent {
            let _ = write!(
                out,
                "; any other has at most {} flows, {} pkts, {} bytes",
                absent.flows,
                absent.pkts(),
                absent.bytes()
            );
        }
    }
    out.push('\n');
}

/// `17`, or `about 5213 (standard error 4.6 %)`.
fn count(distinct: Distinct) -> String {
    if distinct.error > 0.0 {
        format!("about {} (standard error {:.1} %)", distinct.count, distinct.error * 100.0)
    } else {
        distinct.count.to_string()
    }
}

/// A number that may have been counted too low: `17`, or `17 to 20`.
#[derive(Clone, Copy, Default)]
struct Bounds {
    low: u64,
    missed: u64,
}

impl Bounds {
    const fn add(&mut self, low: u64, missed: u64) {
        self.low = self.low.saturating_add(low);
        self.missed = self.missed.saturating_add(missed);
    }
}

impl Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.missed == 0 {
            write!(f, "{}", self.low)
        } else {
            write!(f, "{} to {}", self.low, self.low.saturating_add(self.missed))
        }
    }
}

#[cfg(test)]
mod tests {
    use slips_agent::record::{
        ConnState, Counters, FiveTuple, FlowKind, FlowRecord, History, Service, Uid, proto,
    };

    use super::*;

    fn flow(
        from: &str,
        to: &str,
        ports: (u16, u16),
        start_s: u64,
        sent: (u64, u64),
        received: (u64, u64),
    ) -> FlowRecord {
        let counters =
            |(pkts, bytes): (u64, u64)| Counters { pkts, ip_bytes: bytes + 40 * pkts, payload_bytes: bytes };
        FlowRecord {
            uid: Uid(start_s),
            kind: FlowKind::Final,
            tuple: FiveTuple {
                orig_addr: from.parse().unwrap(),
                orig_port: ports.0,
                resp_addr: to.parse().unwrap(),
                resp_port: ports.1,
                proto: proto::TCP,
            },
            start_us: 3_600_000_000 + start_s * 1_000_000,
            duration_us: 692_160,
            emitted_us: 0,
            orig: counters(sent),
            resp: counters(received),
            state: ConnState::S1,
            history: History::new(),
            service: Service::SSL,
            missed_bytes: 0,
            orig_mac: None,
            resp_mac: None,
            vlan: None,
            parent: None,
        }
    }

    fn text(features: &Features) -> String {
        let mut out = String::new();
        write(features, &mut out);
        out
    }

    /// The flow of Slips' own documentation (reference §3.8), a second one, and one as server; every line by hand.
    #[test]
    fn three_flows_line_by_line() {
        let mut features = Features::new(3_600_000_000);
        let mut udp = flow("10.0.2.15", "10.0.2.3", (5000, 53), 20, (1, 30), (1, 90));
        udp.tuple.proto = proto::UDP;
        udp.state = ConnState::S0;
        features
            .fold(Role::Client, &flow("10.0.2.15", "54.247.84.124", (49453, 443), 5, (9, 2267), (12, 5906)));
        features.fold(Role::Client, &udp);
        features.fold(Role::Server, &flow("2001:db8::7", "10.0.2.15", (60000, 22), 6, (4, 100), (3, 50)));
        assert_eq!(
            text(&features),
            "DstIP:\n\
             \t10.0.2.3 (1 times). Info: -\n\
             \t54.247.84.124 (1 times). Info: -\n\
             SrcIP:\n\
             \t2001:db8::7 (1 times). Info: -\n\
             As Client:\n\
             \tTotal Flows: 2. Total Pkts: 23 (sent 10, received 13). TotalBytes: 8293 (sent 2297, received 5996, share sent 0.277). IP bytes: sent 2697, received 6516.\n\
             \tFirst flow 5 s, last 20 s after the window's start; last end 20.69216 s. Between starts: mean 15.000000 s, standard deviation 0.000000 s.\n\
             \tDurations: mean 0.692160 s, standard deviation 0.000000 s, least 0.69216 s, most 0.69216 s, median 0.69216 s, ninth decile 0.69216 s. By octave: 0.524288 s: 2.\n\
             \tBytes per flow: mean 4146.500000, standard deviation 4026.500000, least 120, most 8173, median 120 to 127, ninth decile 4096 to 8173. By octave: 64: 1, 4096: 1.\n\
             \tDifferent Dst ports: 2, entropy 1.000 bits.\n\
             \tDifferent Src ports: 2, entropy 1.000 bits.\n\
             \tDifferent peers: 2, entropy 1.000 bits.\n\
             \tNot established: 50.0 % of the flows.\n\
             As Client, TCP Established:\n\
             \tTotal Flows: 1. Total Pkts: 21 (sent 9, received 12). TotalBytes: 8173 (sent 2267, received 5906, share sent 0.277). IP bytes: sent 2627, received 6386.\n\
             \tFirst flow 5 s, last 5 s after the window's start; last end 5.69216 s.\n\
             \tDurations: mean 0.692160 s, standard deviation 0.000000 s, least 0.69216 s, most 0.69216 s, median 0.69216 s, ninth decile 0.69216 s. By octave: 0.524288 s: 1.\n\
             \tBytes per flow: mean 8173.000000, standard deviation 0.000000, least 8173, most 8173, median 8173, ninth decile 8173. By octave: 4096: 1.\n\
             \tDifferent Dst ports: 1, entropy 0.000 bits.\n\
             \tDifferent Src ports: 1, entropy 0.000 bits.\n\
             \tDifferent peers: 1, entropy 0.000 bits.\n\
             As Client, TCP Established Dst ports:\n\
             \tPort 443. Total Flows: 1. Total Pkts: 21. TotalBytes: 8173. Sent: 9 pkts, 2267 bytes. Received: 12 pkts, 5906 bytes.\n\
             \t\tdstips: 54.247.84.124 21 pkts\n\
             As Client, TCP Established Src ports:\n\
             \tPort 49453. Total Flows: 1. Total Pkts: 21. TotalBytes: 8173. Sent: 9 pkts, 2267 bytes. Received: 12 pkts, 5906 bytes.\n\
             \t\tdstips: 54.247.84.124 21 pkts\n\
             As Client, TCP Established Dst IPs:\n\
             \tIP 54.247.84.124. Total Flows: 1. Total Pkts: 21. TotalBytes: 8173. Sent: 9 pkts, 2267 bytes. Received: 12 pkts, 5906 bytes.\n\
             \t\tdstports: 443 21 pkts\n\
             As Client, UDP NotEstablished:\n\
             \tTotal Flows: 1. Total Pkts: 2 (sent 1, received 1). TotalBytes: 120 (sent 30, received 90, share sent 0.250). IP bytes: sent 70, received 130.\n\
             \tFirst flow 20 s, last 20 s after the window's start; last end 20.69216 s.\n\
             \tDurations: mean 0.692160 s, standard deviation 0.000000 s, least 0.69216 s, most 0.69216 s, median 0.69216 s, ninth decile 0.69216 s. By octave: 0.524288 s: 1.\n\
             \tBytes per flow: mean 120.000000, standard deviation 0.000000, least 120, most 120, median 120, ninth decile 120. By octave: 64: 1.\n\
             \tDifferent Dst ports: 1, entropy 0.000 bits.\n\
             \tDifferent Src ports: 1, entropy 0.000 bits.\n\
             \tDifferent peers: 1, entropy 0.000 bits.\n\
             As Client, UDP NotEstablished Dst ports:\n\
             \tPort 53. Total Flows: 1. Total Pkts: 2. TotalBytes: 120. Sent: 1 pkts, 30 bytes. Received: 1 pkts, 90 bytes.\n\
             \t\tdstips: 10.0.2.3 2 pkts\n\
             As Client, UDP NotEstablished Src ports:\n\
             \tPort 5000. Total Flows: 1. Total Pkts: 2. TotalBytes: 120. Sent: 1 pkts, 30 bytes. Received: 1 pkts, 90 bytes.\n\
             \t\tdstips: 10.0.2.3 2 pkts\n\
             As Client, UDP NotEstablished Dst IPs:\n\
             \tIP 10.0.2.3. Total Flows: 1. Total Pkts: 2. TotalBytes: 120. Sent: 1 pkts, 30 bytes. Received: 1 pkts, 90 bytes.\n\
             \t\tdstports: 53 2 pkts\n\
             As Server:\n\
             \tTotal Flows: 1. Total Pkts: 7 (sent 3, received 4). TotalBytes: 150 (sent 50, received 100, share sent 0.333). IP bytes: sent 170, received 260.\n\
             \tFirst flow 6 s, last 6 s after the window's start; last end 6.69216 s.\n\
             \tDurations: mean 0.692160 s, standard deviation 0.000000 s, least 0.69216 s, most 0.69216 s, median 0.69216 s, ninth decile 0.69216 s. By octave: 0.524288 s: 1.\n\
             \tBytes per flow: mean 150.000000, standard deviation 0.000000, least 150, most 150, median 150, ninth decile 150. By octave: 128: 1.\n\
             \tDifferent Dst ports: 1, entropy 0.000 bits.\n\
             \tDifferent Src ports: 1, entropy 0.000 bits.\n\
             \tDifferent peers: 1, entropy 0.000 bits.\n\
             \tNot established: 0.0 % of the flows.\n\
             As Server, TCP Established:\n\
             \tTotal Flows: 1. Total Pkts: 7 (sent 3, received 4). TotalBytes: 150 (sent 50, received 100, share sent 0.333). IP bytes: sent 170, received 260.\n\
             \tFirst flow 6 s, last 6 s after the window's start; last end 6.69216 s.\n\
             \tDurations: mean 0.692160 s, standard deviation 0.000000 s, least 0.69216 s, most 0.69216 s, median 0.69216 s, ninth decile 0.69216 s. By octave: 0.524288 s: 1.\n\
             \tBytes per flow: mean 150.000000, standard deviation 0.000000, least 150, most 150, median 150, ninth decile 150. By octave: 128: 1.\n\
             \tDifferent Dst ports: 1, entropy 0.000 bits.\n\
             \tDifferent Src ports: 1, entropy 0.000 bits.\n\
             \tDifferent peers: 1, entropy 0.000 bits.\n\
             As Server, TCP Established Dst ports:\n\
             \tPort 22. Total Flows: 1. Total Pkts: 7. TotalBytes: 150. Sent: 3 pkts, 50 bytes. Received: 4 pkts, 100 bytes.\n\
             \t\tsrcips: 2001:db8::7 7 pkts\n\
             As Server, TCP Established Src ports:\n\
             \tPort 60000. Total Flows: 1. Total Pkts: 7. TotalBytes: 150. Sent: 3 pkts, 50 bytes. Received: 4 pkts, 100 bytes.\n\
             \t\tsrcips: 2001:db8::7 7 pkts\n\
             As Server, TCP Established Src IPs:\n\
             \tIP 2001:db8::7. Total Flows: 1. Total Pkts: 7. TotalBytes: 150. Sent: 3 pkts, 50 bytes. Received: 4 pkts, 100 bytes.\n\
             \t\tdstports: 22 7 pkts\n"
        );
    }

    #[test]
    fn an_empty_record_is_an_empty_text() {
        assert_eq!(text(&Features::new(0)), "");
    }

    #[test]
    fn estimates_say_so() {
        let mut features = Features::new(3_600_000_000);
        for n in 0..400_u16 {
            let peer = format!("198.18.{}.{}", n / 256, n % 256);
            let mut scan = flow("10.0.0.9", &peer, (40_000, 23), u64::from(n), (1, 0), (0, 0));
            scan.state = ConnState::S0;
            features.fold(Role::Client, &scan);
        }
        let text = text(&features);
        let line = |start: &str| text.lines().find(|l| l.starts_with(start)).unwrap_or_default();
        assert!(
            line("DstIP: the 32 heaviest of about ").ends_with("(standard error 4.6 %)"),
            "{}",
            line("DstIP")
        );
        // The one port is exact, its peers are not.
        assert!(
            line("\tPort 23. Total Flows: 400. Total Pkts: 400. ").ends_with("Received: 0 pkts, 0 bytes.")
        );
        assert!(text.contains(" (the heaviest of about "));
        assert!(
            line("As Client, TCP NotEstablished Dst IPs: the 32 heaviest of about ")
                .contains("any other has at most ")
        );
        assert!(line("\tDifferent peers: about ").ends_with("(estimate)."));
        assert!(text.contains(" (estimate, off by at most "));
        assert!(line("\tDifferent Dst ports: ").ends_with("1, entropy 0.000 bits."));
    }
}
