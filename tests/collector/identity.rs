//! Who is who, through the program: maker, host name, roles, names with who asked for them, in the files of a run.

use std::collections::BTreeMap;
use std::fs;

use crate::program::{Scratch, lines, slips, text};
use crate::support::own_data;

/// The profile files of a run over one of our own captures: address → lines.
fn profiles(scratch: &Scratch, capture: &str, direction: &str) -> BTreeMap<String, Vec<String>> {
    let input = own_data().join(capture).display().to_string();
    scratch.file("slips.conf", format!("[parameters]\nanalysis_direction = {direction}\n").as_bytes());
    let ended = slips(&scratch.0, &["-v", "0", "-r", &input, "-o", "out"]);
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    let folders = fs::read_dir(scratch.0.join("out")).unwrap().flatten().filter(|e| e.path().is_dir());
    folders
        .map(|folder| {
            let about = fs::read_to_string(folder.path().join("profile")).unwrap();
            (folder.file_name().into_string().unwrap(), about.lines().map(str::to_owned).collect())
        })
        .collect()
}

#[test]
fn host_name_and_gateway_by_dhcp() {
    let scratch = Scratch::new("identity-dhcp");
    let all = profiles(&scratch, "dhcp.pcap", "out");
    assert!(all["192.168.50.109"].contains(&"Host name: livingroom-tv".to_owned()), "{all:?}");
    assert!(all["192.168.50.1"].contains(&"Role: gateway to the internet".to_owned()), "{all:?}");
}

#[test]
fn names_agents_services_and_the_other_address() {
    let scratch = Scratch::new("identity-web");
    let all = profiles(&scratch, "web.pcap", "all");
    let has = |addr: &str, line: &str| {
        assert!(all[addr].iter().any(|l| l == line), "{addr}: {line}: {:#?}", all[addr]);
    };
    has("192.168.50.10", "MAC address: 02:50:00:00:00:10");
    has("192.168.50.10", "Vendor: none, the device made its address up");
    has("192.168.50.10", "Also: fd50::10");
    has("192.168.50.10", "User agent: curl/7.88.1");
    has("10.50.0.2", "Names: shop.home.test (sni, asked by 192.168.50.10)");
    has("10.50.0.2", "Services: 443/tcp");
    has("fd50::1", "Names: www6.home.test (http, asked by 192.168.50.10, fd50::10)");
    let names = lines(&scratch.0.join("out/names.jsonl"));
    let of_shop: Vec<(&str, &str)> = names
        .iter()
        .filter(|n| n["address"] == "10.50.0.2")
        .map(|n| (n["how"].as_str().unwrap(), n["asked_by"].as_str().unwrap()))
        .collect();
    assert_eq!(of_shop, [("dns", "192.168.50.10"), ("sni", "192.168.50.10")]);
}

/// One readable line for each kind of traffic, of our own captures.
#[test]
fn timelines_tell_each_kind_of_traffic() {
    for (capture, addr, parts) in [
        (
            "web.pcap",
            "192.168.50.10",
            &[
                "DNS to 192.168.50.1 [internal] 53/udp established",
                "asked for www.home.test, answer 10.50.0.1",
                "HTTP to 10.50.0.1 (www.home.test) [internal] 80/tcp established",
                "GET http://www.home.test/",
                "TLS 1.2 with shop.home.test, certificate O=Shop,CN=shop.home.test (self-signed)",
                "TLS 1.3 with new.home.test",
                "missing.home.test, no such name (NXDOMAIN)",
            ][..],
        ),
        ("ssh.pcap", "192.168.50.10", &["SSH to ", "22/tcp established", "log-in "]),
        ("dhcp.pcap", "0.0.0.0", &["DHCP to 255.255.255.255 [broadcast] 67/udp", "named livingroom-tv"]),
        ("sweep-icmp.pcap", "192.168.50.10", &["ping to 10.50.0.2 [internal] icmp"]),
        ("arp-scan.pcap", "192.168.50.10", &["ARP: asks who has 192.168.50."]),
        (
            "scan-horizontal.pcap",
            "192.168.50.10",
            &["TELNET to 10.5", "23/tcp not established (S0), unanswered"],
        ),
    ] {
        let scratch = Scratch::new(&format!("timeline-{capture}"));
        profiles(&scratch, capture, "out");
        let timeline = fs::read_to_string(scratch.0.join("out").join(addr).join("timeline")).unwrap();
        for part in parts {
            assert!(timeline.contains(part), "{capture}: {part}\n{timeline}");
        }
        // Date and time first, then words.
        let shape = |line: &str| -> String {
            line.chars().take(27).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
        };
        assert!(timeline.lines().all(|line| shape(line) == "0000-00-00T00:00:00.000000Z"), "{timeline}");
    }
}
