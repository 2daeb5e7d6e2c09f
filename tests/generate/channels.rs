//! Command-and-control channels as families of behaviour, in figures from published analyses: fixed and jittered sleep, working
//! hours, tasks, polling over HTTP, plain TCP, DNS, fronting, controllers that are gone.

use super::{Flow, Host};

const MALICIOUS: &str = "Malicious";

/// One kind of channel for a stretch of the capture.
pub(crate) fn infect(host: &mut Host<'_>) {
    let starts = host.between(0.0, host.ends * 0.3);
    let stops = host.between(starts + (host.ends - starts) * 0.5, host.ends);
    match host.dice.u8(..8) {
        0 | 1 => http_poll(host, starts, stops),
        2 => tls_beacon(host, starts, stops),
        3 => plain_tcp(host, starts, stops),
        4 => dns(host, starts, stops),
        5 => attempts(host, starts, stops),
        6 => fronted(host, starts, stops),
        _ => peers(host, starts, stops),
    }
}

#[derive(Clone, Copy)]
struct Shape {
    to: [u8; 4],
    port: u16,
    service: &'static str,
    detail: &'static str,
    udp: bool,
}

/// Sleeps of 5 s to 30 min with a jitter of 0 to 50 %, contacts of constant size, now and then a task with its answer.
struct Rhythm {
    every: f64,
    jitter: f64,
    sent: f64,
    got: f64,
    /// Spread of the sizes of contacts without a task.
    loose: f64,
    tasks: f64,
    lasts: (f64, f64),
    /// Only between these hours of the capture's days.
    hours: Option<(f64, f64)>,
}

fn beat(host: &mut Host<'_>, shape: Shape, rhythm: &Rhythm, starts: f64, stops: f64) {
    let mut at = starts;
    while at < stops {
        let hour = at / 3600.0 % 24.0;
        let awake = rhythm.hours.is_none_or(|(from, to)| (from..to).contains(&hour));
        if awake {
            let (mut sent, mut got) =
                (host.about(rhythm.sent, rhythm.loose) as u64, host.about(rhythm.got, rhythm.loose) as u64);
            let mut lasts = host.between(rhythm.lasts.0, rhythm.lasts.1);
            if host.chance(rhythm.tasks) {
                if host.chance(0.5) {
                    got += host.bytes(1e3, 5e5);
                } else {
                    sent += host.bytes(1e3, 2e6);
                }
                lasts += host.between(0.2, 10.0);
            }
            let Shape { to, port, service, detail, udp } = shape;
            host.push(Flow {
                at,
                lasts,
                to,
                port,
                udp,
                sent,
                got,
                unanswered: false,
                service,
                label: MALICIOUS,
                detail,
            });
        }
        at += (rhythm.every * (1.0 - host.dice.f64() * rhythm.jitter)).max(0.5);
    }
}

fn rhythm(host: &mut Host<'_>, sent: (f64, f64), got: (f64, f64), lasts: (f64, f64)) -> Rhythm {
    let hours = host.chance(0.15).then(|| (host.between(0.0, 8.0), host.between(10.0, 20.0)));
    Rhythm {
        every: host.scale(5.0, 1200.0),
        jitter: host.one_of(&[0.0, 0.0, 0.01, 0.1, 0.2, 0.3, 0.5]),
        sent: host.scale(sent.0, sent.1),
        got: host.scale(got.0, got.1),
        loose: host.one_of(&[0.0, 0.0, 0.02, 0.1]),
        tasks: host.one_of(&[0.0, 0.01, 0.03, 0.1]),
        lasts,
        hours,
    }
}

/// GET or POST to a page of a controller: some hundred bytes up, an empty or short answer.
fn http_poll(host: &mut Host<'_>, starts: f64, stops: f64) {
    let port = host.one_of(&[80, 80, 8080, 8888, 8000]);
    let shape = Shape { to: host.server(), port, service: "http", detail: "CC-HTTP", udp: false };
    let rhythm = rhythm(host, (90.0, 700.0), (60.0, 900.0), (0.04, 0.8));
    beat(host, shape, &rhythm, starts, stops);
}

