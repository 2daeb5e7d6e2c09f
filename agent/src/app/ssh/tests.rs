use super::*;
use crate::app::parser::{Prefix, Step};

use Direction::{Orig, Resp};

fn packet_bytes(payload: &[u8]) -> Vec<u8> {
    let padding = 8 - (payload.len() + 5) % 8 + 4;
    let len = (payload.len() + padding + 1) as u32;
    [&len.to_be_bytes()[..], &[padding as u8], payload, &vec![0; padding]].concat()
}

fn kexinit(compression: &str) -> Vec<u8> {
    let lists = [
        "curve25519-sha256",
        "ssh-ed25519",
        "aes128-ctr,aes256-ctr",
        "aes128-ctr",
        "hmac-sha1",
        "hmac-md5",
        compression,
        compression,
        "",
        "",
    ];
    let mut payload = vec![KEXINIT];
    payload.extend([7; 16]);
    for list in lists {
        payload.extend((list.len() as u32).to_be_bytes());
        payload.extend(list.bytes());
    }
    payload.extend([0; 5]);
    packet_bytes(&payload)
}

/// Plays segments; every segment is a call.
fn play(segments: &[(Direction, Vec<u8>)]) -> (Option<Ssh<Box<str>>>, Step) {
    let mut parser = SshParser::default();
    let mut kept = [Vec::new(), Vec::new()];
    let mut room = vec![0; 8192];
    let mut call = |dir: Direction, bytes: &[u8], over: bool| {
        kept[dir as usize].extend(bytes);
        let side = |i: usize| Prefix { bytes: &kept[i], seen: kept[i].len() as u64, open: true };
        let view =
            View { orig: side(0), resp: side(1), dir, fresh: bytes, fresh_len: bytes.len() as u32, over };
        let outcome = parser.advance(&view, &mut Scratch::new(&mut room));
        let record = outcome.record.map(|app| app.map(&mut |s| Box::from(*s)));
        (record, outcome.step)
    };
    for (dir, bytes) in segments {
        match call(*dir, bytes, false) {
            (Some(App::Ssh(ssh)), step) => return (Some(ssh), step),
            (_, Step::NotMine) => return (None, Step::NotMine),
            _ => {}
        }
    }
    match call(Orig, &[], true) {
        (Some(App::Ssh(ssh)), step) => (Some(ssh), step),
        (_, step) => (None, step),
    }
}

fn until_encrypted(compression: &str) -> Vec<(Direction, Vec<u8>)> {
    vec![
        (Orig, b"SSH-2.0-test_1.0\r\n".to_vec()),
        (Resp, b"SSH-1.99-server\n".to_vec()),
        (Orig, kexinit(compression)),
        (Resp, kexinit(compression)),
        (Orig, packet_bytes(&[30; 40])),
        // NEWKEYS and the first encrypted packet in one segment, as OpenSSH's server sends its extensions.
        (Resp, [packet_bytes(&[31; 300]), packet_bytes(&[NEWKEYS]), vec![9; 333]].concat()),
        (Orig, packet_bytes(&[NEWKEYS])),
    ]
}

fn with_sizes(compression: &str, sizes: &[usize]) -> Ssh<Box<str>> {
    let mut segments = until_encrypted(compression);
    for size in sizes {
        segments.push((Orig, vec![1; 60]));
        segments.push((Resp, vec![2; *size]));
    }
    play(&segments).0.unwrap()
}

#[test]
fn log_ins_are_told_by_their_sizes() {
    for (sizes, success, attempts, why) in [
        (&[44, 28][..], Some(true), 1, "no credential asked for"),
        (&[44, 60, 28], Some(true), 1, "first attempt"),
        (&[44, 60, 60, 60, 28], Some(true), 3, "third attempt"),
        (&[44, 60, 60, 60], Some(false), 2, "gave up"),
        (&[44, 60], None, 0, "only asked"),
        (&[44, 400, 60, 60, 28], Some(true), 2, "greeting text before the first answer"),
        (&[44, 60, 108, 28], Some(true), 1, "an answer of another kind in between"),
        (&[], None, 0, "nothing"),
    ] {
        let ssh = with_sizes("none", sizes);
        assert_eq!((ssh.auth_success, ssh.auth_attempts), (success, attempts), "{why}");
        assert_eq!(ssh.version, 2);
    }
    let ssh = with_sizes("zlib@openssh.com,none", &[44, 60, 60, 28]);
    assert_eq!((ssh.auth_success, ssh.auth_attempts), (None, 0), "compressed sizes say nothing");
}

#[test]
fn banners_and_fingerprints() {
    let ssh = with_sizes("none", &[44, 28]);
    assert_eq!((&*ssh.client, &*ssh.server), ("SSH-2.0-test_1.0", "SSH-1.99-server"));
    // md5 of "curve25519-sha256;aes128-ctr,aes256-ctr;hmac-sha1;none" and of "curve25519-sha256;aes128-ctr;hmac-md5;none"
    let hex = |h: Option<[u8; 16]>| h.unwrap().iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(hex(ssh.hassh), "40acbd973448289eb45a4ea772b03e46");
    assert_eq!(hex(ssh.hassh_server), "9b5d59d970ac05b8938c4405b0eea9ae");
}

