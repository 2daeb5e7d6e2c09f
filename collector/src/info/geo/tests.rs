//! Databases made here, the public samples where they are at hand, and damaged ones.

use super::*;

#[path = "../../../../tests/support/mmdb.rs"]
#[allow(dead_code, reason = "each test uses its part")]
pub(crate) mod mmdb;

use mmdb::{country, country_code, database, network};

/// A folder of its own, with these files.
pub(crate) fn folder(name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("slips-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    for (file, bytes) in files {
        std::fs::write(dir.join(file), bytes).unwrap();
    }
    dir
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn asn_database() -> Vec<u8> {
    database(
        "GeoLite2-ASN",
        &[
            ("8.8.0.0/16", network(15169, "Google LLC")),
            ("8.8.9.0/24", network(64_500, "A customer")),
            ("2606:4700::/32", network(13335, "Cloudflare, Inc.")),
            // Some databases answer for addresses that nobody has.
            ("192.168.0.0/16", network(64_512, "Nobody")),
        ],
    )
}

#[test]
fn the_narrowest_network_counts_and_two_databases_are_one_place() {
    let countries =
        database("GeoLite2-Country", &[("8.0.0.0/8", country("us")), ("2606::/16", country("US"))]);
    let dir = folder("geo", &[("asn", &asn_database()), ("country", &countries)]);
    let geo = Geo::open(&[dir.join("asn"), dir.join("country")]).unwrap();
    let now = geo.now();
    for (addr, shown, asn) in [
        ("8.8.8.8", "Google LLC, US", Some(15169)),
        ("8.8.9.1", "A customer, US", Some(64_500)),
        ("8.9.0.0", "US", None),
        ("9.0.0.0", "", None),
        ("2606:4700::1111", "Cloudflare, Inc., US", Some(13335)),
        ("192.168.1.1", "", None),
        ("::ffff:8.8.8.8", "", None),
    ] {
        let place = now.place(ip(addr));
        assert_eq!((place.to_string().as_str(), place.asn), (shown, asn), "{addr}");
        assert_eq!(place.is_empty(), shown.is_empty(), "{addr}");
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn the_layout_of_the_npm_builds_and_one_database_with_both() {
    let mut both = match network(64_501, "Net") {
        mmdb::Value::Map(fields) => fields,
        _ => unreachable!(),
    };
    let mmdb::Value::Map(code) = country_code("CZ") else { unreachable!() };
    both.extend(code);
    let dir = folder("geo-npm", &[("both", &database("x", &[("147.32.0.0/16", mmdb::Value::Map(both))]))]);
    let geo = Geo::open(&[dir.join("both")]).unwrap();
    assert_eq!(geo.now().place(ip("147.32.83.255")).to_string(), "Net, CZ");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_replaced_database_is_used_and_a_bad_one_is_not() {
    let dir = folder("geo-reload", &[("asn", &asn_database())]);
    let path = dir.join("asn");
    let geo = Geo::open(std::slice::from_ref(&path)).unwrap();
    let before = geo.now();
    assert_eq!((geo.reload(), geo.is_now(&before)), (None, true));
    let replace = |bytes: &[u8]| {
        std::fs::write(dir.join("new"), bytes).unwrap();
        std::fs::rename(dir.join("new"), &path).unwrap();
    };
    replace(b"not a database");
    let said = geo.reload().unwrap();
    assert!(said.contains("cannot be used") && said.ends_with("stay in use"), "{said}");
    assert!(geo.is_now(&before) && geo.reload().is_none(), "said once");
    replace(&database("x", &[("8.8.0.0/16", network(1, "New"))]));
    assert!(geo.reload().is_some() && !geo.is_now(&before));
    assert_eq!(geo.now().place(ip("8.8.8.8")).asn, Some(1));
    assert_eq!(before.place(ip("8.8.8.8")).asn, Some(15169), "who holds the old one keeps it");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn what_is_no_database_is_refused_with_its_name() {
    let dir = folder(
        "geo-bad",
        &[("empty", b""), ("other", &database("x", &[("8.0.0.0/8", mmdb::Value::Map(vec![]))]))],
    );
    for (name, why) in
        [("none", "there is no such file"), ("empty", "is empty"), ("other", "neither networks")]
    {
        let error = Geo::open(&[dir.join(name)]).unwrap_err();
        assert!(error.contains(why) && error.contains(name), "{error}");
    }
    // Cut anywhere, or a byte changed anywhere: refused or answered, never a crash.
    let whole = asn_database();
    for at in (0..whole.len()).step_by(7) {
        let mut changed = whole.clone();
        changed[at] ^= 0xff;
        for bytes in [&whole[..at], &changed[..]] {
            std::fs::write(dir.join("damaged"), bytes).unwrap();
            if let Ok(geo) = Geo::open(&[dir.join("damaged")]) {
                for addr in ["8.8.8.8", "8.8.9.1", "1.1.1.1", "2606:4700::1"] {
                    let _ = geo.now().place(ip(addr)).to_string();
                }
            }
        }
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

/// The public samples with their truth, where they are at hand.
#[test]
fn the_truth_of_the_public_samples() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/geoip");
    let Ok(truth) = std::fs::read_to_string(dir.join("truth.tsv")) else { return };
    let geo = Geo::open(&[dir.join("asn-sample.mmdb"), dir.join("country-sample.mmdb")]).unwrap();
    let now = geo.now();
    let mut seen = 0;
    for line in truth.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[addr, asn, organisation, land] = fields.as_slice() else { panic!("{line}") };
        let place = now.place(ip(addr));
        let or = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        assert_eq!(
            (
                or(place.asn.map(|n| n.to_string())),
                or(place.organisation.map(str::to_owned)),
                or(place.country.map(|c| c.to_string()))
            ),
            (asn.to_owned(), organisation.to_owned(), land.to_owned()),
            "{line}"
        );
        seen += 1;
    }
    assert!(seen > 40, "{seen}");
    for entry in std::fs::read_dir(dir.join("bad")).unwrap().flatten() {
        if let Ok(geo) = Geo::open(&[entry.path()]) {
            let _ = geo.now().place(ip("8.8.8.8")).to_string();
        }
    }
    for (file, addr, shown) in [
        ("GeoLite2-ASN-Test.mmdb", "1.128.0.1", "Telstra Pty Ltd"),
        ("GeoLite2-Country-Test.mmdb", "2.125.160.216", "GB"),
        ("GeoLite2-City-Test.mmdb", "2.125.160.216", "GB"),
        ("GeoIP2-ISP-Test.mmdb", "1.128.0.1", "Telstra Pty Ltd"),
    ] {
        let geo = Geo::open(&[dir.join("maxmind-test").join(file)]).unwrap();
        assert_eq!(geo.now().place(ip(addr)).to_string(), shown, "{file}");
    }
}
