//! The list in the kernel: a table of nftables of our own, replaced as a whole in one transaction.
//!
//! Enters: the addresses that are to be dropped. Leaves: rules. Nothing of anybody else's table is read or changed.
//!
//! **Where the rules are.** Base chains on `forward` (devices behind this machine), `input` and `output` (this machine itself), at
//! priority −10: before the filters of the distribution (0), so that their counters and logs do not show what is dropped here, and
//! after connection tracking and address translation of the destination (−200, −100), so that a device behind this router has
//! its own address in both directions. A drop is final whatever other tables accept. There is no exception for established
//! connections: they end too. By hardware address only what a device sends can be dropped; what is sent to it falls under its
//! address.
//!
//! What this cannot see: traffic that never passes this machine's IP layer (two devices on one switch), and connections that the
//! router has handed to flow offloading; those end when their entry does.
//!
//! Called through the tool `nft` (0.9 or later) by standard input, never through a shell.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use super::Entry;

/// What holds the addresses.
pub trait Firewall {
    /// Makes the kernel drop exactly these; none takes everything away.
    ///
    /// # Errors
    /// Why not, as a sentence. Nothing has changed then.
    fn apply(&mut self, entries: &[Entry]) -> Result<(), String>;

    /// Addresses that the kernel drops now.
    ///
    /// # Errors
    /// It cannot be asked.
    fn present(&mut self) -> Result<BTreeSet<IpAddr>, String>;
}

impl Firewall for Box<dyn Firewall + Send> {
    fn apply(&mut self, entries: &[Entry]) -> Result<(), String> {
        (**self).apply(entries)
    }

    fn present(&mut self) -> Result<BTreeSet<IpAddr>, String> {
        (**self).present()
    }
}

/// For a dry run: nothing is dropped.
#[derive(Clone, Copy, Debug)]
pub struct NoFirewall;

impl Firewall for NoFirewall {
    fn apply(&mut self, _: &[Entry]) -> Result<(), String> {
        Ok(())
    }

    fn present(&mut self) -> Result<BTreeSet<IpAddr>, String> {
        Ok(BTreeSet::new())
    }
}

/// The tool.
#[derive(Clone, Debug)]
pub struct Nft {
    table: &'static str,
}

impl Nft {
    /// Of the sensor.
    pub const AGENT: &'static str = "slips_agent";
    /// Of the collector that blocks on its own machine.
    pub const COLLECTOR: &'static str = "slips";

    /// With a table of this name, which nobody else has.
    ///
    /// # Errors
    /// The tool is missing or may not be used: one sentence.
    pub fn new(table: &'static str) -> Result<Self, String> {
        let nft = Self { table };
        // Asks the kernel, so that a missing right is said now and not with the first block.
        nft.run(&["list", "tables"], None)?;
        // Takes nothing away and needs the right to change.
        nft.run(&["-c", "-f", "-"], Some(&nft.script(&[])))?;
        Ok(nft)
    }

    fn run(&self, args: &[&str], input: Option<&str>) -> Result<String, String> {
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let mut child = Command::new("nft")
            .env("PATH", path)
            .args(args)
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| match e.kind() {
                std::io::ErrorKind::NotFound => {
                    "blocking needs the tool nft, which is not installed".to_owned()
                }
                _ => format!("the tool nft cannot be started: {e}"),
            })?;
        if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
            // A tool that has ended early says why on its standard error.
            let _ = pipe.write_all(input.as_bytes());
        }
        let out = child.wait_with_output().map_err(|e| format!("the tool nft: {e}"))?;
        if out.status.success() {
            return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
        }
        let error = String::from_utf8_lossy(&out.stderr);
        if error.contains("Operation not permitted") || error.contains("must be root") {
            return Err("blocking needs the right to change the packet filter (CAP_NET_ADMIN)".to_owned());
        }
        Err(format!("the packet filter refuses: {}", error.lines().next().unwrap_or("no reason given")))
    }

    /// The whole table. Adding it first makes that it can be deleted whether it was there or not.
    fn script(&self, entries: &[Entry]) -> String {
        let table = self.table;
        let mut out = format!("add table inet {table}\ndelete table inet {table}\n");
        if entries.is_empty() {
            return out;
        }
        let mut list = |name: &str, kind: &str, elements: Vec<String>| {
            let _ = write!(
                out,
                "add table inet {table}\nadd set inet {table} {name} {{ type {kind}; flags timeout; "
            );
            if !elements.is_empty() {
                let _ = write!(out, "elements = {{ {} }}; ", elements.join(", "));
            }
            out.push_str("}\n");
        };
        let of = |v4: bool| {
            let some = entries.iter().filter(|entry| entry.addr.is_ipv4() == v4);
            some.map(|e| format!("{} timeout {}s", e.addr, e.timeout_s)).collect()
        };
        list("v4", "ipv4_addr", of(true));
        list("v6", "ipv6_addr", of(false));
        // Two addresses of one device are one element.
        let mut macs: std::collections::BTreeMap<[u8; 6], u32> = std::collections::BTreeMap::new();
        for (mac, timeout_s) in entries.iter().filter_map(|e| e.mac.map(|mac| (mac, e.timeout_s))) {
            let longest = macs.entry(mac.0).or_default();
            *longest = timeout_s.max(*longest);
        }
        let mac = |[a, b, c, d, e, f]: [u8; 6]| format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
        list(
            "macs",
            "ether_addr",
            macs.into_iter().map(|(m, timeout_s)| format!("{} timeout {timeout_s}s", mac(m))).collect(),
        );
        for hook in ["forward", "input", "output"] {
            let _ = writeln!(
                out,
                "add chain inet {table} {hook} {{ type filter hook {hook} priority -10; policy accept; }}"
            );
            for rule in ["ip saddr @v4", "ip daddr @v4", "ip6 saddr @v6", "ip6 daddr @v6"] {
                let _ = writeln!(out, "add rule inet {table} {hook} {rule} counter drop");
            }
            if hook != "output" {
                let _ = writeln!(out, "add rule inet {table} {hook} ether saddr @macs counter drop");
            }
        }
        out
    }
}