/// Short TLS sessions with a bare hand-shake and a few hundred bytes.
fn tls_beacon(host: &mut Host<'_>, starts: f64, stops: f64) {
    let port = host.one_of(&[443, 443, 8443, 4433, 447, 449]);
    let shape = Shape { to: host.server(), port, service: "ssl", detail: "CC-TLS", udp: false };
    let rhythm = rhythm(host, (400.0, 1500.0), (900.0, 3500.0), (0.1, 1.2));
    beat(host, shape, &rhythm, starts, stops);
}

/// Remote-control tools: a line in each connection, odd ports, some sessions held open.
fn plain_tcp(host: &mut Host<'_>, starts: f64, stops: f64) {
    let port = host.dice.u16(1025..=49_000);
    let shape = Shape { to: host.server(), port, service: "", detail: "CC-TCP", udp: false };
    let mut rhythm = rhythm(host, (10.0, 400.0), (2.0, 250.0), (0.03, 12.0));
    if host.chance(0.3) {
        rhythm.lasts = (rhythm.every * 0.5, rhythm.every * 0.9);
    }
    beat(host, shape, &rhythm, starts, stops);
}

/// Questions to a server of its own, TXT answers.
fn dns(host: &mut Host<'_>, starts: f64, stops: f64) {
    let shape = Shape { to: host.server(), port: 53, service: "dns", detail: "CC-DNS", udp: true };
    let mut rhythm = rhythm(host, (50.0, 200.0), (80.0, 500.0), (0.02, 0.2));
    rhythm.every = host.scale(1.0, 300.0);
    beat(host, shape, &rhythm, starts, stops);
}

/// The controller is gone: the same port, over and over.
fn attempts(host: &mut Host<'_>, starts: f64, stops: f64) {
    let (to, port) = (host.server(), host.one_of(&[80, 443, 6667, 8080, 1177, 3460, 5552]));
    let (every, jitter) = (host.scale(3.0, 900.0), host.one_of(&[0.0, 0.01, 0.05, 0.2]));
    let asks_again = host.chance(0.5);
    let mut at = starts;
    while at < stops {
        let flow = Flow {
            at,
            lasts: 0.0,
            to,
            port,
            udp: false,
            sent: 0,
            got: 0,
            unanswered: true,
            service: "",
            label: MALICIOUS,
            detail: "CC-attempt",
        };
        host.attempt(flow, asks_again);
        at += host.about(every, jitter) + if asks_again { 9.0 } else { 0.0 };
    }
}

/// Behind a large provider: several addresses in turn, sizes padded by the provider's head lines.
fn fronted(host: &mut Host<'_>, starts: f64, stops: f64) {
    let count = host.dice.usize(1..=3);
    let rhythm = rhythm(host, (900.0, 2500.0), (3500.0, 6500.0), (0.15, 1.5));
    for _ in 0..count {
        let shape = Shape { to: host.server(), port: 443, service: "ssl", detail: "CC-fronted", udp: false };
        let first = host.between(starts, starts + rhythm.every);
        let slower = Rhythm { every: rhythm.every * count as f64, hours: rhythm.hours, ..rhythm };
        beat(host, shape, &slower, first, stops);
    }
}

/// Keep-alives to peers over UDP, one rhythm for all.
fn peers(host: &mut Host<'_>, starts: f64, stops: f64) {
    let rhythm = rhythm(host, (20.0, 400.0), (20.0, 400.0), (0.02, 1.0));
    for _ in 0..host.dice.usize(2..=12) {
        let port = host.dice.u16(1025..=65_000);
        let shape = Shape { to: host.server(), port, service: "", detail: "CC-peers", udp: true };
        let first = host.between(starts, starts + rhythm.every);
        beat(host, shape, &rhythm, first, stops);
    }
}
