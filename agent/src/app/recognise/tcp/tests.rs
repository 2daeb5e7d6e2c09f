use crate::app::Direction;
use crate::app::tests::Play;

/// Service of a flow with these first bytes of originator and responder.
fn service(port: u16, orig: &[u8], resp: &[u8]) -> &'static str {
    let mut play = Play::tcp(port);
    if !orig.is_empty() {
        play.orig(orig);
    }
    if !resp.is_empty() {
        play.resp(resp);
    }
    play.end();
    let whole = play.service();
    // Byte by byte gives the same.
    let mut play = Play::tcp(port);
    for (dir, bytes) in [(Direction::Orig, orig), (Direction::Resp, resp)] {
        for (i, b) in bytes.iter().enumerate() {
            play.at(dir, Some(i as u64), &[*b], 1);
        }
    }
    play.end();
    assert_eq!(play.service(), whole, "in pieces");
    whole
}

#[test]
fn signatures_name_services_on_any_port() {
    let cases: [(&str, &[u8], &[u8]); 18] = [
        ("smb", b"\0\0\0\x2f\xffSMBr\0\0\0\0", b"\0\0\0\x2f\xffSMBr"),
        ("smb", b"\0\0\0\x90\xfeSMB@\0", b""),
        ("mqtt", b"\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04abcd", b"\x20\x02\0\0"),
        ("mqtt", b"\x10\x1c\0\x06MQIsdp\x03\x02\0\x3c\0\x0eabcdefghijklmn", b""),
        ("ldap", b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\0\x80\0", b""),
        ("krb", b"\0\0\0\x10\x6a\x0e\x30\x0c\xa1\x03\x02\x01\x05\xa2\x03\x02\x01\x0a", b""),
        ("postgresql", b"\0\0\0\x11\0\x03\0\0user\0bob\0\0", b"R"),
        ("dce_rpc", b"\x05\0\x0b\x03\x10\0\0\0\x48\0\0\0\x01\0\0\0", b""),
        ("dnp3", b"\x05\x64\x05\xc9\x01\0\0\0", b""),
        ("bittorrent", b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0", b""),
        ("rfb", b"", b"RFB 003.008\n"),
        ("rtsp", b"OPTIONS rtsp://c/ RTSP/1.0\r\nCSeq: 1\r\n\r\n", b"RTSP/1.0 200 OK\r\n"),
        ("sip", b"REGISTER sip:a.example SIP/2.0\r\n\r\n", b""),
        ("redis", b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"),
        ("modbus", b"\0\x01\0\0\0\x06\x01\x03\0\0\0\x0a", b"\0\x01\0\0\0\x05\x01\x03\x02\0\0"),
        (
            "irc",
            b"NICK bot\r\nUSER bot 0 * :bot\r\n",
            b":irc.example NOTICE * :hi\r\n:irc.example 001 bot :hi\r\n",
        ),
        ("pop3", b"", b"+OK ready <1@x>\r\n"),
        ("imap", b"", b"* OK IMAP4rev1\r\n"),
    ];
    for (name, orig, resp) in cases {
        assert_eq!(service(4711, orig, resp), name, "{}", orig.escape_ascii());
    }
}

#[test]
fn what_only_looks_similar_stays_unknown() {
    for (orig, resp) in [
        (&b"\0\0\0\x2f\xffSMX"[..], &b""[..]),
        (b"\x05\x01\0", b"\x04\0"),
        (b"*1\r\n$4\r\nPING\r\n", b"hello"),
        (b"\0\x01\0\0\0\x06\x01\x03\0\0\0\x0a", b"\0\x02\0\0\0\x05\x01\x03\x02\0\0"),
        (b"USER x\r\n", b"999 what\r\n"),
        (b"\x16\x03\x01\0\x05hello", b""),
        (b"\x30\x84\xff\xff\xff\xff\x02\x01\x01\x60", b""),
        (b"", b"220 hello, who are you?\r\n"),
        (b"\xff\x01\x02", b""),
        (b"AAAA", b""),
    ] {
        assert_eq!(service(4711, orig, resp), "", "{}", orig.escape_ascii());
    }
    // These count on their port only.
    assert_eq!(service(514, b"1022\0a\0b\0c\0", b"\0"), "rsh");
    assert_eq!(service(4711, b"1022\0a\0b\0c\0", b"\0"), "");
}

#[test]
fn a_keep_alive_probe_before_the_first_request_does_not_hide_it() {
    assert_eq!(service(80, b"\0GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 204 x\r\n\r\n"), "http");
}