impl Firewall for Nft {
    fn apply(&mut self, entries: &[Entry]) -> Result<(), String> {
        self.run(&["-f", "-"], Some(&self.script(entries))).map(|_| ())
    }

    fn present(&mut self) -> Result<BTreeSet<IpAddr>, String> {
        match self.run(&["-j", "list", "table", "inet", self.table], None) {
            Ok(json) => Ok(addresses(&json)),
            // There is no such table.
            Err(text) if text.contains("No such file") => Ok(BTreeSet::new()),
            Err(text) => Err(text),
        }
    }
}

/// The elements of the sets `v4` and `v6`, but only while rules drop them: without its chains a set does nothing.
fn addresses(json: &str) -> BTreeSet<IpAddr> {
    let mut found = BTreeSet::new();
    let Ok(value) = serde_json::from_str::<serde_json::Value>(json) else { return found };
    let items = value.get("nftables").and_then(|v| v.as_array()).map(Vec::as_slice).unwrap_or_default();
    let rules = items.iter().filter(|item| item.get("rule").is_some()).count();
    if rules < RULES {
        return found;
    }
    for set in items.iter().filter_map(|item| item.get("set")) {
        for element in set.get("elem").and_then(|v| v.as_array()).into_iter().flatten() {
            let value = element.get("elem").and_then(|e| e.get("val")).unwrap_or(element);
            found.extend(value.as_str().and_then(|text| text.parse::<IpAddr>().ok()));
        }
    }
    found
}

/// Rules of the whole table.
const RULES: usize = 14;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Mac;

    #[test]
    fn the_script_is_one_transaction_that_replaces_the_table() {
        let nft = Nft { table: Nft::AGENT };
        assert_eq!(nft.script(&[]), "add table inet slips_agent\ndelete table inet slips_agent\n");
        let mac = Some(Mac([2, 0, 0, 0, 0, 0xab]));
        let script = nft.script(&[
            Entry { addr: "192.0.2.1".parse().unwrap(), mac, timeout_s: 60 },
            Entry { addr: "2001:db8::1".parse().unwrap(), mac, timeout_s: 90 },
        ]);
        for line in [
            "add set inet slips_agent v4 { type ipv4_addr; flags timeout; elements = { 192.0.2.1 timeout 60s }; }",
            "add set inet slips_agent v6 { type ipv6_addr; flags timeout; elements = { 2001:db8::1 timeout 90s }; }",
            "add set inet slips_agent macs { type ether_addr; flags timeout; elements = { 02:00:00:00:00:ab timeout 90s }; }",
            "add chain inet slips_agent forward { type filter hook forward priority -10; policy accept; }",
            "add rule inet slips_agent input ip daddr @v4 counter drop",
        ] {
            assert!(script.lines().any(|l| l == line), "{line}\n{script}");
        }
        assert_eq!(script.matches("add rule").count(), RULES);
    }

    #[test]
    fn what_the_tool_lists_is_read() {
        let rule = r#"{"rule": {"family": "inet"}}"#;
        let rules = vec![rule; RULES].join(",");
        let list = |rules: &str| {
            format!(
                r#"{{"nftables": [{{"metainfo": {{}}}}, {{"set": {{"name": "v4", "elem": [
                    {{"elem": {{"val": "192.0.2.1", "timeout": 60, "expires": 59}}}}, "192.0.2.2"]}}}},
                    {{"set": {{"name": "macs", "elem": ["02:00:00:00:00:ab"]}}}}, {rules}]}}"#
            )
        };
        let found: Vec<String> = addresses(&list(&rules)).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1", "192.0.2.2"]);
        assert!(addresses(&list(rule)).is_empty(), "somebody has removed rules");
        assert!(addresses("no json").is_empty());
    }
}
