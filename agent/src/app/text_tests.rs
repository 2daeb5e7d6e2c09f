//! Tests of the protocols made of lines: SMTP, FTP, log-ins, and those that turn into TLS.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::record::App;
use super::tests::Play;
use crate::record::Service;

/// One record a line.
fn records(play: &Play) -> Vec<String> {
    let one = |r: &super::record::AppRecord<alloc::boxed::Box<str>>| match &r.body {
        App::Smtp(s) => {
            format!("{}|{}|{}|{}|{}|{}", s.helo, s.mail_from, s.rcpt_to, s.last_reply, s.auth_failed, s.tls)
        }
        App::Ftp(f) => format!("{}|{}|{}|{}|{}", f.user, f.command, f.arg, f.reply_code, f.reply_msg),
        App::Login(l) => format!("{}|{}|{:?}", l.service.name(), l.user, l.success),
        App::Tls(t) => format!("tls|{}", t.server_name),
        other => panic!("{other:?}"),
    };
    play.heard.records.iter().map(one).collect()
}

/// Lines of both sides: `C: …` and `S: …`.
fn talk(play: &mut Play, lines: &[&str]) {
    for l in lines {
        let text = format!("{}\r\n", &l[3..]);
        if l.starts_with('C') {
            play.orig(text.as_bytes())
        } else {
            play.resp(text.as_bytes())
        };
    }
}

/// A TLS client hello with a server name, as short as one can be.
fn client_hello() -> Vec<u8> {
    let sni = b"\0\0\0\x0b\0\x09\0\0\x06a.test";
    let mut body = alloc::vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.extend_from_slice(&[0, 0, 2, 0x13, 1, 1, 0]);
    body.extend_from_slice(&(sni.len() as u16).to_be_bytes());
    body.extend_from_slice(sni);
    let mut hello = alloc::vec![1, 0];
    hello.extend_from_slice(&(body.len() as u16).to_be_bytes());
    hello.extend_from_slice(&body);
    let mut record = alloc::vec![22, 3, 1];
    record.extend_from_slice(&(hello.len() as u16).to_be_bytes());
    record.extend_from_slice(&hello);
    record
}

#[test]
fn each_message_of_an_smtp_session_is_a_record() {
    let mut p = Play::tcp(25);
    talk(
        &mut p,
        &[
            "S: 220 mx.example ESMTP",
            "C: EHLO client.example",
            "S: 250-mx.example",
            "S: 250 SIZE",
            "C: MAIL FROM:<a@example> SIZE=10",
            "S: 250 ok",
            "C: RCPT TO: <b@example>",
            "S: 250 ok",
            "C: RCPT TO:<c@example>",
            "S: 250 ok",
            "C: DATA",
            "S: 354 go on",
            "C: Subject: x",
            "C: ",
            "C: MAIL FROM:<not a command>",
            "C: ..",
            "C: .",
            "S: 250 queued as 1",
            "C: mail from:<d@example>",
            "C: rcpt to:<e@example>",
            "C: bdat 5",
        ],
    );
    p.orig(b"12345BDAT 3 LAST\r\nabcQUIT\r\n");
    talk(&mut p, &["S: 250 1", "S: 250 2", "S: 250 3", "S: 250 queued as 2", "S: 221 bye"]);
    p.end();
    assert_eq!(
        records(&p),
        [
            "client.example|a@example|b@example|250 queued as 1|false|false",
            "client.example|d@example|e@example|250 queued as 2|false|false",
        ]
    );
    assert_eq!(p.service(), "smtp");
}

#[test]
fn refused_log_ins_are_told_and_passwords_are_not_looked_at() {
    let mut p = Play::tcp(587);
    talk(&mut p, &["S: 220 mx ESMTP", "C: EHLO c", "S: 250 AUTH LOGIN"]);
    for _ in 0..2 {
        talk(
            &mut p,
            &[
                "C: AUTH LOGIN",
                "S: 334 VXNlcm5hbWU6",
                "C: dXNlcg==",
                "S: 334 UGFzc3dvcmQ6",
                "C: QUIT",
                "S: 535 5.7.8 authentication failed",
            ],
        );
    }
    talk(&mut p, &["C: AUTH XYZ", "S: 504 unknown mechanism", "C: QUIT", "S: 221 bye"]);
    p.end();
    let failed = "c|||535 5.7.8 authentication failed|true|false";
    assert_eq!(records(&p), [failed, failed, "c|||221 bye|false|false"]);
}

