//! Names in DNS, hosts and agents in HTTP, and host names in DHCP, compared with tshark's counts (`facts.jsonl`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use slips_agent::app::record::App as Body;

use super::{records, settle};
use crate::support::public_data;

/// Where the counts differ, and why.
const KNOWN: &[(&str, &str)] = &[
    ("arkime/dns-update.pcap dns xxxxxxxxx.com", "a dynamic update (operation 5) is no transaction of names"),
    ("zeek/dns__dynamic-update.pcap/dynamic-update.pcap dns StratoLab.org", "the same"),
    (
        "ndpi/dnscrypt-v1-and-resolver-pings.pcap dns ",
        "not DNS but DNSCrypt's imitation of it, on port 443, filled up with a record that no DNS has",
    ),
    (
        "arkime/socks5-reverse.pcap ",
        "a protocol of malware's own in front, and the requests run from responder to originator",
    ),
    (
        "zeek/http__261__variant-09-te_obs_fold.pcap/variant-09-te_obs_fold.pcap host target",
        "the folded Transfer-Encoding that tshark does not see; Zeek's test wants the smuggled request found",
    ),
];

/// SSDP looks like HTTP to tshark; here it is a service without records.
fn is_ssdp(host: &str) -> bool {
    host.starts_with("239.255.255.250") || host.to_ascii_lowercase().starts_with("[ff0")
}

#[test]
fn names_hosts_and_agents_are_those_of_tshark() {
    let Some(data) = public_data() else { return };
    let facts = std::fs::read_to_string(data.join("facts.jsonl")).unwrap();
    let (mut compared, mut different) = (0, Vec::new());
    for line in facts.lines() {
        let facts: Value = serde_json::from_str(line).unwrap();
        let file = facts["file"].as_str().unwrap();
        let rows = |field: &str| -> Vec<(String, i64)> {
            let list = facts[field].as_array().cloned().unwrap_or_default();
            list.iter().map(|r| (r[0].as_str().unwrap().to_owned(), r[1].as_i64().unwrap())).collect()
        };
        let (hosts, agents, dhcp) = (rows("http_hosts"), rows("user_agents"), rows("dhcp_names"));
        let names = rows("dns_query_packets_top");
        if !data.join(file).is_file() || (hosts.len() + agents.len() + dhcp.len() + names.len()) == 0 {
            continue;
        }
        let mut mine: BTreeMap<(&str, String), i64> = BTreeMap::new();
        let mut asked = BTreeSet::new();
        for record in records(&data.join(file), false).0 {
            match record.body {
                Body::Http(h) => {
                    *mine.entry(("host", h.host.into())).or_default() += 1;
                    // tshark's lists were cut at 120 characters.
                    *mine.entry(("agent", h.user_agent.chars().take(120).collect())).or_default() += 1;
                }
                Body::Dhcp(d) => *mine.entry(("dhcp", d.host_name.into())).or_default() += 1,
                Body::Dns(d) => _ = asked.insert(d.query.to_ascii_lowercase()),
                _ => {}
            }
        }
        let mut check = |what: &str, name: &str, tshark: i64, here: i64| {
            compared += 1;
            if tshark != here {
                different.push(format!("{file} {what} {name}: tshark {tshark}, here {here}"));
            }
        };
        let ssdp = hosts.iter().any(|(h, _)| is_ssdp(h));
        let mut hosts_without_ports: BTreeMap<String, i64> = BTreeMap::new();
        for (host, n) in hosts.iter().filter(|(h, _)| !is_ssdp(h)) {
            let bare = match host.rsplit_once(':') {
                Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
                _ => host,
            };
            *hosts_without_ports.entry(bare.to_owned()).or_default() += n;
        }
        for (host, n) in hosts_without_ports {
            check("host", &host, n, mine.get(&("host", host.clone())).copied().unwrap_or(0));
        }
        for (agent, n) in agents {
            let cut: String = agent.chars().take(120).collect();
            let here = mine.get(&("agent", cut)).copied().unwrap_or(0);
            // Agents of SSDP searches cannot be told from others in the list.
            if !ssdp || here > 0 {
                check("agent", &agent, n, here);
            }
        }
        for (name, n) in dhcp {
            check("dhcp", &name, n, mine.get(&("dhcp", name.clone())).copied().unwrap_or(0));
        }
        for (name, _) in names {
            check("dns", &name, 1, i64::from(asked.contains(&name.to_ascii_lowercase())));
        }
    }
    println!("{compared} compared, {} different", different.len());
    settle(different, KNOWN, compared, 340);
}
