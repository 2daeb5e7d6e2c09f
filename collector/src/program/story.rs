//! What people read at the end: what was read, what was lost, what was found, and where it is written.

use std::fmt::Write as _;
use std::path::Path;

use crate::output::{Finding, Summary, clock, sentence, timeline};

/// Profiles shown.
pub(super) const SHOWN: usize = 10;

/// The whole text. `inputs` describes what was read; `folder` is where files are, if any were written.
pub(super) fn story(
    summary: &Summary,
    findings: &[Finding],
    inputs: &[String],
    folder: Option<&Path>,
) -> String {
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = write(&mut out, summary, findings, inputs, folder);
    out
}

fn write(
    out: &mut String,
    summary: &Summary,
    findings: &[Finding],
    inputs: &[String],
    folder: Option<&Path>,
) -> std::fmt::Result {
    writeln!(out)?;
    for input in inputs {
        writeln!(out, "Read: {input}")?;
    }
    let mut parts = Vec::new();
    for (count, what) in [
        (summary.packets, "packets"),
        (summary.flows, "flows"),
        (summary.app_records, "messages above them"),
        (summary.arp, "ARP packets"),
    ] {
        if count > 0 {
            parts.push(format!("{} {what}", thousands(count)));
        }
    }
    if summary.bytes > 0 {
        parts.push(timeline::size(summary.bytes));
    }
    if parts.is_empty() {
        writeln!(out, "      no traffic")?;
    } else {
        writeln!(out, "      {}", parts.join(", "))?;
        writeln!(
            out,
            "      {} in {}, {} to {}, in {} s",
            counted(summary.profiles, "address"),
            counted(summary.windows, "window"),
            clock_s(summary.first_ts),
            clock_s(summary.last_ts),
            summary.wall_s,
        )?;
    }
    if !summary.countries.is_empty() {
        let mut countries: Vec<_> = summary.countries.iter().collect();
        countries.sort_by(|(a, n), (b, m)| m.cmp(n).then(a.cmp(b)));
        let most: Vec<_> =
            countries.iter().take(6).map(|(name, n)| format!("{name} {}", thousands(**n))).collect();
        let more = if countries.len() > most.len() { ", …" } else { "" };
        writeln!(out, "      flows by country: {}{more}", most.join(", "))?;
    }
    if !summary.losses.is_empty() {
        let losses: Vec<_> = summary
            .losses
            .iter()
            .map(|(reason, n)| format!("{} {}", thousands(*n), reason.replace('_', " ")))
            .collect();
        writeln!(out, "Left out: {}", losses.join(", "))?;
    }
    found(out, summary, findings)?;
    if let Some(folder) = folder {
        writeln!(out, "\nEverything is in {}/", folder.display())?;
    }
    Ok(())
}

fn found(out: &mut String, summary: &Summary, findings: &[Finding]) -> std::fmt::Result {
    let evidence: u64 = summary.evidence.values().sum();
    if evidence == 0 {
        return writeln!(out, "Found: nothing suspicious");
    }
    writeln!(out, "Found: {}, {}", counted(summary.alerts, "alert"), counted(evidence, "finding"))?;
    for finding in findings.iter().take(SHOWN) {
        write!(out, "\n  {}", finding.profile)?;
        if finding.alerts > 0 {
            write!(out, "  ALERT")?;
            if finding.alerts > 1 {
                write!(out, " ×{}", finding.alerts)?;
            }
        }
        writeln!(out, "  {}, threat {:.1}", counted(finding.evidence, "finding"), finding.threat)?;
        for (level, text) in &finding.worst {
            writeln!(out, "    {level:<8} {}", sentence(text))?;
        }
    }
    if findings.len() > SHOWN {
        writeln!(out, "\n  … and more addresses: see alerts.log")?;
    }
    Ok(())
}

/// `1 finding`, `2 findings`, `2 addresses`.
pub(super) fn counted(n: u64, what: &str) -> String {
    let ending = match (n, what.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{} {what}{ending}", thousands(n))
}

/// 1234567 as 1,234,567.
fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times of the summary are seconds since 1970"
)]
fn clock_s(seconds: f64) -> String {
    let text = clock((seconds * 1e6) as u64);
    // Whole seconds are enough here.
    text.split('.').next().map_or(text.clone(), |whole| format!("{}Z", whole.replace('T', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn numbers_for_people() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(clock_s(1_382_342_709.9), "2013-10-21 08:05:09Z");
    }

    #[test]
    fn a_run_is_told_worst_first_and_an_empty_one_too() {
        let empty = story(&Summary::default(), &[], &["x.pcap".to_owned()], None);
        assert_eq!(empty, "\nRead: x.pcap\n      no traffic\nFound: nothing suspicious\n");
        let summary = Summary {
            flows: 1200,
            packets: 5000,
            bytes: 2048,
            losses: BTreeMap::from([("late_flows".to_owned(), 3)]),
            evidence: BTreeMap::from([("vertical_port_scan".to_owned(), 1)]),
            alerts: 1,
            ..Summary::default()
        };
        let summary = Summary {
            countries: [("US", 1000), ("CZ", 7), ("DE", 7)].map(|(c, n)| (c.to_owned(), n)).into(),
            ..summary
        };
        let finding = Finding {
            profile: "10.0.0.5".parse().unwrap(),
            alerts: 1,
            evidence: 1,
            threat: 0.8,
            worst: vec![("high", "Vertical port scan".to_owned())],
        };
        let text = story(&summary, &[finding], &["x".to_owned()], Some(Path::new("out")));
        for line in [
            "      5,000 packets, 1,200 flows, 2.00 KiB",
            "      flows by country: US 1,000, CZ 7, DE 7",
            "Left out: 3 late flows",
            "Found: 1 alert, 1 finding",
            "  10.0.0.5  ALERT  1 finding, threat 0.8",
            "    high     Vertical port scan.",
            "Everything is in out/",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }
}
