use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::app::record::{Answer, Dns, Ftp, Http};
use crate::network::Network;
use crate::record::{ConnState, Counters, FlowKind, History, Mac, Service};

fn pseudonyms() -> Pseudonyms {
    let own: Vec<Network> =
        ["192.168.7.0/24", "2001:db8:1:2::/64"].iter().map(|n| n.parse().unwrap()).collect();
    Pseudonyms::new([7; KEY_BYTES], &own)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Bits that two addresses share at their beginning.
fn shared(a: IpAddr, b: IpAddr) -> u32 {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => 0,
    }
}

#[test]
fn a_network_keeps_its_shape_and_its_ends() {
    let p = pseudonyms();
    let all: Vec<IpAddr> = (0..=255u8).map(|n| IpAddr::from([192, 168, 7, n])).collect();
    let aliases: BTreeSet<IpAddr> = all.iter().map(|addr| p.alias(*addr)).collect();
    assert_eq!(aliases.len(), 256, "one each");
    let network = p.alias(all[0]);
    let IpAddr::V4(first) = network else { panic!("{network}") };
    assert_eq!(first.octets()[..2], [192, 168]);
    assert_eq!(first.octets()[3], 0, "the network's own number");
    assert!(aliases.iter().all(|alias| shared(*alias, network) >= 24), "one network");
    let IpAddr::V4(last) = p.alias(all[255]) else { panic!() };
    assert_eq!(last.octets()[3], 255, "the broadcast address");
    let moved = all.iter().filter(|addr| p.alias(**addr) != **addr).count();
    assert!(moved > 200, "{moved}");
    for addr in all {
        assert_eq!(p.real(p.alias(addr)), addr);
    }
    // What is not of the house stays, and so does what is nobody's.
    for other in ["8.8.8.8", "2001:db8:9::1", "255.255.255.255", "224.0.0.251", "ff02::1", "0.0.0.0"] {
        assert_eq!(p.alias(ip(other)), ip(other));
    }
    let six = p.alias(ip("2001:db8:1:2::77"));
    assert!(shared(six, ip("2001:db8:1:2::")) >= 64 && six != ip("2001:db8:1:2::77"), "{six}");
    let another = Pseudonyms::new([8; KEY_BYTES], &[]);
    assert_ne!(another.alias(ip("10.1.2.3")), p.alias(ip("10.1.2.3")), "the key decides");
}

#[test]
fn devices_keep_their_maker() {
    let p = pseudonyms();
    let macs: BTreeSet<Mac> = (0..=255).map(|n| p.mac(Mac([0xb8, 0x27, 0xeb, 1, 2, n]))).collect();
    assert_eq!(macs.len(), 256);
    assert!(macs.iter().all(|mac| mac.0[..3] == [0xb8, 0x27, 0xeb]));
    let own = p.mac(Mac([2, 3, 4, 5, 6, 7]));
    assert!(own.0[0] == 2 && own.0[1..] != [3, 4, 5, 6, 7]);
    for mac in [Mac([0xff; 6]), Mac([1, 0, 0x5e, 0, 0, 1]), Mac([0; 6])] {
        assert_eq!(p.mac(mac), mac);
    }
}

proptest! {
    /// Prefixes are preserved outside of our own networks, private stays private, and here it can be undone.
    #[test]
    fn prefixes_are_preserved(a in any::<u32>(), b in any::<u32>(), flip in 0u32..24, six in any::<u64>()) {
        let p = pseudonyms();
        let [a, b, c] = [a & 0xff_ffff, b & 0xff_ffff, (a ^ (1 << flip)) & 0xff_ffff].map(|n| IpAddr::from((10 << 24 | n).to_be_bytes()));
        for (x, y) in [(a, b), (a, c)] {
            prop_assert_eq!(shared(p.alias(x), p.alias(y)), shared(x, y));
            prop_assert_eq!(p.real(p.alias(x)), x);
        }
        let six = IpAddr::from((0xfd00_u128 << 112 | u128::from(six)).to_be_bytes());
        prop_assert_eq!(p.real(p.alias(six)), six);
        prop_assert!(p.is_internal(p.alias(six)));
    }

    /// No text makes it fail, and one without an internal address stays as it is.
    #[test]
    fn any_text(text in "\\PC{0,80}", host in 0u8..=255) {
        let p = pseudonyms();
        if let Some(other) = replaced(&p, &text) {
            prop_assert_ne!(other.as_str(), text.as_str());
        }
        let inside = format!("192.168.7.{host}");
        if let Some(other) = replaced(&p, &format!("http://{inside}:80/{text}")) {
            let alias = p.alias(ip(&inside)).to_string();
            let start = format!("http://{alias}:80/");
            prop_assert!(other.starts_with(&start));
        }
    }
}

const UID: Uid = Uid(99);

fn tuple() -> FiveTuple {
    FiveTuple {
        orig_addr: ip("192.168.7.23"),
        orig_port: 40000,
        resp_addr: ip("192.168.7.1"),
        resp_port: 53,
        proto: 17,
    }
}

