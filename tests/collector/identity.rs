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