#[test]
fn starttls_leads_to_the_tls_parser() {
    let cases: [(u16, &[&str], &[&str], &str); 5] = [
        (
            25,
            &["S: 220 mx ESMTP", "C: EHLO c", "S: 250 STARTTLS", "C: STARTTLS", "S: 220 go"],
            &["c|||220 go|false|true"],
            "smtp",
        ),
        (21, &["S: 220 FTP", "C: AUTH TLS", "S: 234 go"], &["|AUTH|TLS|234|go"], "ftp"),
        (110, &["S: +OK ready", "C: STLS", "S: +OK go"], &[], "pop3"),
        (143, &["S: * OK ready", "C: a1 STARTTLS", "S: * note", "S: a1 OK go"], &[], "imap"),
        (6667, &["C: CAP LS 302", "S: :irc CAP * LS :tls", "C: STARTTLS", "S: :irc 670 x :go"], &[], "irc"),
    ];
    for (port, lines, before, service) in cases {
        let mut p = Play::tcp(port);
        talk(&mut p, lines);
        p.orig(&client_hello()).end();
        let mut expected: Vec<_> = before.iter().map(|s| String::from(*s)).collect();
        expected.push("tls|a.test".into());
        assert_eq!(records(&p), expected, "{service}");
        assert_eq!(p.service(), service);
    }
}

