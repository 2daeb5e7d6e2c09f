//! A pair of network namespaces joined by a virtual cable, for tests with real traffic. They go when the value goes, also
//! when the test fails.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Two namespaces: `left` with 10.77.0.1, `right` with 10.77.0.2, each on an interface called `cable`.
pub struct Pair {
    /// Name of the first namespace.
    pub left: String,
    /// Name of the second one.
    pub right: String,
}

/// Address in the first namespace.
pub const LEFT: &str = "10.77.0.1";
/// Address in the second one.
pub const RIGHT: &str = "10.77.0.2";

/// Whether namespaces can be made here: that takes root. Says so if not.
pub fn possible() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("SKIPPED: network namespaces need root");
    }
    root
}

/// Runs a command and fails with its words.
pub fn run(words: &str) -> Output {
    let mut parts = words.split_whitespace();
    let out =
        Command::new(parts.next().unwrap()).args(parts).output().unwrap_or_else(|e| panic!("{words}: {e}"));
    assert!(out.status.success(), "{words}: {}", String::from_utf8_lossy(&out.stderr));
    out
}

impl Pair {
    /// Makes the namespaces, the cable and the addresses. IPv6 is off, so that only what the test sends is on the cable.
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let tag = format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let pair = Self { left: format!("slips-l{tag}"), right: format!("slips-r{tag}") };
        for name in [&pair.left, &pair.right] {
            run(&format!("ip netns add {name}"));
            run(&format!(
                "ip netns exec {name} sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1"
            ));
            run(&format!("ip -n {name} link set lo up"));
        }
        pair.connect();
        pair
    }

    /// Lays the cable, with the addresses at its ends.
    pub fn connect(&self) {
        run(&format!("ip -n {} link add cable type veth peer name cable netns {}", self.left, self.right));
        for (name, address) in [(&self.left, LEFT), (&self.right, RIGHT)] {
            run(&format!("ip -n {name} addr add {address}/24 dev cable"));
            run(&format!("ip -n {name} link set cable up"));
        }
    }

    /// Runs `work` on a thread of its own inside the namespace called `name`.
    pub fn inside<T: Send + 'static>(
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::thread::JoinHandle<T> {
        let file = File::open(format!("/run/netns/{name}")).unwrap();
        std::thread::spawn(move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        })
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for name in [&self.left, &self.right] {
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}
