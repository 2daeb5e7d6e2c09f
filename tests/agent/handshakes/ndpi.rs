//! JA3, JA3S, negotiated protocol and fingerprint of the certificate as nDPI printed them for its own captures.

use std::path::Path;

use super::{Ends, handshakes, hex};
use crate::support::public_data;

/// `field: value` in brackets.
fn field<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let start = line.find(&format!("[{name}: "))? + name.len() + 3;
    line.get(start..)?.split(']').next()
}

/// Ends of a flow line: `TCP 192.0.2.1:443 <-> [2001:db8::1]:5000 [proto …`.
fn ends(line: &str) -> Option<Ends> {
    let (_, rest) = line.split_once("TCP ").or_else(|| line.split_once("UDP "))?;
    let (pair, _) = rest.split_once(" [proto")?;
    let (a, b) = pair.split_once(" <-> ").or_else(|| pair.split_once(" -> "))?;
    let end = |text: &str| {
        let (addr, port) = text.rsplit_once(':')?;
        Some((addr.trim_matches(['[', ']']).parse().ok()?, port.parse().ok()?))
    };
    Some([end(a)?, end(b)?])
}

#[test]
fn hashes_are_those_of_ndpi() {
    let Some(data) = public_data() else { return };
    let (mut compared, mut different) = (0, Vec::new());
    let mut outs: Vec<_> = ["ndpi", "threats-small/ndpi"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(data.join(folder)).unwrap().flatten())
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "out"))
        .collect();
    outs.sort();
    for out in outs {
        let capture = out.with_extension("");
        let text = std::fs::read_to_string(&out).unwrap();
        if !text.contains("[JA3") && !text.contains("[Certificate SHA-1") {
            continue;
        }
        let found = handshakes(&capture);
        for line in text.lines() {
            let Some(ends) = ends(line) else { continue };
            let back = [ends[1], ends[0]];
            let tls = found.iter().find(|(e, _)| *e == ends || *e == back).map(|(_, tls)| tls);
            let hash = |h: Option<[u8; 16]>| h.map(|h| hex(&h)).unwrap_or_default();
            let here = [
                ("JA3C", tls.map(|t| hash(t.ja3))),
                ("JA3S", tls.map(|t| hash(t.ja3s))),
                ("(Negotiated) ALPN", tls.map(|t| t.alpn.to_string())),
                ("Certificate SHA-1", tls.and_then(|t| t.certs.first()).map(|c| hex(&c.sha1))),
            ];
            for (name, here) in here {
                let Some(value) = field(line, name) else { continue };
                // A judgement may follow, as in `2fbcb… (WEAK)`.
                let value = value.split(' ').next().unwrap_or_default();
                let value = if name.ends_with("SHA-1") {
                    value.replace(':', "").to_lowercase()
                } else {
                    value.into()
                };
                compared += 1;
                if here.as_ref() != Some(&value) {
                    let file = Path::new(&capture).file_name().unwrap().to_string_lossy().into_owned();
                    different.push(format!("{file} {} {name}: nDPI {value}, here {here:?}", ends[0].1));
                }
            }
        }
    }
    assert!(different.is_empty(), "of {compared}: {different:#?}");
    assert!(compared > 100, "{compared}");
}
