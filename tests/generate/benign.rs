//! What a device at home does without being infected. Every figure is an everyday one; what is periodic here is what a
//! detector of channels must not mistake.

use super::{Flow, Host};

const BENIGN: &str = "Benign";

/// A host's own mixture for the whole capture.
pub(crate) fn day(host: &mut Host<'_>) {
    ntp(host);
    if host.chance(0.6) {
        captive_portal(host);
    }
    if host.chance(0.5) {
        mail(host);
    }
    for _ in 0..host.dice.usize(0..=3) {
        heartbeat(host);
    }
    if host.chance(0.5) {
        cloud_sync(host);
    }
    if host.chance(0.8) {
        browsing(host);
    }
    if host.chance(0.5) {
        streaming(host);
    }
    updates(host);
    resolver(host);
    if host.chance(0.2) {
        unreachable(host);
    }
}

#[allow(clippy::too_many_arguments, reason = "a row of a table, in its order")]
fn plain(
    at: f64,
    lasts: f64,
    to: [u8; 4],
    port: u16,
    sent: u64,
    got: u64,
    service: &'static str,
    detail: &'static str,
) -> Flow {
    Flow { at, lasts, to, port, udp: false, sent, got, unanswered: false, service, label: BENIGN, detail }
}

/// Time servers: polls of 64 to 1024 s in powers of two, 48 bytes each way.
fn ntp(host: &mut Host<'_>) {
    for _ in 0..host.dice.usize(1..=4) {
        let (to, every) = (host.server(), f64::from(64 << host.dice.u32(0..=4)));
        let mut at = host.between(0.0, every);
        while at < host.ends {
            let lasts = host.between(0.01, 0.09);
            let flow = plain(at, lasts, to, 123, 48, 48, "ntp", "time");
            host.push(Flow { udp: true, ..flow });
            at += host.about(every, 0.02);
        }
    }
}

/// Is the internet there? A tiny page each 5 to 60 minutes, also each time the network comes back.
fn captive_portal(host: &mut Host<'_>) {
    let (to, every) = (host.server(), host.scale(300.0, 3600.0));
    let (sent, got) = (host.bytes(80.0, 250.0), host.bytes(80.0, 400.0));
    let mut at = host.between(0.0, every);
    while at < host.ends {
        let lasts = host.between(0.03, 0.4);
        host.push(plain(at, lasts, to, 80, sent, got, "http", "portal"));
        at += if host.chance(0.2) { host.between(5.0, every) } else { host.about(every, 0.1) };
    }
}

/// Mail every 5 to 20 minutes over TLS; now and then there is some.
fn mail(host: &mut Host<'_>) {
    let (to, every) = (host.server(), host.one_of(&[300.0, 600.0, 900.0, 1200.0]));
    let mut at = host.between(0.0, every);
    while at < host.ends {
        let (sent, mut got) = (host.bytes(1500.0, 2500.0), host.bytes(4500.0, 6500.0));
        if host.chance(0.15) {
            got += host.bytes(5e3, 2e6);
        }
        let lasts = host.between(0.4, 4.0);
        host.push(plain(at, lasts, to, 993, sent, got, "ssl", "mail"));
        at += host.about(every, 0.05);
    }
}

/// A smart-home device tells its maker that it lives: new TLS connections, each with its hand-shake of 3 to 7 kB.
fn heartbeat(host: &mut Host<'_>) {
    let (to, every) = (host.server(), host.scale(30.0, 1800.0));
    let (sent, got) = (host.scale(700.0, 2500.0), host.scale(3000.0, 7000.0));
    let loose = host.scale(0.005, 0.3);
    let port = host.one_of(&[443, 443, 443, 8883, 8443]);
    let mut at = host.between(0.0, every);
    while at < host.ends {
        let (a, b) = (host.about(sent, 0.1) as u64, host.about(got, 0.1) as u64);
        let lasts = host.between(0.15, 1.5);
        host.push(plain(at, lasts, to, port, a, b, "ssl", "heartbeat"));
        if host.chance(0.08) {
            // Somebody used it.
            for _ in 0..host.dice.usize(1..=5) {
                at += host.between(0.3, 8.0);
                let (a, b) = (host.bytes(900.0, 2e4), host.bytes(3e3, 3e4));
                let lasts = host.between(0.1, 3.0);
                host.push(plain(at, lasts, to, port, a, b, "ssl", "heartbeat"));
            }
        }
        at += host.about(every, loose);
    }
}

