//! Small databases in MaxMind's format (version 2.0 of its specification), made by the tests themselves.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// A value of a record.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Text(String),
    Number(u32),
    Map(Vec<(String, Value)>),
}

/// `{"autonomous_system_number": …, "autonomous_system_organization": …}`, the layout of GeoLite2-ASN.
pub fn network(asn: u32, organisation: &str) -> Value {
    Value::Map(vec![
        ("autonomous_system_number".to_owned(), Value::Number(asn)),
        ("autonomous_system_organization".to_owned(), Value::Text(organisation.to_owned())),
    ])
}

/// `{"country": {"iso_code": …}}`, the layout of GeoLite2-Country.
pub fn country(code: &str) -> Value {
    let iso = Value::Map(vec![("iso_code".to_owned(), Value::Text(code.to_owned()))]);
    Value::Map(vec![("country".to_owned(), iso)])
}

/// `{"country_code": …}`, the layout of `@ip-location-db`.
pub fn country_code(code: &str) -> Value {
    Value::Map(vec![("country_code".to_owned(), Value::Text(code.to_owned()))])
}

/// A database of these networks (`203.0.113.0/24`), wider ones before narrower ones.
pub fn database(kind: &str, networks: &[(&str, Value)]) -> Vec<u8> {
    const EMPTY: u32 = u32::MAX;
    const DATA: u32 = 1 << 31;
    let mut nodes: Vec<[u32; 2]> = vec![[EMPTY; 2]];
    let (mut data, mut offsets) = (Vec::new(), BTreeMap::new());
    for (network, value) in networks {
        let (addr, prefix) = network.split_once('/').expect("address/prefix");
        let (bits, prefix) = match addr.parse().expect("address") {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), prefix.parse::<u32>().expect("prefix") + 96),
            IpAddr::V6(v6) => (v6.to_bits(), prefix.parse::<u32>().expect("prefix")),
        };
        let offset = *offsets.entry(value.clone()).or_insert_with(|| {
            let at = data.len() as u32;
            write(value, &mut data);
            at
        });
        let mut node = 0;
        for depth in 0..prefix {
            let side = (bits >> (127 - depth) & 1) as usize;
            if depth + 1 == prefix {
                nodes[node][side] = DATA | offset;
                break;
            }
            let next = nodes[node][side];
            node = if next < DATA {
                next as usize
            } else {
                // A wider network goes on in both halves.
                nodes.push([next; 2]);
                nodes[node][side] = nodes.len() as u32 - 1;
                nodes.len() - 1
            };
        }
    }
    let count = nodes.len() as u32;
    let mut out = Vec::new();
    for record in nodes.iter().flatten() {
        let value = match *record {
            EMPTY => count,
            data if data >= DATA => count + 16 + (data ^ DATA),
            node => node,
        };
        out.extend(value.to_be_bytes());
    }
    out.extend([0; 16]);
    out.extend(data);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    let text = |t: &str| Value::Text(t.to_owned());
    let description = Value::Map(vec![("en".to_owned(), text("made by a test"))]);
    // Sizes of numbers matter to some readers, so each has the type of the specification.
    out.push(7 << 5 | 9);
    for (key, value) in [("database_type", text(kind)), ("description", description)] {
        write(&text(key), &mut out);
        write(&value, &mut out);
    }
    for (key, number, bytes) in [
        ("binary_format_major_version", 2, 2),
        ("binary_format_minor_version", 0, 2),
        ("ip_version", 6, 2),
        ("record_size", 32, 2),
        ("node_count", u64::from(count), 4),
        ("build_epoch", 1_600_000_000, 8),
    ] {
        write(&text(key), &mut out);
        match bytes {
            2 => out.push(5 << 5 | 2),
            4 => out.push(6 << 5 | 4),
            _ => out.extend([8, 2]),
        }
        out.extend(&u64::to_be_bytes(number)[8 - bytes..]);
    }
    write(&text("languages"), &mut out);
    out.extend([1, 4]);
    write(&text("en"), &mut out);
    out
}

fn write(value: &Value, out: &mut Vec<u8>) {
    let mut control = |kind: u8, size: usize| match size {
        0..29 => out.push(kind << 5 | size as u8),
        29..285 => out.extend([kind << 5 | 29, (size - 29) as u8]),
        _ => panic!("too long for a test: {size}"),
    };
    match value {
        Value::Text(text) => {
            control(2, text.len());
            out.extend(text.as_bytes());
        }
        Value::Number(number) => {
            control(6, 4);
            out.extend(number.to_be_bytes());
        }
        Value::Map(entries) => {
            control(7, entries.len());
            for (key, value) in entries {
                write(&Value::Text(key.clone()), out);
                write(value, out);
            }
        }
    }
}
