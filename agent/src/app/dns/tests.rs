use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::super::Direction::{Orig, Resp};
use super::super::record::{AnswerData, App, Dns};
use super::super::tests::Play;
use super::message;

/// A message with a header; the rest follows as it is.
fn message(id: u16, flags: u16, counts: [u16; 4], rest: &[u8]) -> Vec<u8> {
    let mut m = Vec::new();
    [id, flags].into_iter().chain(counts).for_each(|n| m.extend_from_slice(&n.to_be_bytes()));
    m.extend_from_slice(rest);
    m
}

fn labels(name: &str) -> Vec<u8> {
    let mut b = Vec::new();
    for label in name.split('.').filter(|l| !l.is_empty()) {
        b.push(label.len() as u8);
        b.extend_from_slice(label.as_bytes());
    }
    b.push(0);
    b
}

fn question(name: &str, qtype: u16) -> Vec<u8> {
    let mut q = labels(name);
    q.extend_from_slice(&qtype.to_be_bytes());
    q.extend_from_slice(&1_u16.to_be_bytes());
    q
}

fn query(id: u16, name: &str, qtype: u16) -> Vec<u8> {
    message(id, 0x0100, [1, 0, 0, 0], &question(name, qtype))
}

/// An answer for the name of the question.
fn answer(rtype: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut a = alloc::vec![0xc0, 12];
    a.extend_from_slice(&rtype.to_be_bytes());
    a.extend_from_slice(&1_u16.to_be_bytes());
    a.extend_from_slice(&ttl.to_be_bytes());
    a.extend_from_slice(&(data.len() as u16).to_be_bytes());
    a.extend_from_slice(data);
    a
}

fn reply(id: u16, flags: u16, name: &str, qtype: u16, answers: &[Vec<u8>]) -> Vec<u8> {
    let mut rest = question(name, qtype);
    answers.iter().for_each(|a| rest.extend_from_slice(a));
    message(id, 0x8000 | flags, [1, answers.len() as u16, 0, 0], &rest)
}

