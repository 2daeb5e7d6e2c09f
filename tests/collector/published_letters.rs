//! Behavioural letters beside the strings that were published with the data sets of Slips 0.7.1.
//!
//! Of the 8,413 strings of the four files 3,256 name their tuple. All tuples were looked for in all flow files of the public data (71
//! files, 46,485 flows): the flows of two are there, both of host 147.32.83.53 in `2013-10-21_capture-1.binetflow`. Two more tuples
//! occur elsewhere by their addresses only (10.0.2.15 and 10.0.2.106, as every virtual machine has), with other traffic.

use std::net::IpAddr;

use slips::profile::letters::Letters;
use slips::profile::{Window, tuple};
use slips_agent::window::Role;

use crate::features::flows;
use crate::support;

/// `peer, number of flows`; the strings are those of `letters/all_datasets_raw_v3`.
const KNOWN: [(&str, usize); 2] = [("147.32.80.105", 854), ("147.32.80.9", 6)];
const HOST: &str = "147.32.83.53";

#[test]
fn equal_where_the_flows_of_a_published_string_are_known() {
    let Some(data) = support::public_data() else { return };
    let data = data.join("slips-0.7.1");
    let strings = std::fs::read_to_string(data.join("letters/all_datasets_raw_v3")).unwrap();
    let flows = flows(&data.join("Normal/2013-10-21_capture-1.binetflow"));
    for (peer, count) in KNOWN {
        let key = format!("{HOST}-{peer}-53-udp");
        let line = strings.lines().find(|line| line.contains(&key)).unwrap();
        let published = line.rsplit('|').next().unwrap().trim();
        let mut window = Window::new(0, 0, u64::MAX);
        let peer: IpAddr = peer.parse().unwrap();
        let mine = |flow: &&slips_agent::record::FlowRecord| {
            flow.tuple.orig_addr.to_string() == HOST
                && flow.tuple.resp_addr == peer
                && flow.tuple.resp_port == 53
        };
        let flows: Vec<_> = flows.iter().filter(mine).collect();
        assert_eq!(flows.len(), count);
        // Grown flow by flow, each step is the beginning of the published string; of a long one the end is kept.
        for flow in &flows {
            let letters = window.fold(Role::Client, flow).unwrap();
            let beginning = published.get(..letters.len()).unwrap();
            assert!(beginning.ends_with(letters.text()), "{key}: {}", letters.text());
            assert!(letters.text().len() == letters.len().min(letters.text().len()));
        }
        let letters = window.tuples.get(tuple(Role::Client, flows[0])).unwrap();
        assert_eq!(letters.len(), published.len(), "{key}");
        assert!(letters.text().len() >= published.len().min(Letters::KEPT / 2), "{key}");
        println!("{key}: {} characters equal", letters.len());
    }
}
