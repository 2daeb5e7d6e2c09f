use std::io::Cursor;

use slips_agent::app::record::{AnswerData, App};
use slips_agent::record::{ConnState, Service, proto};

use super::*;
use crate::input::testing::{Dice, Outcome, public_data, read};
use crate::input::{NoteBody, named_uid};

fn text(content: &str) -> Result<Outcome, Error> {
    let stream =
        Stream::over("eve.json".to_owned(), Box::new(Cursor::new(content.as_bytes().to_vec())), None)
            .unwrap();
    Suricata::over(stream, None).map(|mut s| read(&mut s))
}

/// An event between the usual two ends; `rest` follows the common fields.
fn event(second: u32, kind: &str, rest: &str) -> String {
    format!(
        "{{\"timestamp\":\"2021-06-06T15:{:02}:{:02}.500000+0200\",\"flow_id\":77,\"event_type\":\"{kind}\",\"src_ip\":\"10.0.0.5\",\"src_port\":50000,\"dest_ip\":\"192.0.2.1\",\"dest_port\":53,\"proto\":\"UDP\",{rest}}}\n",
        second / 60,
        second % 60
    )
}

fn dns(outcome: &Outcome) -> Vec<String> {
    outcome
        .kept
        .apps()
        .iter()
        .map(|a| {
            let App::Dns(d) = &a.body else { panic!("{a:?}") };
            let answers: Vec<String> = d
                .answers
                .iter()
                .map(|x| match &x.data {
                    AnswerData::Addr(addr) => format!("{addr}"),
                    AnswerData::Name(t) | AnswerData::Text(t) => t.to_string(),
                })
                .collect();
            format!("{} {} {:?} {:?} {}", d.query, d.qtype, d.rcode, d.rtt_us, answers.join("|"))
        })
        .collect()
}

#[test]
fn a_flow_with_its_flags() {
    let flow = r#"{"timestamp":"2021-06-06T15:57:37.272281+0200","flow_id":2232403389523415,"event_type":"flow","vlan":[7],"src_ip":"91.238.203.56","src_port":48938,"dest_ip":"192.168.1.129","dest_port":445,"proto":"TCP","app_proto":"tls","flow":{"pkts_toserver":2,"pkts_toclient":3,"bytes_toserver":120,"bytes_toclient":180,"start":"2021-06-06T17:34:31.140759+0200","end":"2021-06-06T17:34:31.141012+0200","age":0,"state":"closed","reason":"timeout","alerted":false},"tcp":{"tcp_flags":"16","tcp_flags_ts":"02","tcp_flags_tc":"14","syn":true,"rst":true,"ack":true,"state":"closed"},"ether":{"dest_macs":["00:0c:29:66:c7:82"],"src_macs":["00:90:0b:7a:15:eb"]},"host":"stratosphere.org"}"#;
    let got = text(flow).unwrap();
    let flow = got.kept.flows()[0];
    assert_eq!(
        (flow.start_us, flow.duration_us, flow.emitted_us),
        (1_622_993_671_140_759, 253, 1_622_993_671_141_012)
    );
    assert_eq!((flow.state, flow.service, flow.vlan), (ConnState::Rej, Service::SSL, Some(7)));
    assert_eq!((flow.orig.pkts, flow.orig.ip_bytes, flow.resp.pkts, flow.resp.ip_bytes), (2, 120, 3, 180));
    assert_eq!(flow.uid, named_uid(b"2232403389523415"));
    assert_eq!(flow.resp_mac.unwrap().to_string(), "00:0c:29:66:c7:82");
}