fn records(play: &Play) -> Vec<Dns<Box<str>>> {
    play.heard
        .records
        .iter()
        .map(|r| match &r.body {
            App::Dns(d) => d.clone(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn texts(d: &Dns<Box<str>>) -> Vec<String> {
    d.answers
        .iter()
        .map(|a| match &a.data {
            AnswerData::Addr(a) => format!("{a}"),
            AnswerData::Name(n) | AnswerData::Text(n) => format!("{n}"),
        })
        .collect()
}

#[test]
fn a_query_and_its_reply_are_one_record() {
    let mut p = Play::udp(53);
    p.datagram(Orig, &query(7, "WWW.Example.org", 1));
    assert!(p.heard.records.is_empty() && p.handle.slot > 0);
    p.datagram(Resp, &reply(7, 0x0580, "www.example.org", 1, &[answer(1, 60, &[192, 0, 2, 1])]));
    assert_eq!(p.handle.slot, 0, "nothing waits, nothing is held");
    let d = &records(&p)[0];
    assert_eq!((&*d.query, d.qtype, d.qclass, d.rcode), ("www.example.org", 1, 1, Some(0)));
    assert_eq!((d.aa, d.tc, d.rd, d.ra, d.rtt_us), (true, false, true, true, Some(1000)));
    assert_eq!((texts(d), d.answers[0].ttl), (alloc::vec![String::from("192.0.2.1")], 60));
    assert_eq!(p.service(), "dns");
    p.end();
}

#[test]
fn each_type_is_written_as_expected() {
    let rrsig = [&[0, 1, 8, 2][..], &[0; 14], &labels("Signer.example")].concat();
    let mx = [&[0, 10][..], &labels("mail.example")].concat();
    let srv = [&[0, 1, 0, 2, 0x1f, 0x90][..], &labels("srv.example")].concat();
    let soa = [&labels("ns.example")[..], &labels("admin.example"), &[0; 20]].concat();
    let https =
        [&[0, 1, 0][..], &[0, 1, 0, 6, 2, b'h', b'3', 2, b'h', b'2'], &[0, 3, 0, 2, 0x01, 0xbb]].concat();
    let caa = [&[0, 5][..], b"issueca.example"].concat();
    let aaaa = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let all = [
        (28, &aaaa[..], "2001:db8::1"),
        (5, &labels("Alias.Example"), "alias.example"),
        (15, &mx, "mail.example"),
        (33, &srv, "srv.example"),
        (6, &soa, "ns.example"),
        (16, b"\x05hello\x03you", "TXT 5 hello TXT 3 you"),
        (16, b"\x02\xff\n", "TXT 2 \\xff\\x0a"),
        (99, b"\x06v=spf1", "SPF 6 v=spf1"),
        (46, &rrsig, "RRSIG 1 signer.example"),
        (257, &caa, "CAA 0 issue ca.example"),
        (65, &https, "HTTPS 1 . alpn=h3,h2 port=443"),
        (43, &[0, 1, 8, 2, 0xaa], "DS 8 2"),
        (48, &[1, 1, 3, 13, 0], "DNSKEY 13"),
        (44, &[1, 1, 0xab, 0xcd], "SSHFP: abcd"),
        (4711, b"x", "<unknown type=4711>"),
    ];
    for (rtype, data, text) in all {
        let mut p = Play::udp(53);
        p.datagram(Resp, &reply(1, 0, "x.example", rtype, &[answer(rtype, 1, data)])).end();
        assert_eq!(texts(&records(&p)[0]), [text], "type {rtype}");
    }
}

#[test]
fn many_queries_wait_at_once_and_replies_come_in_any_order() {
    let mut p = Play::udp(53);
    for i in 0..30 {
        p.datagram(Orig, &query(i, &format!("host-{i}.example.org"), 1));
    }
    for i in (0..20).rev() {
        p.datagram(Resp, &reply(i, 3, &format!("host-{i}.example.org"), 1, &[]));
    }
    assert_eq!(p.heard.records.len(), 20);
    let first = &records(&p)[0];
    assert_eq!(
        (&*first.query, first.rcode, first.rtt_us, first.ra),
        ("host-19.example.org", Some(3), None, false)
    );
    p.end();
    let all = records(&p);
    assert_eq!(all.len(), 30);
    assert!(
        all[20..]
            .iter()
            .enumerate()
            .all(|(i, d)| d.rcode.is_none() && *d.query == *format!("host-{}.example.org", i + 20))
    );
}

#[test]
fn the_oldest_query_is_reported_when_too_many_wait() {
    let mut p = Play::udp(53);
    let long = format!("{0}.{0}.{0}", "a".repeat(60));
    for i in 0..100 {
        p.datagram(Orig, &query(i, &format!("{long}.n{i}"), 16));
    }
    let early = p.heard.records.len();
    assert!((50..100).contains(&early), "{early}");
    p.end();
    let ids: Vec<_> = records(&p).iter().map(|d| d.trans_id).collect();
    assert_eq!(ids, (0..100).collect::<Vec<_>>());
}

#[test]
fn a_reply_alone_speaks_for_itself() {
    let mut p = Play::udp(53);
    p.datagram(Resp, &reply(9, 0x0100, "alone.example", 1, &[answer(1, 5, &[10, 0, 0, 1])]));
    let d = &records(&p)[0];
    assert_eq!((&*d.query, d.qtype, d.rtt_us, d.rd), ("alone.example", 1, None, false));
    p.end();
    // mDNS announces without a question.
    let mut p = Play::udp(5353);
    let mut rest = labels("Printer.local");
    rest.extend_from_slice(&answer(1, 120, &[10, 0, 0, 7])[2..]);
    p.datagram(Orig, &message(0, 0x8400, [0, 1, 0, 0], &rest)).end();
    let d = &records(&p)[0];
    assert_eq!((d.service.name(), &*d.query, d.qtype, d.aa), ("mdns", "printer.local", 0, true));
    assert_eq!(p.service(), "dns");
}

#[test]
fn an_answer_of_the_asker_is_no_reply() {
    let mut p = Play::udp(5353);
    p.datagram(Orig, &query(0, "a.local", 1)).datagram(Orig, &reply(0, 0x0400, "a.local", 1, &[])).end();
    let all = records(&p);
    assert_eq!(all.len(), 2);
    assert!(all[0].rcode.is_some() && all[1].rcode.is_none());
}

#[test]
fn netbios_names_are_written_in_clear() {
    let mut encoded = alloc::vec![32];
    for b in b"WORKGROUP      \x1d" {
        encoded.extend_from_slice(&[b'A' + (b >> 4), b'A' + (b & 15)]);
    }
    encoded.extend_from_slice(&[0, 0, 32, 0, 1]);
    let mut p = Play::udp(137);
    p.datagram(Orig, &message(1, 0x0110, [1, 0, 0, 0], &encoded)).end();
    let d = &records(&p)[0];
    assert_eq!((d.service.name(), &*d.query, d.qtype), ("netbios", "WORKGROUP", 32));
}

#[test]
fn messages_over_tcp_are_found_in_any_pieces() {
    let mut stream = Vec::new();
    for i in 0..3 {
        let q = query(i, &format!("t{i}.example"), 1);
        stream.extend_from_slice(&(q.len() as u16).to_be_bytes());
        stream.extend_from_slice(&q);
    }
    for size in [1, 2, 3, 7, stream.len()] {
        let mut p = Play::tcp(53);
        stream.chunks(size).for_each(|c| _ = p.orig(c));
        let r = reply(1, 0, "t1.example", 1, &[answer(1, 9, &[1, 2, 3, 4])]);
        p.resp(&(r.len() as u16).to_be_bytes()).resp(&r).end();
        let names: Vec<_> = records(&p).iter().map(|d| format!("{} {:?}", d.query, d.rcode)).collect();
        assert_eq!(names, ["t1.example Some(0)", "t0.example None", "t2.example None"], "pieces of {size}");
        assert_eq!(p.service(), "dns");
    }
}

#[test]
fn a_long_message_is_read_at_its_head_and_skipped() {
    let answers: Vec<_> = (0..2000).map(|i| answer(1, i, &[10, 0, (i >> 8) as u8, i as u8])).collect();
    let long = reply(5, 0, "zone.example", 252, &answers);
    let after = reply(6, 0, "after.example", 1, &[]);
    let mut stream = Vec::new();
    for m in [&long, &after] {
        stream.extend_from_slice(&(m.len() as u16).to_be_bytes());
        stream.extend_from_slice(m);
    }
    let mut p = Play::tcp(53);
    stream.chunks(1000).for_each(|c| _ = p.resp(c));
    p.end();
    let all = records(&p);
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].answers.len(), super::super::record::MAX_ANSWERS);
    assert!(all[0].answers_left_out > 900);
    assert_eq!(&*all[1].query, "after.example");
}

#[test]
fn loops_and_lies_are_bounded() {
    // A pointer to itself, forward, and a chain of pointers.
    for name in [&[0xc0, 12][..], &[0xc0, 40], &[1, b'a', 0xc0, 12]] {
        assert!(message::walk(&[&[0; 12][..], name, &[0; 40]].concat(), 12, |_| {}).is_none());
    }
    let mut chain = alloc::vec![0_u8; 13];
    for i in 0..200_u16 {
        let target = if i == 0 { 12 } else { 13 + 2 * (i - 1) };
        chain.extend_from_slice(&(0xc000 | target).to_be_bytes());
    }
    assert!(message::walk(&chain, 13 + 2 * 20, |_| {}).is_some());
    assert!(message::walk(&chain, 13 + 2 * 199, |_| {}).is_none());
    // Too long a name, a label type that does not exist, counts without bytes.
    let mut long = alloc::vec![0; 12];
    (0..5).for_each(|_| long.extend_from_slice(&[&[63][..], &[b'x'; 63]].concat()));
    long.push(0);
    assert!(message::walk(&long, 12, |_| {}).is_none());
    let mut p = Play::udp(53);
    p.datagram(Orig, &query(1, "x.example", 1));
    p.datagram(Orig, &message(1, 0x0100, [0xffff; 4], b"\0"));
    p.datagram(Resp, &message(1, 0x8180, [1, 9, 0, 0], &question("x.example", 1)));
    p.end();
    assert_eq!((p.heard.records.len(), records(&p)[0].answers.len()), (1, 0));
    assert_eq!(p.heard.ledger.app_malformed, 2);
}

#[test]
fn dns_is_known_anywhere_if_it_is_beyond_doubt() {
    let q = query(77, "c2.example.net", 16);
    let mut p = Play::udp(4444);
    p.datagram(Orig, &q)
        .datagram(Resp, &reply(77, 0, "c2.example.net", 16, &[answer(16, 1, b"\x02ok")]))
        .end();
    assert_eq!((&*records(&p)[0].query, p.service()), ("c2.example.net", "dns"));
    for tail in [&b"x"[..], b"more"] {
        let mut p = Play::udp(4444);
        p.datagram(Orig, &[&q[..], tail].concat()).end();
        assert_eq!((p.heard.records.len(), p.service()), (0, ""));
    }
}
