//! `slips-agent status`: what the running agent answers, for people or as it is.

use std::fmt::Write as _;

use serde_json::Value;

use super::args::Args;
use super::{Failure, board, say};

pub(super) fn run(args: &Args, json: bool) -> Result<(), Failure> {
    let answer = board::ask(&args.place()?).map_err(Failure::run)?;
    if json {
        say(&format!("{answer}\n"));
    } else {
        say(&told(&answer));
    }
    Ok(())
}

/// A number somewhere in the answer; 0 if it is not there.
fn number(value: &Value, path: &str) -> u64 {
    value.pointer(path).and_then(Value::as_u64).unwrap_or(0)
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn truth(value: &Value, path: &str) -> bool {
    value.pointer(path).and_then(Value::as_bool).unwrap_or(false)
}

/// Seconds for people.
pub(super) fn lasting(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Bytes for people.
pub(super) fn sized(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} B"),
        10_000..=10_239_999 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes >> 20),
    }
}

/// The answer in words: one line a subject, then what was lost, then who is blocked.
pub(super) fn told(a: &Value) -> String {
    let mut out = String::new();
    let mut line = |name: &str, what: &str| {
        // Writing into a String cannot fail.
        let _ = writeln!(out, "{name:<9} {what}");
    };
    line(
        "agent",
        &format!(
            "{} {}/{} on {}{}, for {}",
            text(a, "/agent/version"),
            text(a, "/agent/site"),
            text(a, "/agent/sensor"),
            text(a, "/agent/source"),
            if truth(a, "/sensing/down") { " (DOWN)" } else { "" },
            lasting(number(a, "/uptime_seconds")),
        ),
    );
    let since = lasting(number(a, "/link/since_seconds"));
    let (broker, trouble) = (text(a, "/link/broker"), text(a, "/link/trouble"));
    let encrypted = if truth(a, "/link/encrypted") { "TLS" } else { "not encrypted" };
    line(
        "link",
        &if truth(a, "/link/online") {
            let trouble = if trouble.is_empty() { String::new() } else { format!("; it {trouble}") };
            format!("connected to {broker} ({encrypted}) for {since}{trouble}")
        } else if trouble.is_empty() {
            format!("not connected to {broker} ({encrypted}) for {since}")
        } else {
            format!("not connected for {since}: the broker {broker} {trouble}")
        },
    );
    line(
        "memory",
        &format!(
            "{} KiB now, {} KiB at most, {} KiB allowed; {} % of a core{}",
            number(a, "/memory/resident_kib"),
            number(a, "/memory/peak_kib"),
            number(a, "/sensing/limits/memory_kib"),
            number(a, "/sensing/processor_percent"),
            match number(a, "/sensing/limits/processor_percent") {
                0 => String::new(),
                percent => format!(", {percent} % allowed"),
            },
        ),
    );
    if !text(a, "/sensing/cause").is_empty() {
        line("LESS", &format!("{}: {}", text(a, "/sensing/step"), text(a, "/sensing/cause")));
    }
    line(
        "flows",
        &format!(
            "{} of {} followed, {} since the start; {} are sent",
            number(a, "/sensing/open"),
            number(a, "/sensing/capacity"),
            number(a, "/sensing/ledger/flows_opened"),
            if text(a, "/detail") == "features" { "sums per device and window" } else { "flow records" },
        ),
    );
    let waiting = number(a, "/reports/waiting");
    line(
        "reports",
        &format!(
            "{} made, {waiting} wait for the collector ({})",
            number(a, "/reports/made"),
            sized(number(a, "/reports/waiting_bytes")),
        ),
    );
    if a.pointer("/reports/disk").is_some() {
        let trouble = text(a, "/reports/disk/trouble");
        line(
            "disk",
            &format!(
                "{} of reports, {} written today{}{trouble}",
                sized(number(a, "/reports/disk/bytes")),
                sized(number(a, "/reports/disk/written_today")),
                if trouble.is_empty() { "" } else { "; " },
            ),
        );
    }
    if !truth(a, "/sensing/clock_set") {
        line("clock", "not set since this device was started; times are a guess until it is");
    }
    let losses: Vec<String> = LOSSES
        .iter()
        .map(|(path, what)| (number(a, path), what))
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let packets = number(a, "/sensing/ledger/packets");
    let lost = if losses.is_empty() { "nothing".to_owned() } else { losses.join(", ") };
    line("lost", &format!("{lost}; {packets} packets seen"));
    let mode = text(a, "/blocking/mode");
    let none = Vec::new();
    let blocks = a.pointer("/blocking/blocks").and_then(Value::as_array).unwrap_or(&none);
    line(
        "blocking",
        &if mode == "off" { "off".to_owned() } else { format!("{mode}, {} addresses", blocks.len()) },
    );
    for block in blocks {
        let device = text(block, "/device");
        line(
            "",
            &format!(
                "{}{}{device} for {} more: {}",
                text(block, "/address"),
                if device.is_empty() { "" } else { " " },
                lasting(number(block, "/seconds_left")),
                text(block, "/reason"),
            ),
        );
    }
    if !text(a, "/blocking/latest").is_empty() {
        line("", &format!("latest: {}", text(a, "/blocking/latest")));
    }
    for pending in a.pointer("/sensing/pending").and_then(Value::as_array).unwrap_or(&none) {
        line("pending", &format!("{} with the next start", pending.as_str().unwrap_or_default()));
    }
    out
}

/// Counters of what was lost, and their words.
const LOSSES: &[(&str, &str)] = &[
    ("/sensing/ledger/kernel_dropped", "packets came faster than they could be read"),
    ("/sensing/ledger/flows_evicted", "flows cut because the table was full"),
    ("/sensing/ledger/app_refused", "flows not looked into for lack of room"),
    ("/sensing/ledger/app_evicted", "flows given up early for lack of room"),
    ("/sensing/ledger/app_shed", "flows not looked into to save memory or processor time"),
    ("/sensing/ledger/sampled_out", "packets left out while only a sample was followed"),
    ("/sensing/ledger/fragments_lost", "fragments"),
    ("/reports/discarded", "reports discarded"),
    ("/reports/unfit_records", "records that could not be reported"),
    ("/reports/disk/damaged", "bytes damaged on the disk"),
];
