use slips_agent::app::record::{App, Ftp, Http, Login, Smtp, Ssh};
use slips_agent::record::Service;

use super::ENTRY;
use crate::config::{Config, Direction};
use crate::evidence::{Side, ThreatLevel};
use crate::input::note::{Notice, Software};
use crate::input::{Note, NoteBody, Record, Text};
use crate::modules::bench::{Outcome, at, flow, ip, rec, run, said};

const ME: &str = "10.0.0.5";
const SERVER: &str = "10.0.0.22";

fn found(records: Vec<Record>) -> Outcome {
    run(&[&ENTRY], &Config::default(), records)
}

fn ssh(success: Option<bool>, attempts: u16, client: &str) -> App<Text> {
    App::Ssh(Ssh {
        version: 2,
        client: client.into(),
        server: "SSH-2.0-OpenSSH_9.2p1".into(),
        hassh: None,
        hassh_server: None,
        auth_success: success,
        auth_attempts: attempts,
    })
}

fn session(seconds: f64, success: Option<bool>, attempts: u16) -> Record {
    said(&flow(seconds, ME, SERVER, 22), ssh(success, attempts, "SSH-2.0-libssh2_1.10.0"))
}

#[test]
fn nine_attempts_are_a_campaign() {
    let tries = |n: u32| (0..n).map(|i| session(f64::from(i), Some(false), 1)).collect::<Vec<_>>();
    let outcome = found(tries(9));
    let evidence = outcome.only();
    assert_eq!(
        (evidence.kind, evidence.count, evidence.threat_level),
        ("password_guessing", 9, ThreatLevel::Medium)
    );
    assert!((evidence.confidence - 0.57).abs() < 1e-9, "{}", evidence.confidence);
    assert!(found(tries(8)).evidence.is_empty());
    assert!((found(tries(30)).only().confidence - 1.0).abs() < 1e-9);
    // Attempts of a session count; success adds none.
    let three = vec![session(0.0, Some(false), 6), session(1.0, Some(false), 0), session(2.0, None, 2)];
    assert_eq!(found(three.clone()).of("password_guessing").first().map(|e| e.count), Some(9));
    let mut success = three;
    success.truncate(2);
    success.push(session(2.0, Some(true), 6));
    assert!(found(success).of("password_guessing").is_empty());
}

#[test]
fn attempts_at_several_servers_are_told_apart() {
    let tries = (0..24_u32).map(|i| {
        said(
            &flow(f64::from(i), ME, ["10.0.0.22", "10.0.0.23", "10.0.0.24"][i as usize % 3], 22),
            ssh(Some(false), 1, "SSH-2.0-Go"),
        )
    });
    assert!(found(tries.collect()).evidence.is_empty(), "eight each");
    let looks = (0..40).map(|i| said(&flow(f64::from(i), ME, SERVER, 22), ssh(None, 0, ""))).collect();
    assert!(found(looks).evidence.is_empty(), "a monitor that reads the banner");
}

fn http(status: u16, user: &str) -> App<Text> {
    App::Http(Http {
        depth: 1,
        method: "GET".into(),
        host: "".into(),
        uri: "/admin".into(),
        referrer: "".into(),
        user_agent: "x".into(),
        version: "1.1".into(),
        username: user.into(),
        request_body_len: 0,
        response_body_len: 0,
        status_code: status,
        status_msg: "".into(),
        resp_mime: "".into(),
    })
}

fn ftp(command: &str, code: u16) -> App<Text> {
    let (command, arg, reply_msg) = (command.into(), "".into(), "".into());
    App::Ftp(Ftp { user: "root".into(), command, arg, reply_code: code, reply_msg })
}

fn telnet(success: Option<bool>) -> App<Text> {
    App::Login(Login { service: Service::TELNET, user: "root".into(), success })
}

fn smtp(failed: bool) -> App<Text> {
    App::Smtp(Smtp {
        helo: "x".into(),
        mail_from: "".into(),
        rcpt_to: "".into(),
        last_reply: "535 no".into(),
        auth_failed: failed,
        tls: false,
    })
}

#[test]
fn refusals_of_other_services() {
    type Says<'a> = &'a dyn Fn() -> App<Text>;
    let with = |n: u32, port: u16, body: Says<'_>| {
        let records = (0..n).map(|i| said(&flow(f64::from(i) * 20.0, ME, SERVER, port), body()));
        found(records.collect()).of("password_guessing").first().map(|e| e.description.clone())
    };
    let services: [(u16, &str, Says<'_>); 4] = [
        (80, "HTTP", &|| http(401, "admin")),
        (21, "FTP", &|| ftp("PASS", 530)),
        (25, "SMTP", &|| smtp(true)),
        (23, "telnet", &|| telnet(Some(false))),
    ];
    for (port, name, body) in services {
        let text = with(9, port, body).unwrap();
        assert_eq!(
            text,
            format!("10.0.0.5 tries passwords at 10.0.0.22 port {port} over {name}: 9 refused so far")
        );
        assert_eq!(with(8, port, body), None);
    }
    let fine: [&dyn Fn() -> App<Text>; 5] =
        [&|| http(401, ""), &|| http(200, "admin"), &|| ftp("RETR", 550), &|| telnet(Some(true)), &|| {
            smtp(false)
        }];
    for body in fine {
        assert_eq!(with(40, 80, body), None);
    }
}

