use super::*;

const TEXT: &str = "\u{feff}; what I trust\n\
\"IoCType\",\"IoCValue\",\"Direction\",\"IgnoreType\"\n\
ip,192.168.1.5,src,alerts\n\
\"ip\", \"10.0.0.0/8\", \"both\", \"both\"\n\
#ip,8.8.8.8,both,both\n\
domain,example.com,dst,both\n\
mac,02:00:00:AA:bb:cc,from,flows\n\
organization,Google,both,alerts\n\
ip,10.1.0.0/16,dst,flows\n";

fn list() -> Whitelist {
    let (list, bad) = Whitelist::parse("w.csv", TEXT);
    assert_eq!(bad, []);
    assert_eq!(list.len(), 6);
    list
}

fn addr(text: &str) -> End<'static> {
    End { addr: Some(text.parse().unwrap()), ..End::default() }
}

fn named<'a>(names: &'a [&'a str]) -> End<'a> {
    End { addr: Some("203.0.113.9".parse().unwrap()), names, ..End::default() }
}

#[test]
fn direction_and_kind_decide() {
    let (list, other) = (list(), addr("203.0.113.1"));
    let mine = addr("192.168.1.5");
    assert_eq!(list.evidence(&mine, &other), Some(3));
    assert_eq!(list.evidence(&other, &mine), None, "only as source");
    assert_eq!(list.flow(&mine, &other), None, "only alerts");
    assert_eq!(list.flow(&other, &addr("10.255.0.1")), Some(4));
    assert_eq!(list.flow(&other, &addr("11.0.0.1")), None);
    assert_eq!(
        list.flow(&other, &addr("8.8.8.8")),
        None,
        "a disabled line, and its organisation hides alerts only"
    );
    assert_eq!(list.flow(&other, &addr("10.1.2.3")), Some(9), "the narrowest range is named");
}

#[test]
fn a_domain_covers_what_is_below_it_and_nothing_beside_it() {
    let (list, other) = (list(), addr("192.168.1.9"));
    for name in ["example.com", "www.EXAMPLE.com.", "a.b.example.com"] {
        assert_eq!(list.flow(&other, &named(&["x.net", name])), Some(6), "{name}");
    }
    for name in ["badexample.com", "example.com.evil.net", "com", ""] {
        assert_eq!(list.flow(&other, &named(&[name])), None, "{name}");
    }
    assert_eq!(list.flow(&named(&["example.com"]), &other), None, "as destination only");
}

#[test]
fn hardware_addresses_and_organisations() {
    let (list, other) = (list(), addr("192.168.1.9"));
    let device = End { mac: Some(Mac([2, 0, 0, 0xaa, 0xbb, 0xcc])), ..addr("192.168.1.77") };
    assert_eq!(list.flow(&device, &other), Some(7));
    assert_eq!(list.flow(&other, &device), None);
    assert_eq!(list.evidence(&other, &addr("142.251.3.4")), Some(8), "by range");
    assert_eq!(list.evidence(&named(&["lh3.googleusercontent.com"]), &other), Some(8), "by name");
    assert_eq!(list.evidence(&End { asn: Some(15169), ..addr("203.0.113.9") }, &other), Some(8), "by system");
    assert_eq!(list.evidence(&named(&["googleusercontent.com.evil.net"]), &other), None);
}

#[test]
fn a_bad_line_costs_that_line() {
    let text = "ip,300.1.1.1,both,both\nip,1.2.3.4\ndomian,a.b,both,both\nip,1.2.3.4,up,both\nip,1.2.3.4,src,logs\n\
                mac,02:00:00:aa:bb,both,both\norganization,gogle,both,both\ndomain,a b.c,both,both\nip,1.2.3.4,both,both\n";
    let (list, bad) = Whitelist::parse("w", text);
    assert_eq!(list.len(), 1);
    let lines: Vec<String> = bad.iter().map(|b| format!("{}: {}", b.place, b.what)).collect();
    assert_eq!(
        lines,
        [
            "w:1: 300.1.1.1 is neither an address nor a range like 10.0.0.0/8",
            "w:2: 2 fields where four are expected: type, value, direction, what",
            "w:3: domian is not a type (ip, domain, organization, mac), did you mean domain?",
            "w:4: up is not a direction (src, from, dst, to, both)",
            "w:5: logs is not a kind of what is hidden (flows, alerts, both)",
            "w:6: 02:00:00:aa:bb is not a hardware address like 02:00:00:aa:bb:cc",
            "w:7: gogle is not a known organisation (google, microsoft, apple, facebook, twitter), did you mean google?",
            "w:8: a b.c is not a domain name",
        ]
    );
}

/// Popular domains speak for victims only, by DNS or as the victim's own name; a name that a program claims proves nothing, and a host with
/// another name beside is not vouched for.
#[test]
fn popular_domains_vouch_for_what_dns_says() {
    use crate::engine::site::How;
    let list = Whitelist::default().with_popular("# made\nexample.com\ngithub.io\n");
    assert_eq!(list.len(), 2);
    let known = |name: &str, resolved| Name {
        name: name.into(),
        how: if resolved { How::Dns } else { How::Sni },
        resolved,
        askers: Vec::new(),
        last_us: 0,
    };
    let me = addr("192.168.1.9");
    let hidden = |names: &[Name]| list.evidence(&me, &End { known: names, ..addr("203.0.113.9") }).is_some();
    assert!(hidden(&[known("www.example.com", true)]));
    assert!(hidden(&[known("www.example.com", true), known("evil.net", false)]));
    assert!(!hidden(&[known("www.example.com", false)]), "a program says so");
    assert!(!hidden(&[known("www.example.com", true), known("evil.net", true)]), "shared with another");
    assert!(!hidden(&[known("evil.github.io", true)]), "anybody can have such a name");
    assert!(!hidden(&[]));
    let named = |names| End { names, ..End::default() };
    assert!(list.evidence(&me, &named(&["A.Example.com."])).is_some());
    assert!(list.evidence(&me, &named(&["badexample.com"])).is_none());
    let claims = End { names: &["www.example.com"], ..addr("203.0.113.9") };
    assert!(list.evidence(&me, &claims).is_none(), "a name in a request");
    assert!(list.evidence(&named(&["example.com"]), &me).is_none(), "as victim only");
    assert!(list.flow(&me, &named(&["example.com"])).is_none(), "what it does is looked at");
}
