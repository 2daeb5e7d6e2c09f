//! Blocking with the real packet filter: two devices behind a router and a server on its other side, all in network namespaces.

use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use slips_agent::enforce::carrier::{Carrier, Options};
use slips_agent::enforce::never::Never;
use slips_agent::enforce::nft::{Firewall as _, Nft};
use slips_agent::enforce::{Entry, Limits};
use slips_agent::record::Mac;

use crate::support::netns::{Pair, possible, run};

/// `a` (10.81.1.2) and `b` (10.81.1.3) on a bridge of the router `r`, server `s` (10.81.2.2) behind it; IPv6 likewise.
struct House {
    tag: String,
}

impl House {
    fn new(name: &str) -> Self {
        let house = Self { tag: format!("slips-{name}{}-", std::process::id()) };
        for one in ["a", "b", "r", "s"] {
            run(&format!("ip netns add {}{one}", house.tag));
            house.ip(one, "link set lo up");
        }
        house.ip("r", "link add br0 type bridge");
        house.ip("r", "link set br0 up");
        for (one, mac) in [("a", "02:00:00:00:81:0a"), ("b", "02:00:00:00:81:0b"), ("s", "02:00:00:00:81:0c")]
        {
            let peer =
                format!("link add to-{one} type veth peer name eth0 address {mac} netns {}{one}", house.tag);
            house.ip("r", &peer);
            house.ip("r", &format!("link set to-{one} up"));
            house.ip(one, "link set eth0 up");
        }
        for one in ["a", "b"] {
            house.ip("r", &format!("link set to-{one} master br0"));
        }
        for (one, device, net, host) in [
            ("r", "br0", 1, 1),
            ("r", "to-s", 2, 1),
            ("a", "eth0", 1, 2),
            ("b", "eth0", 1, 3),
            ("s", "eth0", 2, 2),
        ] {
            house.ip(one, &format!("addr add 10.81.{net}.{host}/24 dev {device}"));
            house.ip(one, &format!("addr add fd81:{net}::{host}/64 dev {device} nodad"));
        }
        for (one, net) in [("a", 1), ("b", 1), ("s", 2)] {
            house.ip(one, &format!("route add default via 10.81.{net}.1"));
            house.ip(one, &format!("-6 route add default via fd81:{net}::1"));
        }
        run(&format!(
            "ip netns exec {}r sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
            house.tag
        ));
        house
    }

    fn ip(&self, one: &str, words: &str) {
        run(&format!("ip -n {}{one} {words}", self.tag));
    }

    /// Whether an answer comes back.
    fn reaches(&self, one: &str, whom: &str) -> bool {
        let from = format!("{}{one}", self.tag);
        let mut ping = Command::new("ip");
        ping.args(["netns", "exec", &from, "ping", "-q", "-c", "1", "-W", "1", whom]);
        ping.output().unwrap().status.success()
    }

    /// Does something on the router.
    fn router<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        Pair::inside(&format!("{}r", self.tag), work).join().unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        for one in ["a", "b", "r", "s"] {
            let _ = Command::new("ip").args(["netns", "del", &format!("{}{one}", self.tag)]).output();
        }
    }
}

/// What the carrier has said unasked.
type Said = Arc<Mutex<Vec<String>>>;

fn start(house: &House, silence_s: u64, keep: Option<PathBuf>) -> (Arc<Carrier>, Said) {
    let said = Said::default();
    let hears = Arc::clone(&said);
    let carrier = house.router(move || {
        let nft = Nft::new(Nft::AGENT).unwrap();
        let options = Options {
            limits: Limits { silence_us: silence_s * 1_000_000, ..Limits::default() },
            never: Never::default(),
            dry_run: false,
            keep,
            local: false,
        };
        Carrier::start(nft, options, move |text| hears.lock().unwrap().push(text.to_owned())).unwrap()
    });
    (Arc::new(carrier), said)
}

fn block(carrier: &Carrier, addr: &str, seconds: u32) -> Result<String, String> {
    let (send, receive) = channel();
    carrier.block(
        addr.parse().unwrap(),
        seconds,
        "a test",
        Box::new(move |answer| send.send(answer).unwrap()),
    );
    receive.recv().unwrap()
}

fn unblock(carrier: &Carrier, addr: &str) -> Result<String, String> {
    let (send, receive) = channel();
    carrier.unblock(addr.parse().unwrap(), Box::new(move |answer| send.send(answer).unwrap()));
    receive.recv().unwrap()
}