#[test]
fn a_client_without_a_profile_is_told_on_its_own_address() {
    let home_networks = vec!["10.0.0.0/8".parse().unwrap()];
    let config = Config { direction: Direction::All, home_networks, ..Config::default() };
    let tries = |from: &'static str| {
        (0..12).map(move |i| said(&flow(f64::from(i), from, SERVER, 22), ssh(Some(false), 1, "SSH-2.0-Go")))
    };
    let outcome = run(&[&ENTRY], &config, tries("203.0.113.9"));
    let evidence = outcome.only();
    assert_eq!((evidence.attacker_side, evidence.profile), (Side::Destination, ip("203.0.113.9")));
    let inside = run(&[&ENTRY], &config, tries(ME));
    assert_eq!((inside.only().attacker_side, inside.only().profile), (Side::Source, ip(ME)));
}

fn notes(body: NoteBody) -> Record {
    Record::Note(Box::new(Note { uid: None, tuple: None, ts_us: at(0.0), body }))
}

#[test]
fn zeek_counts_itself() {
    let notice = |name: &str| {
        notes(NoteBody::Notice(Notice {
            name: name.into(),
            message: "10.0.0.5 appears to be guessing SSH passwords (seen in 30 connections).".into(),
            detail: "".into(),
            src: Some(ip(ME)),
            dst: None,
            port: None,
            count: Some(30),
        }))
    };
    let outcome = found(vec![notice("SSH::Password_Guessing"), notice("SSH::Password_Guessing")]);
    assert_eq!((outcome.only().count, outcome.only().confidence.to_string()), (30, "1".to_owned()));
    assert!(found(vec![notice("SSL::Invalid_Server_Cert")]).evidence.is_empty());
}

#[test]
fn a_log_in_that_succeeds() {
    assert_eq!(found(vec![session(0.0, Some(true), 1)]).only().kind, "ssh_successful");
    let undecided = |bytes: u64| {
        let mut over = flow(0.0, ME, SERVER, 22);
        over.service = Service::SSH;
        over.orig.payload_bytes = bytes - over.resp.payload_bytes;
        let said = said(&over, ssh(None, 0, "SSH-2.0-OpenSSH_9.1"));
        found(vec![said, rec(over)])
    };
    assert_eq!(undecided(4291).only().kind, "ssh_successful");
    assert!(undecided(4290).evidence.is_empty());
    let mut refused = flow(0.0, ME, SERVER, 22);
    refused.service = Service::SSH;
    refused.orig.payload_bytes = 90_000;
    let no = said(&refused, ssh(Some(false), 1, "SSH-2.0-OpenSSH_9.1"));
    assert!(found(vec![no, rec(refused)]).evidence.is_empty());
}

fn program(kind: &str, name: &str, version: (u32, u32)) -> Record {
    notes(NoteBody::Software(Software {
        host: ip(ME),
        port: (kind == "SSH::SERVER").then_some(22),
        kind: kind.into(),
        name: name.into(),
        major: Some(version.0),
        minor: Some(version.1),
        banner: format!("{name}_{}.{}", version.0, version.1).into(),
    }))
}

#[test]
fn software_that_changes() {
    let (client, server) = ("SSH::CLIENT", "SSH::SERVER");
    let outcome = found(vec![program(client, "OpenSSH", (8, 1)), program(client, "OpenSSH", (9, 1))]);
    assert_eq!(outcome.only().kind, "multiple_ssh_versions");
    assert!(outcome.only().description.ends_with("is openssh 9.1 now and was openssh 8.1 before"));
    for same in [
        [program(client, "OpenSSH", (8, 1)), program(client, "OpenSSH", (8, 1))],
        [program(client, "OpenSSH", (8, 1)), program(server, "OpenSSH", (9, 1))],
        [program(client, "OpenSSH", (8, 1)), program(client, "paramiko", (2, 7))],
        [program("HTTP::BROWSER", "Firefox", (8, 1)), program("HTTP::BROWSER", "Firefox", (9, 1))],
    ] {
        assert!(found(same.to_vec()).evidence.is_empty(), "{same:?}");
    }
    let banners = ["SSH-2.0-OpenSSH_8.1p1", "SSH-2.0-OpenSSH_9.1p1"];
    let records = banners.iter().map(|b| said(&flow(0.0, ME, SERVER, 22), ssh(None, 0, b))).collect();
    assert_eq!(found(records).of("multiple_ssh_versions").len(), 1, "from the banners themselves");
}

#[test]
fn refused_mail_log_ins() {
    let tries =
        |times: &[f64]| found(times.iter().map(|t| said(&flow(*t, ME, SERVER, 25), smtp(true))).collect());
    let outcome = tries(&[0.0, 4.0, 9.9]);
    assert_eq!(outcome.of("bad_smtp_login").first().map(|e| e.count), Some(3));
    assert_eq!(outcome.of("smtp_login_bruteforce").len(), 1);
    assert_eq!(tries(&[0.0, 60.0, 64.0, 69.0]).of("smtp_login_bruteforce").len(), 1, "a slow one first");
    assert!(tries(&[0.0, 6.0, 11.0, 17.0]).of("smtp_login_bruteforce").is_empty());
    assert!(found(vec![said(&flow(0.0, ME, SERVER, 25), smtp(false))]).evidence.is_empty());
}

#[test]
fn a_log_in_in_clear_is_worth_a_note() {
    let record = said(&flow(0.0, ME, SERVER, 23), telnet(Some(true)));
    let outcome = found(vec![record]);
    assert_eq!((outcome.only().kind, outcome.only().threat_level), ("login", ThreatLevel::Info));
    assert!(outcome.only().description.contains("over telnet as root with success"));
}