#[test]
fn databases_remote_desktops_and_proxies_lead_to_tls_too() {
    let tls = client_hello();
    let mut greeting = alloc::vec![74, 0, 0, 0, 10];
    greeting.extend_from_slice(b"8.0.36\0");
    greeting.resize(78, 1);
    let mut ssl_request = alloc::vec![32, 0, 0, 1, 0x85, 0xae, 0, 0];
    ssl_request.resize(36, 0);
    // Sent by the originator or not, and what.
    type Steps = Vec<(bool, Vec<u8>)>;
    let steps: [(&str, u16, Steps); 5] = [
        ("mysql", 3306, alloc::vec![(false, greeting), (true, ssl_request)]),
        (
            "postgresql",
            5432,
            alloc::vec![(true, alloc::vec![0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]), (false, b"S".to_vec())],
        ),
        (
            "rdp",
            3389,
            alloc::vec![
                (true, b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0".to_vec()),
                (false, b"\x03\0\0\x13\x0e\xd0\0\0\x12\x34\0\x02\0\x08\0\x01\0\0\0".to_vec()),
            ],
        ),
        (
            "socks",
            1080,
            alloc::vec![
                (true, b"\x05\x01\0".to_vec()),
                (false, b"\x05\0".to_vec()),
                (true, b"\x05\x01\0\x03\x06a.test\x01\xbb".to_vec()),
                (false, b"\x05\0\0\x01\x01\x02\x03\x04\0\x50".to_vec()),
            ],
        ),
        (
            "xmpp",
            5222,
            alloc::vec![
                (true, b"<?xml version='1.0'?><stream:stream xmlns='jabber:client'>".to_vec()),
                (false, b"<?xml version='1.0'?><stream:stream><stream:features/>".to_vec()),
                (true, b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>".to_vec()),
                (false, b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>".to_vec()),
            ],
        ),
    ];
    for (service, port, steps) in steps {
        for whole in [true, false] {
            let mut p = Play::tcp(port);
            for (orig, bytes) in &steps {
                // In one segment, and byte by byte.
                for piece in bytes.chunks(if whole { bytes.len() } else { 1 }) {
                    if *orig {
                        p.orig(piece)
                    } else {
                        p.resp(piece)
                    };
                }
            }
            p.orig(&tls).end();
            assert_eq!(
                (records(&p), p.service()),
                (alloc::vec!["tls|a.test".into()], service),
                "whole {whole}"
            );
        }
    }
}

#[test]
fn ftp_commands_have_their_replies_and_no_password() {
    let mut p = Play::tcp(21);
    talk(
        &mut p,
        &[
            "S: 220-welcome",
            "S: 220 ready",
            "C: USER bob",
            "S: 331 password please",
            "C: PASS s3cret",
            "S: 230-hello",
            "S:     bob",
            "S: 230 logged in",
            "C: SYST",
            "S: 215 UNIX",
            "C: PASV",
            "S: 227 Entering Passive Mode (10,0,0,2,19,136).",
            "C: RETR tool.exe",
            "S: 150 opening",
            "S: 226 done",
            "C: QUIT",
            "S: 221 bye",
        ],
    );
    let expected = [
        "bob|USER|bob|331|password please",
        "bob|PASS||230|logged in",
        "bob|PASV||227|Entering Passive Mode (10,0,0,2,19,136).",
        "bob|RETR|tool.exe|226|done",
    ];
    assert_eq!((records(&p), p.service()), (expected.map(String::from).to_vec(), "ftp"));
    // The announced connection is known for what it is, once.
    p.end();
    for service in ["ftp-data", ""] {
        p.handle = super::Handle::default();
        p.ctx.tuple.resp_port = 5000;
        p.at(super::Direction::Resp, Some(0), b"\x01\x02\x03\x04\x99", 5);
        assert_eq!(p.service(), service);
    }
}

#[test]
fn telnet_log_ins_succeed_fail_and_stay_open() {
    let mut p = Play::tcp(23);
    p.resp(b"\xff\xfd\x18\xff\xfb\x01\r\nrouter login: ").orig(b"\xff\xfc\x18");
    for c in b"adx\x7fmin" {
        p.orig(&[*c]);
    }
    p.orig(b"\r\0")
        .resp(b"\r\nPassword: ")
        .orig(b"hunter2\r\n")
        .resp(b"\r\nLogin incorrect\r\nrouter login: ");
    p.orig(b"root\r\n").resp(b"Password: ").orig(b"toor\r\n").resp(b"\r\nLast login: Mon\r\n# ");
    assert!(p.handle.done);
    p.end();
    assert_eq!(records(&p), ["telnet|admin|Some(false)", "telnet|root|Some(true)"]);
    assert_eq!(p.service(), "telnet");
    let mut p = Play::tcp(2323);
    p.resp(b"\xff\xfb\x01login: ").orig(b"guest\r\n").end();
    assert_eq!(records(&p), ["telnet|guest|None"]);
}

#[test]
fn rlogin_and_rsh_name_the_user() {
    let mut p = Play::tcp(513);
    p.orig(b"\0local\0remote\0xterm/38400\0").resp(b"\0").resp(b"Last login: x\r\n$ ").end();
    assert_eq!((records(&p), p.service()), (alloc::vec!["rlogin|remote|Some(true)".into()], "rlogin"));
    for (answer, outcome) in [(&b"\0"[..], true), (b"\x01Permission denied.\n", false)] {
        let mut p = Play::tcp(514);
        p.orig(b"1022\0local\0remote\0id\0").resp(answer).end();
        assert_eq!((records(&p), p.service()), (alloc::vec![format!("rsh|remote|Some({outcome})")], "rsh"));
    }
}

#[test]
fn endless_lines_end_nothing_and_fill_nothing() {
    let long = "x".repeat(100_000);
    let mut p = Play::tcp(25);
    talk(
        &mut p,
        &["S: 220 mx ESMTP", &format!("C: EHLO {long}"), &format!("S: 250 {long}"), "C: QUIT", "S: 221 bye"],
    );
    p.end();
    assert_eq!(records(&p).len(), 1);
    let mut p = Play::tcp(21);
    talk(
        &mut p,
        &["S: 220 FTP", &format!("C: USER {long}"), &format!("S: 331 {long}"), "C: RETR f", "S: 550 no"],
    );
    p.end();
    assert_eq!(records(&p).len(), 2);
    assert_eq!(p.handle.service, Service::FTP);
}