#[test]
fn versions() {
    for (client, server, want) in [
        ("SSH-2.0-a", "SSH-2.0-b", 2),
        ("SSH-1.99-a", "SSH-2.0-b", 2),
        ("SSH-1.99-a", "SSH-1.99-b", 2),
        ("SSH-1.5-a", "SSH-1.99-b", 1),
        ("SSH-1.5-a", "SSH-1.5-b", 1),
        ("SSH-1.5-a", "SSH-2.0-b", 0),
        ("SSH-x", "SSH-2.0-b", 0),
    ] {
        assert_eq!(version(Some(client.as_bytes()), Some(server.as_bytes())), want, "{client} {server}");
    }
    assert_eq!(version(Some(b"SSH-2.0-a"), None), 0);
    let (ssh, step) = play(&[(Orig, b"SSH-1.5-x\n".to_vec()), (Resp, b"SSH-1.5-y\n".to_vec())]);
    assert_eq!((ssh.unwrap().version, step), (1, Step::Done));
}

#[test]
fn one_direction_alone_is_reported() {
    let (ssh, _) = play(&[(Orig, b"SSH-2.0-OpenSSH_5.9\r\n".to_vec()), (Orig, kexinit("none"))]);
    let ssh = ssh.unwrap();
    assert_eq!((ssh.version, &*ssh.client, &*ssh.server), (0, "SSH-2.0-OpenSSH_5.9", ""));
    assert!(ssh.hassh.is_some() && ssh.hassh_server.is_none() && ssh.auth_success.is_none());
}

#[test]
fn a_server_may_speak_before_its_banner() {
    let (ssh, _) = play(&[(Resp, b"Welcome\r\nto this host\r\nSSH-2.0-x\r\n".to_vec())]);
    assert_eq!(&*ssh.unwrap().server, "SSH-2.0-x");
    assert_eq!(play(&[(Orig, vec![b'S'; 600])]).1, Step::NotMine);
    assert_eq!(play(&[(Orig, b"x\n".repeat(40))]).1, Step::NotMine);
}

#[test]
fn after_missing_bytes_sizes_mean_nothing() {
    let mut parser = SshParser { confirmed: true, encrypted_at: [10, 10], ..SshParser::default() };
    let view = |dir, seen: u64, fresh: &'static [u8], fresh_len: u32| View {
        orig: Prefix { bytes: b"SSH-2.0-a\n", seen, open: false },
        resp: Prefix { bytes: b"SSH-2.0-b\n", seen, open: false },
        dir,
        fresh,
        fresh_len,
        over: false,
    };
    let mut room = [0; 512];
    for (dir, seen, fresh, len) in [
        (Orig, 40, &[0; 30][..], 30),
        (Resp, 54, &[0; 44], 44),
        (Resp, 200, &[], 146),
        (Resp, 228, &[0; 28], 28),
    ] {
        parser.advance(&view(dir, seen, fresh, len), &mut Scratch::new(&mut room));
    }
    assert_eq!(parser.auth.success, None);
}

#[test]
fn recognised_by_the_first_six_bytes() {
    for (bytes, probe) in [
        (&b""[..], Probe::Unsure),
        (b"SS", Probe::Unsure),
        (b"SSH-2", Probe::Unsure),
        (b"SSH-2.", Probe::Yes),
        (b"SSH-1.99-Cisco", Probe::Yes),
        (b"SSH-3.", Probe::No),
        (b"SMTP", Probe::No),
    ] {
        assert_eq!(SshParser::probe(Orig, bytes), probe);
    }
}

#[test]
fn mutated_sessions_do_no_harm() {
    let mut seed: u32 = 7;
    let mut roll = |n: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % n
    };
    for _ in 0..5000 {
        let mut segments = until_encrypted("none");
        for size in [44, 60, 28] {
            segments.extend([(Orig, vec![1; 60]), (Resp, vec![2; size])]);
        }
        for _ in 0..=roll(6) {
            let which = roll(segments.len());
            let bytes = &mut segments[which].1;
            let at = roll(bytes.len().max(1));
            match (roll(4), bytes.is_empty()) {
                (_, true) => {}
                (0, _) => bytes[at] ^= 1 << roll(8),
                (1, _) => bytes[at] = [0, 0xff, b'\n', NEWKEYS][roll(4)],
                (2, _) => bytes.truncate(at),
                _ => drop(bytes.remove(at)),
            }
        }
        if let (Some(ssh), _) = play(&segments) {
            assert!(ssh.client.len() <= 512 && ssh.server.len() <= 512 && ssh.version <= 2);
        }
    }
}

#[test]
fn state_fits_its_slot() {
    assert!(size_of::<SshParser>() <= 128);
}

#[test]
fn a_session_that_stays_undecided_is_let_go() {
    let mut segments = until_encrypted("none");
    segments.extend((0..600).map(|_| (Orig, vec![1; 1000])));
    let (ssh, step) = play(&segments);
    assert_eq!((ssh.unwrap().auth_success, step), (None, Step::Done));
}