#[test]
fn dns_of_all_versions_is_one_record_a_transaction() {
    let expected = ["example.com 1 Some(0) Some(1000000) a.example.net|192.0.2.7|TXT 5 hello"];
    let question =
        "\"dns\":{\"type\":\"query\",\"id\":5,\"rrname\":\"Example.com\",\"rrtype\":\"A\",\"tx_id\":0}";
    let piece = |rrtype: &str, rdata: &str| {
        event(
            2,
            "dns",
            &format!(
                "\"dns\":{{\"type\":\"answer\",\"id\":5,\"rcode\":\"NOERROR\",\"rrname\":\"example.com\",\"rrtype\":\"{rrtype}\",\"ttl\":5,\"rdata\":\"{rdata}\"}}"
            ),
        )
    };
    let one = event(1, "dns", question)
        + &piece("CNAME", "a.example.net")
        + &piece("A", "192.0.2.7")
        + &piece("TXT", "hello");
    assert_eq!(dns(&text(&one).unwrap()), expected);
    let answers = r#"[{"rrname":"example.com","rrtype":"CNAME","ttl":5,"rdata":"a.example.net"},{"rrname":"a.example.net","rrtype":"A","ttl":5,"rdata":"192.0.2.7"},{"rrname":"x","rrtype":"TXT","ttl":5,"rdata":"hello"}]"#;
    let two = event(1, "dns", question)
        + &event(
            2,
            "dns",
            &format!(
                "\"dns\":{{\"version\":2,\"type\":\"answer\",\"id\":5,\"flags\":\"8180\",\"qr\":true,\"rd\":true,\"ra\":true,\"rrname\":\"example.com\",\"rrtype\":\"A\",\"rcode\":\"NOERROR\",\"answers\":{answers}}}"
            ),
        );
    let got = text(&two).unwrap();
    assert_eq!(dns(&got), expected);
    let App::Dns(record) = &got.kept.apps()[0].body else { panic!() };
    assert!(record.rd && record.ra && record.answers[0].ttl == 5);
    let three = event(
        1,
        "dns",
        "\"dns\":{\"version\":3,\"type\":\"request\",\"id\":5,\"queries\":[{\"rrname\":\"example.com\",\"rrtype\":\"A\"}]}",
    ) + &event(
        2,
        "dns",
        &format!(
            "\"dns\":{{\"version\":3,\"type\":\"response\",\"id\":5,\"rcode\":\"NOERROR\",\"queries\":[{{\"rrname\":\"example.com\",\"rrtype\":\"A\"}}],\"answers\":{answers}}}"
        ),
    );
    assert_eq!(dns(&text(&three).unwrap()), expected);
    // Grouped answers know neither order nor TTL; an answer without question, one that is refused, and none at all.
    let rest = event(
        1,
        "dns",
        "\"dns\":{\"version\":2,\"type\":\"answer\",\"id\":9,\"rrname\":\"g\",\"rrtype\":\"A\",\"rcode\":\"NOERROR\",\"grouped\":{\"A\":[\"1.2.3.4\"],\"CNAME\":[\"c\"]}}",
    ) + &event(
        2,
        "dns",
        "\"dns\":{\"version\":2,\"type\":\"answer\",\"id\":10,\"rrname\":\"n\",\"rrtype\":\"AAAA\",\"rcode\":\"NXDOMAIN\"}",
    ) + &event(
        3,
        "dns",
        "\"dns\":{\"version\":2,\"type\":\"query\",\"id\":11,\"rrname\":\"q\",\"rrtype\":\"A\"}",
    ) + &event(30, "anomaly", "\"anomaly\":{\"type\":\"decode\",\"event\":\"decoder.x\"}");
    let got = text(&rest).unwrap();
    assert_eq!(dns(&got), ["g 1 Some(0) None 1.2.3.4|c", "n 28 Some(3) None ", "q 1 None None "]);
    assert!(
        matches!(&got.kept.0[3], Record::Note(n) if matches!(&n.body, NoteBody::Weird(w) if &*w.name == "decoder.x"))
    );
}

#[test]
fn an_answer_written_from_the_server_is_turned() {
    let answer =
        event(2, "dns", "\"dns\":{\"type\":\"answer\",\"id\":5,\"rcode\":\"NXDOMAIN\",\"rrname\":\"x\"}")
            .replace("10.0.0.5", "A")
            .replace("192.0.2.1", "10.0.0.5")
            .replace("\"A\"", "\"192.0.2.1\"")
            .replace("\"src_port\":50000", "\"src_port\":53")
            .replace("\"dest_port\":53", "\"dest_port\":50000");
    let got = text(&answer).unwrap();
    let tuple = got.kept.apps()[0].tuple;
    assert_eq!(
        (tuple.orig_addr.to_string(), tuple.orig_port, tuple.resp_port),
        ("10.0.0.5".to_owned(), 50000, 53)
    );
}

