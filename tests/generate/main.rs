//! Makes labelled traffic: hosts of a home for a day each, and command-and-control channels among it.
//!
//! `cargo run --release --example generate -- FOLDER [--seed N] [--captures N]` writes one Zeek conn.log per capture, with label
//! columns, and `captures.tsv`, the list that `slips train` and `slips evaluate` take. The same seed gives the same bytes. What
//! each kind of traffic looks like stands in `benign.rs` and `channels.rs`, in figures; nothing is taken from a capture.

mod benign;
mod channels;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// One connection.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    /// Start and duration, seconds.
    pub(crate) at: f64,
    pub(crate) lasts: f64,
    /// Responder.
    pub(crate) to: [u8; 4],
    pub(crate) port: u16,
    pub(crate) udp: bool,
    /// Payload each way, bytes.
    pub(crate) sent: u64,
    pub(crate) got: u64,
    /// Nobody answered.
    pub(crate) unanswered: bool,
    pub(crate) service: &'static str,
    /// What it is.
    pub(crate) label: &'static str,
    pub(crate) detail: &'static str,
}

/// The traffic of one host, as it is made.
pub(crate) struct Host<'a> {
    pub(crate) dice: &'a mut fastrand::Rng,
    pub(crate) flows: Vec<Flow>,
    /// Length of the capture, seconds.
    pub(crate) ends: f64,
}

impl Host<'_> {
    /// Uniform between two values.
    pub(crate) fn between(&mut self, from: f64, to: f64) -> f64 {
        from + self.dice.f64() * (to - from)
    }

    /// Uniform in the logarithm: 10 to 100 is as likely as 100 to 1000.
    pub(crate) fn scale(&mut self, from: f64, to: f64) -> f64 {
        (from.ln() + self.dice.f64() * (to / from).ln()).exp()
    }

    /// Exponential pause with this mean: contacts at random.
    pub(crate) fn pause(&mut self, mean: f64) -> f64 {
        -(1.0 - self.dice.f64()).ln() * mean
    }

    pub(crate) fn bytes(&mut self, from: f64, to: f64) -> u64 {
        self.scale(from, to) as u64
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.dice.f64() < share
    }

    pub(crate) fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.dice.usize(..list.len())]
    }

    /// A public address that is in nobody's test range twice in a capture but by chance.
    pub(crate) fn server(&mut self) -> [u8; 4] {
        [self.dice.u8(11..=99), self.dice.u8(..), self.dice.u8(..), self.dice.u8(1..=254)]
    }

    /// `value` with up to `share` more or less.
    pub(crate) fn about(&mut self, value: f64, share: f64) -> f64 {
        value * (1.0 + (self.dice.f64() * 2.0 - 1.0) * share)
    }

    /// An attempt that nobody answers. Where the system asks again after 3 s and 9 s (Windows), a sensor that waits 5 s sees two.
    pub(crate) fn attempt(&mut self, flow: Flow, asks_again: bool) {
        let silent = Flow { unanswered: true, service: "", sent: 0, got: 0, ..flow };
        if asks_again {
            let (lasts, at) = (self.about(3.0, 0.01), silent.at + self.about(9.0, 0.01));
            self.push(Flow { lasts, ..silent.clone() });
            self.push(Flow { at, lasts: 0.0, ..silent });
        } else {
            self.push(Flow { lasts: 0.0, ..silent });
        }
    }

    pub(crate) fn push(&mut self, flow: Flow) {
        if flow.at < self.ends {
            self.flows.push(flow);
        }
    }
}

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("generate: {text}");
            ExitCode::from(2)
        }
    }
}