fn within(seconds: u64, what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(seconds), "after {seconds} s still not: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_blocked_device_is_cut_off_both_ways_and_nobody_else_is() {
    if !possible() {
        return;
    }
    let house = House::new("e1");
    within(10, "the server is reached", || {
        house.reaches("a", "10.81.2.2") && house.reaches("a", "fd81:2::2")
    });
    assert!(house.reaches("b", "10.81.2.2"));
    let (carrier, _) = start(&house, 3600, None);
    assert_eq!(block(&carrier, "10.81.1.2", 600).unwrap(), "10.81.1.2 is blocked for 600 s: a test");
    for whom in ["10.81.2.2", "10.81.1.1"] {
        assert!(!house.reaches("a", whom), "the blocked device still reaches {whom}");
    }
    assert!(!house.reaches("s", "10.81.1.2"), "nor is it reached");
    assert!(!house.reaches("a", "fd81:2::2"), "its other address is of the same device");
    house.ip("a", "addr del 10.81.1.2/24 dev eth0");
    house.ip("a", "addr add 10.81.1.77/24 dev eth0");
    house.ip("a", "route replace default via 10.81.1.1");
    assert!(!house.reaches("a", "10.81.2.2"), "nor does a new address help");
    assert!(
        house.reaches("b", "10.81.2.2") && house.reaches("b", "fd81:2::2") && house.reaches("s", "10.81.1.1")
    );
    assert_eq!(unblock(&carrier, "10.81.1.2").unwrap(), "10.81.1.2 is released as ordered");
    assert!(house.reaches("a", "10.81.2.2") && house.reaches("a", "fd81:2::2"));
    // An address of the internet, by IPv6: nobody inside reaches it, and everything else.
    block(&carrier, "fd81:2::2", 600).unwrap();
    assert!(!house.reaches("b", "fd81:2::2") && !house.reaches("s", "fd81:1::3"));
    assert!(house.reaches("b", "10.81.2.2"));
    carrier.end();
    assert!(house.reaches("b", "fd81:2::2"), "what ends takes its rules along");
}

#[test]
fn what_the_router_needs_is_refused_with_a_reason() {
    if !possible() {
        return;
    }
    let house = House::new("e2");
    let (carrier, _) = start(&house, 3600, None);
    house.ip("r", "route add default via 10.81.2.2");
    for (addr, why) in [
        ("10.81.1.1", "is this machine itself"),
        ("10.81.2.2", "is the gateway to the internet"),
        ("10.81.1.255", "is no address of a single device"),
        ("127.0.0.1", "is no address of a single device"),
    ] {
        let answer = block(&carrier, addr, 60).unwrap_err();
        assert_eq!(answer, format!("{addr} is not blocked: it {why}"));
        assert_eq!(carrier.standing().latest, answer);
    }
    assert!(carrier.standing().blocks.is_empty());
}

#[test]
fn time_frees_and_so_does_a_silent_collector() {
    if !possible() {
        return;
    }
    let house = House::new("e3");
    within(10, "the server is reached", || {
        house.reaches("a", "10.81.2.2") && house.reaches("b", "10.81.2.2")
    });
    let (carrier, said) = start(&house, 4, None);
    block(&carrier, "10.81.1.2", 1).unwrap();
    block(&carrier, "10.81.1.3", 600).unwrap();
    assert!(!house.reaches("b", "10.81.2.2"));
    within(5, "the time is over", || house.reaches("a", "10.81.2.2"));
    within(8, "the collector is silent", || house.reaches("b", "10.81.2.2"));
    within(3, "it is said", || said.lock().unwrap().len() == 2);
    let said = said.lock().unwrap().clone();
    assert_eq!(said[0], "10.81.1.2 is no longer blocked: its time is over");
    assert!(said[1].contains("all 1 blocks are released: nothing was heard of the collector"), "{said:?}");
}

/// A program that is killed cannot release anything: the kernel does. Nothing of ours runs here after the rules are set.
#[test]
fn the_kernel_frees_by_itself() {
    if !possible() {
        return;
    }
    let house = House::new("e4");
    within(10, "the server is reached", || house.reaches("a", "10.81.2.2"));
    house.router(|| {
        let entry = Entry {
            addr: "10.81.1.2".parse().unwrap(),
            mac: Some(Mac([2, 0, 0, 0, 0x81, 0x0a])),
            timeout_s: 3,
        };
        Nft::new(Nft::AGENT).unwrap().apply(&[entry]).unwrap();
    });
    assert!(!house.reaches("a", "10.81.2.2"));
    within(8, "the kernel forgets it", || house.reaches("a", "10.81.2.2"));
}

#[test]
fn a_reload_of_the_firewall_and_a_restart_lift_nothing() {
    if !possible() {
        return;
    }
    let house = House::new("e5");
    within(10, "the server is reached", || house.reaches("a", "10.81.2.2"));
    let dir = std::env::temp_dir().join(format!("slips-enforce-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let keep = dir.join("blocks");
    let (carrier, said) = start(&house, 3600, Some(keep.clone()));
    block(&carrier, "10.81.1.2", 600).unwrap();
    run(&format!("ip netns exec {}r nft flush ruleset", house.tag));
    within(12, "it is set again", || !house.reaches("a", "10.81.2.2"));
    assert_eq!(*said.lock().unwrap(), ["the firewall was reloaded; its 1 blocks are set again"]);
    // Restart: an orderly end keeps what is kept, and after a reboot (nothing in the kernel) the next run has it again.
    carrier.end();
    assert!(!house.reaches("a", "10.81.2.2"));
    run(&format!("ip netns exec {}r nft flush ruleset", house.tag));
    assert!(house.reaches("a", "10.81.2.2"));
    let (carrier, said) = start(&house, 3600, Some(keep.clone()));
    assert_eq!(*said.lock().unwrap(), ["1 blocks from before the restart are in force again"]);
    assert!(!house.reaches("a", "10.81.2.2"));
    let [held] = &*carrier.standing().blocks else { panic!("{:?}", carrier.standing()) };
    assert!(held.why == "a test" && held.left_s <= 600 && held.left_s > 500, "{held:?}");
    unblock(&carrier, "10.81.1.2").unwrap();
    carrier.end();
    let (carrier, _) = start(&house, 3600, Some(keep));
    assert!(carrier.standing().blocks.is_empty(), "what was released stays released");
    std::fs::remove_dir_all(&dir).unwrap();
}