#[test]
fn application_events() {
    let all = event(
        1,
        "tls",
        r#""tls":{"subject":"C=US, O=Evil, Inc., CN=x","issuerdn":"C=US, O=Evil, Inc., CN=x","fingerprint":"19:d7:90:9b:94:40:47:10:c8:4d:0f:e1:85:86:d5:0f:1c:15:9e:f4","sni":"Api.ipify.org","version":"TLS 1.2","notbefore":"2022-02-07T00:00:00","notafter":"2023-03-10T23:59:59","ja3":{"hash":"3b5074b1b5d032e5620f69f9f700ff0e","string":"771,1"},"ja3s":{"hash":"8ed408107f89c53261bf74e58517bc76"},"ja4":"t13d1516h2_8daaf6152771_b186095e22b6"}"#,
    ) + &event(
        2,
        "http",
        r#""tx_id":1,"http":{"hostname":"savory.com.bd:8080","url":"/sav/\"x\".png","http_user_agent":"curl","http_content_type":"image/png; charset=x","http_refer":"r","http_method":"GET","protocol":"HTTP/1.1","status":200,"length":664576}"#,
    ) + &event(
        3,
        "ssh",
        r#""ssh":{"client":{"proto_version":"2.0","software_version":"OpenSSH_8.2","hassh":{"hash":"ec7378c1a92f5a8dde7e8b7a1ddf33d1","string":"x"}},"server":{"proto_version":"2.0","software_version":"dropbear"}}"#,
    ) + &event(
        4,
        "smtp",
        r#""smtp":{"helo":"PC","mail_from":"<a@x>","rcpt_to":["<b@y>","<c@z>"]}"#,
    ) + &event(
        5,
        "ftp",
        r#""ftp":{"command":"PASS","command_data":"secret","completion_code":["230"],"reply":["ok"]}"#,
    ) + &event(
        6,
        "dhcp",
        r#""dhcp":{"type":"reply","id":1,"client_mac":"08:00:27:7f:09:e1","assigned_ip":"10.0.2.15","client_ip":"0.0.0.0","dhcp_type":"ack","lease_time":86400,"routers":["10.0.2.2"],"hostname":"pc"}"#,
    ) + &event(
        7,
        "quic",
        r#""quic":{"version":"1","sni":"www.example.com","ja4":"q13d0312h3_55b375c5d22e_06cda9e17597"}"#,
    ) + &event(8, "quic", r#""quic":{"version":"1"}"#)
        + &event(
            9,
            "fileinfo",
            r#""app_proto":"http","http":{"http_content_type":"text/html"},"fileinfo":{"filename":"/ast","state":"CLOSED","stored":false,"size":38370,"md5":"df7c845e4eadd7bac6cbfe2087bbd482"}"#,
        )
        + &event(10, "mqtt", r#""mqtt":{"subscribe":{"qos":1,"topics":[{"topic":"a/b","qos":1}]}}"#)
        + &event(11, "stats", r#""stats":{"capture":{"kernel_packets":10,"kernel_drops":3}}"#)
        + &event(12, "stats", r#""stats":{"capture":{"kernel_packets":20,"kernel_drops":5}}"#)
        + &event(13, "smb", r#""smb":{"id":1}"#);
    let got = text(&all).unwrap();
    assert_eq!((got.totals.bad_records, got.totals.losses["kernel_dropped"]), (0, 5), "{:?}", got.said);
    let apps = got.kept.apps();
    let App::Tls(tls) = &apps[0].body else { panic!() };
    assert_eq!(
        (tls.version, &*tls.server_name, tls.established, &*tls.ja4),
        (0x0303, "api.ipify.org", true, "t13d1516h2_8daaf6152771_b186095e22b6")
    );
    let cert = &tls.certs[0];
    assert_eq!(
        (&*cert.subject, cert.self_signed, cert.sha1[0], cert.not_before_s),
        ("CN=x,O=Evil\\, Inc.,C=US", true, 0x19, 1_644_192_000)
    );
    assert_eq!((tls.ja3.unwrap()[0], tls.ja3s.unwrap()[0]), (0x3b, 0x8e));
    let App::Http(http) = &apps[1].body else { panic!() };
    assert_eq!(
        (http.depth, &*http.host, &*http.uri, &*http.version, http.status_code, &*http.resp_mime),
        (2, "savory.com.bd", "/sav/\"x\".png", "1.1", 200, "image/png")
    );
    let App::Ssh(ssh) = &apps[2].body else { panic!() };
    assert_eq!(
        (&*ssh.client, &*ssh.server, ssh.hassh.unwrap()[0], ssh.hassh_server),
        ("SSH-2.0-OpenSSH_8.2", "SSH-2.0-dropbear", 0xec, None)
    );
    let App::Smtp(smtp) = &apps[3].body else { panic!() };
    assert_eq!((&*smtp.mail_from, &*smtp.rcpt_to), ("a@x", "b@y"));
    let App::Ftp(ftp) = &apps[4].body else { panic!() };
    assert_eq!((&*ftp.command, &*ftp.arg, ftp.reply_code), ("PASS", "", 230));
    let App::Dhcp(dhcp) = &apps[5].body else { panic!() };
    assert_eq!(
        (dhcp.message, &*dhcp.host_name, dhcp.router.unwrap().to_string(), dhcp.lease_s),
        (5, "pc", "10.0.2.2".to_owned(), 86400)
    );
    assert!(matches!(&apps[6].body, App::Tls(t) if t.quic && &*t.server_name == "www.example.com"));
    assert_eq!(apps.len(), 7);
    let notes = got.kept.notes();
    let NoteBody::File(file) = &notes[0].body else { panic!() };
    assert_eq!(
        (&*file.mime, file.bytes, file.md5.unwrap()[0], &*file.source),
        ("text/html", 38370, 0xdf, "HTTP")
    );
    let NoteBody::Mqtt(mqtt) = &notes[1].body else { panic!() };
    assert_eq!((&*mqtt.message, &*mqtt.topic), ("subscribe", "a/b"));
}

#[test]
fn an_alert_knows_its_sender_and_its_flow() {
    let alert = event(
        1,
        "alert",
        r#""direction":"to_client","alert":{"action":"blocked","gid":1,"signature_id":2403388,"rev":66418,"signature":"ET CINS","category":"Misc Attack","severity":2},"flow":{"pkts_toserver":1,"src_ip":"192.0.2.1","dest_ip":"10.0.0.5","src_port":53,"dest_port":50000}"#,
    );
    let got = text(&alert).unwrap();
    let note = got.kept.notes()[0];
    let NoteBody::Signature(signature) = &note.body else { panic!() };
    assert_eq!(
        (signature.src.to_string(), signature.dst_port, signature.id, signature.severity, signature.blocked),
        ("10.0.0.5".to_owned(), Some(53), 2_403_388, 2, true)
    );
    assert_eq!(
        (note.tuple.unwrap().orig_addr.to_string(), note.tuple.unwrap().orig_port),
        ("192.0.2.1".to_owned(), 53)
    );
}

#[test]
fn bad_lines_and_wrong_files() {
    let good = event(1, "anomaly", "\"anomaly\":{\"type\":\"decode\",\"event\":\"e\"}");
    let cut = &good[..good.len() - 20];
    let wrong = good.replace("10.0.0.5", "10.0.0.x");
    let got = text(&format!("{good}{good}{good}{wrong}{{\"timestamp\":1}}\n{cut}")).unwrap();
    assert_eq!((got.kept.0.len(), got.totals.bad_records), (3, 3));
    assert_eq!(
        got.said[0],
        format!(
            "eve.json:4:{}: src_ip: found \"10.0.0.x\",\"src_port\":50000,\"dest_ip\":\"19…\", expected an IPv4 or IPv6 address",
            wrong.find("10.0.0.x").unwrap() + 1
        )
    );
    assert!(got.said[1].starts_with("eve.json:5:1: event_type: found"), "{:?}", got.said);
    assert!(
        got.said[2].starts_with(&format!(
            "eve.json:6:{}: found the end of the line, expected the rest of the record",
            cut.len() + 1
        )),
        "{:?}",
        got.said
    );
    let refused = |content: &str| text(content).err().unwrap().to_string();
    assert_eq!(refused("\n"), "eve.json: is empty, events of Suricata (eve.json) were expected");
    assert!(
        refused(&format!("{good}x\ny\n")).starts_with(
            "eve.json: 2 of the first 3 lines are no events of Suricata; first at eve.json:2:1:"
        )
    );
}

#[test]
fn public_files_are_read_whole_and_in_order() {
    let Some(data) = public_data() else { return };
    let mut source = Suricata::open(&data.join("slips/test6-malicious.suricata.json")).unwrap();
    let got = read(&mut source);
    assert_eq!(got.totals.bad_records, 0, "{:?}", got.said);
    let notes = |f: fn(&NoteBody) -> bool| got.kept.notes().iter().filter(|n| f(&n.body)).count();
    assert_eq!(got.kept.flows().len(), 3512);
    assert_eq!(notes(|b| matches!(b, NoteBody::Signature(_))), 745);
    assert_eq!(notes(|b| matches!(b, NoteBody::Weird(_))), 3);
    assert_eq!(notes(|b| matches!(b, NoteBody::File(_))), 3);
    let apps = |f: fn(&App<Text>) -> bool| got.kept.apps().iter().filter(|a| f(&a.body)).count();
    assert_eq!((apps(|b| matches!(b, App::Http(_))), apps(|b| matches!(b, App::Tls(_)))), (56, 1));
    // Each flow stands where its traffic was, although all of them end the file.
    let ends: Vec<u64> = got.kept.flows().iter().map(|f| f.emitted_us).collect();
    assert!(ends.is_sorted());
    let scanned: std::collections::BTreeSet<u16> = got
        .kept
        .flows()
        .iter()
        .filter(|f| {
            f.tuple.orig_addr.to_string() == "193.46.255.92"
                && f.tuple.proto == proto::TCP
                && !f.established()
        })
        .map(|f| f.tuple.resp_port)
        .collect();
    assert!(scanned.len() > 400, "{}", scanned.len());
    let stream = Stream::open(&data.join("formats/netflowlabeler/suricata.json")).unwrap();
    assert_eq!(read(&mut Suricata::over(stream, None).unwrap()).totals.bad_records, 0);
    for folder in std::fs::read_dir(data.join("formats/reference")).unwrap().flatten() {
        let path = folder.path().join("eve.json");
        if path.is_file() {
            let got = read(&mut Suricata::open(&path).unwrap());
            assert_eq!(got.totals.bad_records, 0, "{}: {:?}", path.display(), got.said);
            assert!(!got.kept.0.is_empty());
        }
    }
}

#[test]
fn no_bytes_can_harm() {
    let seeds = [
        event(
            1,
            "tls",
            r#""tls":{"subject":"C=US, CN=x","issuerdn":"C=US","sni":"a\u00e9","version":"TLS 1.2","ja3":{"hash":"3b5074b1b5d032e5620f69f9f700ff0e"}}"#,
        ),
        event(
            1,
            "dns",
            r#""dns":{"version":3,"type":"response","id":5,"queries":[{"rrname":"x","rrtype":"A"}],"answers":[{"rrname":"x","rrtype":"A","ttl":5,"rdata":"1.2.3.4"}]}"#,
        ) + &event(2, "dns", r#""dns":{"type":"query","id":5,"rrname":"x","rrtype":"A"}"#),
        event(1, "alert", r#""alert":{"signature_id":1,"severity":2},"flow":{"src_ip":"192.0.2.1"}"#)
            + &event(3, "mqtt", r#""mqtt":{"subscribe":{"topics":[{"topic":"a/b"}]}}"#),
    ];
    let mut dice = Dice(0x5e_ed);
    for seed in &seeds {
        for _ in 0..2000 {
            let mut bytes = seed.clone().into_bytes();
            dice.damage(&mut bytes);
            let stream = Stream::over("x".to_owned(), Box::new(Cursor::new(bytes)), None).unwrap();
            if let Ok(mut source) = Suricata::over(stream, None) {
                let _ = read(&mut source);
            }
        }
    }
}

#[test]
fn waiting_questions_are_bounded() {
    let mut transactions = Transactions::default();
    let mut forms = Forms::default();
    let mut out = 0u64;
    for n in 0..200_000u64 {
        let line = event(
            1,
            "dns",
            &format!(
                "\"dns\":{{\"type\":\"query\",\"id\":{},\"rrname\":\"x\",\"rrtype\":\"A\"}}",
                n % 65_536
            ),
        )
        .replace("\"flow_id\":77", &format!("\"flow_id\":{n}"));
        let (_, Said::Dns(message)) = event::convert(line.trim().as_bytes(), &mut forms).unwrap() else {
            panic!()
        };
        transactions.take(message, &mut |_| out += 1);
    }
    assert_eq!(out, 200_000 - 65_536);
    transactions.finish(&mut |_| out += 1);
    assert_eq!(out, 200_000);
}
