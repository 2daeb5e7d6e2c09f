use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::super::Direction::{Orig, Resp};
use super::super::record::{App, Http};
use super::super::tests::Play;

/// The records of one connection, written short.
fn records(play: &Play) -> Vec<Http<Box<str>>> {
    play.heard
        .records
        .iter()
        .map(|r| match &r.body {
            App::Http(h) => h.clone(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn short(play: &Play) -> Vec<String> {
    let one = |h: &Http<Box<str>>| {
        format!(
            "{} {} {} {}>{} {}<{} {}",
            h.depth,
            h.method,
            h.host,
            h.uri,
            h.request_body_len,
            h.status_code,
            h.response_body_len,
            h.resp_mime
        )
    };
    records(play).iter().map(one).collect()
}

fn play(orig: &[u8], resp: &[u8]) -> Play {
    let mut play = Play::tcp(80);
    play.orig(orig).resp(resp).end();
    // The same byte by byte must say the same.
    let mut bytes = Play::tcp(80);
    orig.iter().for_each(|b| _ = bytes.orig(&[*b]));
    resp.iter().for_each(|b| _ = bytes.resp(&[*b]));
    bytes.end();
    assert_eq!(short(&bytes), short(&play));
    assert_eq!(bytes.service(), play.service());
    play
}

#[test]
fn every_field_of_a_request_and_its_response() {
    let play = play(
        b"POST /p?q=%41 HTTP/1.1\r\nHost: www.example:81\r\nUser-Agent: agent/1\r\nReferer: http://r.example/\r\n\
          Authorization: Basic YWxpY2U6c2VjcmV0\r\nContent-Length: 4\r\n\r\nbody",
        b"HTTP/1.0 201 Created at last\r\nContent-Type: Image/SVG+xml; charset=utf-8\r\nContent-Length: 3\r\n\r\nabc",
    );
    let all = records(&play);
    let h = &all[0];
    assert_eq!((&*h.method, &*h.host, &*h.uri), ("POST", "www.example", "/p?q=A"));
    assert_eq!((&*h.user_agent, &*h.referrer, &*h.username), ("agent/1", "http://r.example/", "alice"));
    assert_eq!((h.request_body_len, h.response_body_len, h.status_code), (4, 3, 201));
    assert_eq!((&*h.version, &*h.status_msg, &*h.resp_mime), ("1.0", "Created at last", "image/svg+xml"));
    assert_eq!((h.depth, all.len(), play.service()), (1, 1, "http"));
    assert!(!format!("{:?}", play.heard.records).contains("secret"));
}

#[test]
fn pipelined_requests_find_their_responses() {
    let play = play(
        b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: b\r\n\r\nGET /4 HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nMZHTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n\
          HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\nHTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n\
          3;x=1\r\nabc\r\n0A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
    );
    assert_eq!(
        short(&play),
        [
            "1 GET a /1>0 200<2 application/x-dosexec",
            "2 HEAD a /2>0 200<0 ",
            "3 GET b /3>0 304<0 ",
            "4 GET  /4>0 404<13 text/plain",
        ]
    );
}

#[test]
fn interim_answers_do_not_end_a_request() {
    let mut p = Play::tcp(80);
    p.orig(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    p.resp(b"HTTP/1.1 100 Continue\r\n\r\n").orig(b"abc");
    p.resp(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n").end();
    assert_eq!(short(&p), ["1 POST  />3 204<0 "]);
}

#[test]
fn a_body_without_length_ends_with_the_connection() {
    let play = play(b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n<html>until the end");
    assert_eq!(short(&play), ["1 GET  />0 200<19 text/html"]);
    assert_eq!(play.heard.records[0].ts_us, 1_001_000);
    assert!(play.heard.records[0].emitted_us > 1_001_000);
}

#[test]
fn version_0_9_has_no_headers_at_all() {
    let play = play(b"GET /old\r\n", b"<html>hello");
    let h = &records(&play)[0];
    assert_eq!((&*h.version, h.status_code, h.response_body_len, &*h.uri), ("0.9", 0, 11, "/old"));
    assert_eq!(play.service(), "http");
}

#[test]
fn smuggled_requests_are_seen_as_a_server_sees_them() {
    // Both length and chunks: chunks win (RFC 9112, 6.3). Folded, odd case and blanks around do not hide them.
    for te in
        ["Transfer-Encoding: chunked", "transfer-encoding:\r\n chunked", "Transfer-Encoding : gzip, CHUNKED"]
    {
        let orig = format!(
            "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 44\r\n{te}\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n"
        );
        let play = play(orig.as_bytes(), b"");
        assert_eq!(short(&play), ["1 POST t />0 0<0 ", "2 GET t /smuggled>0 0<0 "], "{te}");
        assert_eq!(play.service(), "http", "requests into the void are HTTP as well");
    }
    // A length with leading zeros is one, a length that is no number is none.
    let p = play(
        b"POST / HTTP/1.1\r\nContent-Length: 0005\r\n\r\nGET /POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"",
    );
    assert_eq!(short(&p), ["1 POST  />5 0<0 ", "2 POST  />0 0<0 "]);
    assert_eq!(p.heard.ledger.app_malformed, 1);
}

#[test]
fn hostile_lengths_are_bounded() {
    let p = play(
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999999\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nyyy",
    );
    assert_eq!(short(&p), ["1 POST  />2 200<3 text/plain"]);
    let p = play(
        b"GET / HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n",
    );
    assert_eq!(short(&p), ["1 GET  />0 200<0 "]);
    assert_eq!(p.heard.ledger.app_malformed, 1);
}

#[test]
fn endless_lines_are_cut_and_passed_over() {
    let long = "a".repeat(10_000);
    let orig = format!("GET /{long} HTTP/1.1\r\nCookie: {long}\r\nUser-Agent: {long}\r\nHost: h\r\n\r\n");
    let p = play(orig.as_bytes(), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let h = &records(&p)[0];
    assert_eq!((h.uri.len(), h.user_agent.len(), &*h.host), (512, 512, "h"));
    assert_eq!(h.status_code, 200);
}

#[test]
fn more_requests_than_can_be_remembered_are_reported_early() {
    let mut p = Play::tcp(80);
    let agent = "u".repeat(400);
    for i in 0..40 {
        p.orig(format!("GET /{i} HTTP/1.1\r\nUser-Agent: {agent}\r\n\r\n").as_bytes());
    }
    for _ in 0..40 {
        p.resp(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
    p.end();
    let all = records(&p);
    assert_eq!(all.len(), 40);
    assert!(all.iter().enumerate().all(|(i, h)| usize::from(h.depth) == i + 1 && *h.uri == *format!("/{i}")));
    let early = all.iter().filter(|h| h.status_code == 0).count();
    assert!(early > 20 && all[early..].iter().all(|h| h.status_code == 200), "{early}");
}

#[test]
fn what_follows_connect_is_another_protocol() {
    let mut p = Play::tcp(8080);
    p.orig(b"CONNECT a.example:22 HTTP/1.1\r\n\r\n").resp(b"HTTP/1.1 200 Connection established\r\n\r\n");
    p.resp(b"SSH-2.0-inside\r\n").orig(b"SSH-2.0-client\r\n").end();
    assert_eq!(p.heard.records.len(), 2, "{:?}", p.heard.records);
    assert!(
        matches!(&p.heard.records[0].body, App::Http(h) if &*h.method == "CONNECT" && &*h.uri == "a.example:22")
    );
    assert!(matches!(&p.heard.records[1].body, App::Ssh(s) if &*s.server == "SSH-2.0-inside"));
    assert_eq!(p.service(), "http");
    // A refused one is followed by HTTP.
    let p = play(
        b"CONNECT a:1 HTTP/1.1\r\n\r\nGET /next HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 403 No\r\nContent-Length: 1\r\n\r\n-HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(short(&p), ["1 CONNECT  a:1>0 403<1 text/plain", "2 GET  /next>0 200<0 "]);
}

#[test]
fn an_upgrade_is_the_last_request() {
    let mut p = Play::tcp(80);
    p.orig(b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n");
    p.resp(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello");
    assert!(p.handle.done);
    assert_eq!(short(&p), ["1 GET  /ws>0 101<0 "]);
    p.end();
}

#[test]
fn an_answer_that_is_not_http_leaves_the_request() {
    let p = play(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"SSH-2.0-OpenSSH\r\n");
    assert_eq!(short(&p), ["1 GET x />0 0<0 "]);
    assert_eq!(p.service(), "", "one side alone does not make it HTTP when the other speaks something else");
    let mut p = Play::tcp(80);
    p.resp(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").end();
    assert_eq!(short(&p), ["1   >0 200<2 text/plain"]);
}

#[test]
fn packed_bodies_keep_their_declared_type() {
    let p = play(
        b"GET / HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\0",
    );
    assert_eq!(short(&p), ["1 GET  />0 200<4 text/html"]);
}

#[test]
fn gaps_within_bodies_are_survived_and_others_end_a_side() {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n";
    let mut p = Play::tcp(80);
    p.orig(b"GET /1 HTTP/1.1\r\n\r\n");
    p.at(Resp, Some(0), head, head.len() + 10);
    p.at(Resp, Some(head.len() as u64 + 10), b"6bytes\r\n0\r\n\r\n", 13);
    assert_eq!(short(&p), ["1 GET  /1>0 200<16 "], "a body whose beginning was not seen has no type");
    // The next header is cut: requests go on being reported, without responses.
    p.at(Resp, Some(head.len() as u64 + 23), b"HTTP/1.1 20", 100);
    p.orig(b"GET /2 HTTP/1.1\r\nHost: h\r\n\r\n").end();
    assert_eq!(short(&p)[1..], ["2 GET h /2>0 0<0 "]);
    assert_eq!(p.service(), "http");
    let mut p = Play::tcp(80);
    p.at(Orig, Some(0), b"GET /3 HTTP/1.1\r\nHo", 500).end();
    assert_eq!(short(&p), ["1 GET  /3>0 0<0 "]);
}