fn flow() -> FlowRecord {
    FlowRecord {
        uid: UID,
        kind: FlowKind::Final,
        tuple: tuple(),
        start_us: 1,
        duration_us: 2,
        emitted_us: 3,
        orig: Counters::default(),
        resp: Counters::default(),
        state: ConnState::Sf,
        history: History::new(),
        service: Service::DNS,
        missed_bytes: 0,
        orig_mac: Some(Mac([0xb8, 0x27, 0xeb, 1, 2, 23])),
        resp_mac: None,
        vlan: None,
        parent: Some(UID),
    }
}

fn dns() -> App<&'static str> {
    let answer = |data| Answer { rtype: 1, ttl: 1, data };
    App::Dns(Dns {
        service: Service::DNS,
        trans_id: 1,
        query: "23.7.168.192.in-addr.arpa",
        qtype: 12,
        qclass: 1,
        rcode: Some(0),
        aa: false,
        tc: false,
        rd: true,
        ra: true,
        rtt_us: None,
        answers: heapless::Vec::from_slice(&[
            answer(AnswerData::Addr(ip("192.168.7.23"))),
            answer(AnswerData::Addr(ip("1.1.1.1"))),
            answer(AnswerData::Name("anna-phone.lan")),
        ])
        .unwrap(),
        answers_left_out: 0,
    })
}

fn http() -> App<&'static str> {
    App::Http(Http {
        depth: 1,
        method: "GET",
        host: "192.168.7.23",
        uri: "/private?name=anna",
        referrer: "http://192.168.7.23:8080/page",
        user_agent: "curl/8",
        version: "1.1",
        username: "anna",
        request_body_len: 0,
        response_body_len: 7,
        status_code: 200,
        status_msg: "OK",
        resp_mime: "text/html",
    })
}

/// What leaves, as one text to be searched.
fn leaving(privacy: &Privacy, record: Record<'_>) -> Option<String> {
    let mut out = None;
    let passed = privacy.pass(record, &mut |record: Record<'_>| out = Some(format!("{record:?}")));
    assert_eq!(passed, out.is_some());
    out
}

fn app(body: App<&str>) -> AppRecord<&str> {
    AppRecord { uid: UID, tuple: tuple(), ts_us: 1, emitted_us: 1, body }
}

#[test]
fn no_internal_address_leaves_under_pseudonyms() {
    let p = Arc::new(pseudonyms());
    let privacy = Privacy { pseudonyms: Some(Arc::clone(&p)), ..Privacy::default() };
    let ftp =
        App::Ftp(Ftp { user: "u", command: "PORT", arg: "192,168,7,23,4,1", reply_code: 200, reply_msg: "" });
    let arp = ArpRecord {
        ts_us: 1,
        operation: 1,
        eth_src: Mac([0xb8, 0x27, 0xeb, 1, 2, 23]),
        eth_dst: Mac([0xff; 6]),
        sender_mac: Mac([0xb8, 0x27, 0xeb, 1, 2, 23]),
        sender_addr: [192, 168, 7, 23].into(),
        target_mac: Mac([0; 6]),
        target_addr: [192, 168, 7, 1].into(),
    };
    let (dns, http, ftp) = (app(dns()), app(http()), app(ftp));
    let flow = flow();
    let records =
        [Record::Flow(&flow), Record::App(&dns), Record::App(&http), Record::App(&ftp), Record::Arp(&arp)];
    let alias = p.alias(ip("192.168.7.23")).to_string();
    for record in records {
        let text = leaving(&privacy, record).unwrap();
        for secret in ["192.168.7.23", "192,168,7,23", "23.7.168.192", "b8:27:eb:01:02:17", &UID.to_string()]
        {
            assert!(!text.contains(secret), "{secret} leaves in {text}");
        }
        let written = [alias.clone(), alias.replace('.', ",")];
        assert!(written.iter().any(|alias| text.contains(alias.as_str())), "{alias} is not in {text}");
    }
    let text = leaving(&privacy, Record::App(&http)).unwrap();
    assert!(text.contains(&format!("http://{alias}:8080/page")), "{text}");
    assert_eq!(
        p.in_words("192.168.7.23 is blocked for 60 s: by 8.8.8.8."),
        format!("{alias} is blocked for 60 s: by 8.8.8.8.")
    );
}

#[test]
fn names_and_application_records_stay_at_home_by_choice() {
    let (dns, http) = (app(dns()), app(http()));
    let privacy = Privacy { names: false, ..Privacy::default() };
    assert_eq!(leaving(&privacy, Record::App(&dns)), None, "nothing but names");
    let text = leaving(&privacy, Record::App(&http)).unwrap();
    for (word, leaves) in
        [("anna", false), ("8080", false), ("GET", true), ("curl/8", true), ("text/html", true)]
    {
        assert_eq!(text.contains(word), leaves, "{word}: {text}");
    }
    let privacy = Privacy { application: false, ..Privacy::default() };
    assert_eq!(leaving(&privacy, Record::App(&http)), None);
    let flow = flow();
    assert_eq!(leaving(&privacy, Record::Flow(&flow)).unwrap(), format!("{:?}", Record::Flow(&flow)));
    assert!(!privacy.is_open() && Privacy::default().is_open());
}