/// Long polls and uploads of a file store.
fn cloud_sync(host: &mut Host<'_>) {
    let (to, polls) = (host.server(), host.server());
    let every = host.between(50.0, 600.0);
    let mut at = host.between(0.0, every);
    while at < host.ends {
        let lasts = host.between(every * 0.6, every);
        let (a, b) = (host.bytes(900.0, 2000.0), host.bytes(4000.0, 8000.0));
        host.push(plain(at, lasts, polls, 443, a, b, "ssl", "sync"));
        if host.chance(0.1) {
            for _ in 0..host.dice.usize(1..=8) {
                let (off, lasts) = (host.between(0.1, 20.0), host.between(0.3, 30.0));
                let (a, b) = (host.bytes(5e3, 2e7), host.bytes(3e3, 2e4));
                host.push(plain(at + off, lasts, to, 443, a, b, "ssl", "sync"));
            }
        }
        at += lasts + host.between(0.0, 3.0);
    }
}

/// Pages: bursts to a few servers, then reading. People come and go.
fn browsing(host: &mut Host<'_>) {
    let favourites: Vec<[u8; 4]> = (0..12).map(|_| host.server()).collect();
    let sessions = host.dice.usize(1..=6);
    for _ in 0..sessions {
        let mut at = host.between(0.0, host.ends);
        for _ in 0..host.dice.usize(2..=30) {
            for _ in 0..host.dice.usize(1..=12) {
                let to = if host.chance(0.7) { host.one_of(&favourites) } else { host.server() };
                let plain_http = host.chance(0.15);
                let (off, lasts) = (host.between(0.0, 3.0), host.scale(0.05, 120.0));
                let (a, b) = (host.bytes(400.0, 6e3), host.bytes(300.0, 2e6));
                let (port, service) = if plain_http { (80, "http") } else { (443, "ssl") };
                host.push(plain(at + off, lasts, to, port, a, b, service, "browsing"));
            }
            at += host.pause(45.0) + 2.0;
        }
    }
}

/// Films: a segment every 4 to 10 s, each hundreds of kB to MB, for a quarter of an hour to three hours.
fn streaming(host: &mut Host<'_>) {
    let (to, every) = (host.server(), host.between(4.0, 10.0));
    let mut at = host.between(0.0, host.ends);
    let until = at + host.between(900.0, 10_800.0);
    while at < until {
        let (a, b) = (host.bytes(800.0, 2500.0), host.bytes(2e5, 6e6));
        let lasts = host.between(0.3, every * 0.8);
        host.push(plain(at, lasts, to, 443, a, b, "ssl", "streaming"));
        at += host.about(every, 0.25);
    }
}

/// Is there a new version? Once in 1 to 12 hours, seldom a large download.
fn updates(host: &mut Host<'_>) {
    for _ in 0..host.dice.usize(1..=4) {
        let (to, every) = (host.server(), host.scale(3600.0, 43_200.0));
        let mut at = host.between(0.0, every);
        while at < host.ends {
            let got = if host.chance(0.1) { host.bytes(1e6, 2e8) } else { host.bytes(4e3, 2e4) };
            let lasts = host.between(0.3, 20.0);
            let sent = host.bytes(900.0, 3e3);
            host.push(plain(at, lasts, to, 443, sent, got, "ssl", "update"));
            at += host.about(every, 0.2);
        }
    }
}

/// Names: at random, in bursts as pages are opened.
fn resolver(host: &mut Host<'_>) {
    let to = host.one_of(&[[9, 9, 9, 9], [1, 1, 1, 1], [8, 8, 8, 8], [192, 168, 1, 1]]);
    let mut at = 0.0;
    let mean = host.scale(30.0, 600.0);
    while at < host.ends {
        for _ in 0..host.dice.usize(1..=6) {
            let off = host.between(0.0, 0.8);
            let (a, b) = (host.bytes(28.0, 60.0), host.bytes(60.0, 300.0));
            let lasts = host.between(0.005, 0.12);
            host.push(Flow { udp: true, ..plain(at + off, lasts, to, 53, a, b, "dns", "names") });
        }
        at += host.pause(mean);
    }
}

/// A device that still looks for a server that is switched off.
fn unreachable(host: &mut Host<'_>) {
    let (to, every) = (host.server(), host.scale(60.0, 1800.0));
    let port = host.one_of(&[80, 443, 8080, 5000, 1900]);
    let mut at = host.between(0.0, every);
    let (tries, asks_again) = (host.dice.usize(2..=40), host.chance(0.5));
    for _ in 0..tries {
        host.attempt(plain(at, 0.0, to, port, 0, 0, "", "gone"), asks_again);
        // Back-off: each pause up to twice the last one.
        at += host.about(every, 0.4);
        if host.chance(0.3) {
            at += host.pause(3600.0);
        }
    }
}