fn run(mut words: impl Iterator<Item = String>) -> Result<String, String> {
    let (mut folder, mut seed, mut captures) = (None, 1, 300_usize);
    while let Some(word) = words.next() {
        let mut number = |name: &str| {
            words.next().and_then(|w| w.parse().ok()).ok_or_else(|| format!("{name} needs a number"))
        };
        match word.as_str() {
            "--seed" => seed = number("--seed")?,
            "--captures" => captures = number("--captures")? as usize,
            _ if folder.is_none() && !word.starts_with('-') => folder = Some(PathBuf::from(word)),
            other => return Err(format!("{other} is not understood: FOLDER [--seed N] [--captures N]")),
        }
    }
    let folder = folder.ok_or("a folder to write to is needed")?;
    let mut list = "# Made by tests/generate; columns as in collector/src/learn/data.rs.\n".to_owned();
    let mut flows = 0;
    for number in 0..captures {
        // Each capture has its own source of chance, so that one more changes none of the others.
        let mut dice = fastrand::Rng::with_seed(seed * 1_000_003 + number as u64);
        let name = format!("made-{number:04}");
        let made = capture(&mut dice);
        flows += made.len();
        let place = folder.join(&name);
        std::fs::create_dir_all(&place)
            .and_then(|()| std::fs::write(place.join("conn.log"), zeek(&made, number)))
            .map_err(|e| format!("{}: cannot be written: {e}", place.display()))?;
        let split = match number % 10 {
            0..=6 => "train",
            7 | 8 => "validate",
            _ => "test",
        };
        let _ = writeln!(list, "{split}\t{name}\t{name}/conn.log\tflows\tMalicious\tBenign");
    }
    let place = folder.join("captures.tsv");
    std::fs::write(&place, list).map_err(|e| format!("{}: cannot be written: {e}", place.display()))?;
    Ok(format!("{captures} captures with {flows} flows, listed in {}", place.display()))
}

/// One host for 2 to 24 hours; two of three are infected by one kind of channel.
fn capture(dice: &mut fastrand::Rng) -> Vec<Flow> {
    let ends = 3600.0 * (2.0 + dice.f64() * 22.0);
    let infected = dice.u8(..3) > 0;
    let mut host = Host { dice, flows: Vec::new(), ends };
    benign::day(&mut host);
    if infected {
        channels::infect(&mut host);
    }
    let mut flows = host.flows;
    flows.sort_by(|a, b| a.at.total_cmp(&b.at));
    flows
}

/// As Zeek would write it, with the two columns of a labelled log.
fn zeek(flows: &[Flow], number: usize) -> String {
    let mut text = String::from(
        "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n\
         #fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tresp_bytes\tconn_state\thistory\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes\tlabel\tdetailedlabel\n\
         #types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tinterval\tcount\tcount\tstring\tstring\tcount\tcount\tcount\tcount\tstring\tstring\n",
    );
    // A Monday, so that captures are a day apart.
    let start = 1_700_438_400.0 + number as f64 * 86_400.0;
    for (i, flow) in flows.iter().enumerate() {
        let [a, b, c, d] = flow.to;
        let pkts = |bytes: u64| 3 + bytes / 1400;
        let (state, history, got) = match (flow.udp, flow.unanswered) {
            (false, true) => ("S0", "S", 0),
            (false, false) => ("SF", "ShADadFf", flow.got),
            (true, true) => ("S0", "D", 0),
            (true, false) => ("SF", "Dd", flow.got),
        };
        let sent = if flow.unanswered && !flow.udp { 0 } else { flow.sent };
        let (orig_pkts, resp_pkts) = match (flow.udp, flow.unanswered) {
            (false, true) => (3, 0),
            (false, false) => (pkts(sent) + 2, pkts(got) + 1),
            (true, true) => (1, 0),
            (true, false) => (1 + sent / 1400, 1 + got / 1400),
        };
        let head = if flow.udp { 28 } else { 40 };
        let _ = writeln!(
            text,
            "{:.6}\tC{number:04}{i:07}\t192.168.1.{}\t{}\t{a}.{b}.{c}.{d}\t{}\t{}\t{}\t{:.6}\t{sent}\t{got}\t{state}\t{history}\t{orig_pkts}\t{}\t{resp_pkts}\t{}\t{}\t{}",
            start + flow.at,
            20 + number % 200,
            32_768 + i % 28_000,
            flow.port,
            if flow.udp { "udp" } else { "tcp" },
            if flow.service.is_empty() { "-" } else { flow.service },
            flow.lasts,
            sent + head * orig_pkts,
            got + head * resp_pkts,
            flow.label,
            flow.detail,
        );
    }
    text
}
