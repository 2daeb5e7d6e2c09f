//! Agent, collector and the real mosquitto over TLS, as docs/mosquitto-tls.conf has it: certificates of an authority of our own,
//! each for its own topics; and what is said when one of them is wrong.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::fleet::analyse;
use crate::support;
use crate::support::broker::{Ended, Mosquitto, Process, Scratch, agent};

const LONG: Duration = Duration::from_secs(60);

/// An authority and what it has signed, made with openssl.
pub struct Authority {
    dir: PathBuf,
}

fn openssl(dir: &Path, words: &str) {
    let out = Command::new("openssl")
        .current_dir(dir)
        .args(words.split(' ').map(|word| word.replace('\u{a0}', " ")))
        .output()
        .unwrap_or_else(|e| panic!("openssl: {e}; tests/setup installs what the tests need"));
    assert!(out.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&out.stderr));
}

impl Authority {
    pub fn new(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        openssl(dir, &format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=test -days 30"));
        Self { dir: dir.to_owned() }
    }

    /// A certificate for `name`; `days` may be over already.
    pub fn sign(&self, file: &str, name: &str, days: i32) {
        let dir = &self.dir;
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        // A name with a slash is escaped where openssl separates by slashes.
        let subject = format!("/CN={}", name.replace('/', "\\/"));
        openssl(dir, &format!("req {key} -keyout {file}.key -out {file}.csr -subj {subject}"));
        std::fs::write(dir.join("ext"), format!("subjectAltName=DNS:{}\n", name.replace('/', "."))).unwrap();
        openssl(
            dir,
            &format!(
                "x509 -req -in {file}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ext -out {file}.pem -days {days}"
            ),
        );
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(dir.join(format!("{file}.key")), private).unwrap();
    }

    fn path(&self, file: &str) -> String {
        self.dir.join(file).display().to_string()
    }

    /// Flags of a client with this certificate.
    pub fn flags(&self, file: &str) -> [String; 6] {
        let path = |end: &str| self.path(&format!("{file}.{end}"));
        ["--ca".into(), self.path("ca.pem"), "--cert".into(), path("pem"), "--key".into(), path("key")]
    }
}

/// The shipped configuration with our files.
pub fn broker(scratch: &Path, authority: &Authority, certificate: &str) -> Mosquitto {
    let shipped = |name: &str| std::fs::read_to_string(support::root().join("docs").join(name)).unwrap();
    let acl = scratch.join("acl");
    std::fs::write(&acl, shipped("mosquitto.acl")).unwrap();
    let text = shipped("mosquitto-tls.conf")
        .replace("/etc/mosquitto/certs/ca.pem", &authority.path("ca.pem"))
        .replace("/etc/mosquitto/certs/broker.pem", &authority.path(&format!("{certificate}.pem")))
        .replace("/etc/mosquitto/certs/broker.key", &authority.path(&format!("{certificate}.key")))
        .replace("/etc/mosquitto/slips.acl", &acl.display().to_string())
        .replace("persistence true", "persistence false");
    // It would give up its rights for those of a user who may not read our files.
    let text = if rustix::process::geteuid().is_root() { text + "\nuser root\n" } else { text };
    Mosquitto::with(scratch, &text, "listener 8883")
}

fn run(broker: &Mosquitto, host: &str, flags: &[String], more: &[&str]) -> Process {
    let mut command = Command::new(agent());
    command
        .arg("-r")
        .arg(support::own_data().join("scan-vertical.pcap"))
        .args([
            "--broker",
            &format!("mqtts://{host}:{}", broker.port),
            "--site",
            "home",
            "--sensor",
            "router",
        ])
        .args(flags)
        .args(more);
    Process::start(&mut command, "slips-agent")
}

fn ended(broker: &Mosquitto, host: &str, flags: &[String]) -> Ended {
    run(broker, host, flags, &["--timeout", "2"]).end(LONG)
}

#[test]
fn reports_over_tls_give_the_same_evidence_and_each_may_touch_its_own_topics_only() {
    let scratch = Scratch::new("tls");
    let authority = Authority::new(&scratch.0.join("ca"));
    authority.sign("broker", "localhost", 30);
    authority.sign("collector", "collector", 30);
    authority.sign("router", "home/router", 30);
    authority.sign("thief", "other/router", 30);
    let broker = broker(&scratch.0, &authority, "broker");
    let out = scratch.0.join("out");
    let direct = analyse(&support::own_data().join("scan-vertical.pcap"), &scratch.0.join("direct"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_slips"));
    let url = format!("mqtts://localhost:{}", broker.port);
    command.current_dir(support::own_data()).args(["serve", "--broker", &url, "-o"]).arg(&out);
    let collector = Process::start(command.args(authority.flags("collector")), "slips serve");
    // Before the honest one, so that what it did would be seen.
    let refused = ended(&broker, "localhost", &authority.flags("thief"));
    let said = &refused.expect_code(1).err;
    assert!(said.contains("not authorised") || said.contains("NotAuthorized"), "{said}");
    run(&broker, "localhost", &authority.flags("router"), &[]).end(LONG).expect_code(0);
    let mut command = Command::new(env!("CARGO_BIN_EXE_slips"));
    command.args(["sensor", "--broker", &url, "home/router", "status"]).args(authority.flags("collector"));
    let status = Process::start(&mut command, "slips sensor").end(LONG);
    assert!(status.expect_code(0).out.contains("home/router: offline"), "{status:?}");
    collector.signal(Signal::TERM);
    collector.end(LONG).expect_code(0);
    direct.end(LONG).expect_code(0);
    let evidence = |dir: PathBuf| std::fs::read_to_string(dir.join("evidence.jsonl")).unwrap();
    let expected = evidence(scratch.0.join("direct"));
    assert!(!expected.is_empty());
    assert_eq!(evidence(out.join("home")), expected);
    let summary = std::fs::read_to_string(out.join("home/summary.json")).unwrap();
    assert!(!out.join("other").exists() && !summary.contains("reports_rejected"), "{summary}");
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_in_one_sentence() {
    let scratch = Scratch::new("tls-wrong");
    let authority = Authority::new(&scratch.0.join("ca"));
    let stranger = Authority::new(&scratch.0.join("stranger"));
    authority.sign("broker", "localhost", 30);
    authority.sign("old", "localhost", -1);
    authority.sign("router", "home/router", 30);
    authority.sign("expired", "home/router", -1);
    stranger.sign("router", "home/router", 30);
    let good = broker(&scratch.0, &authority, "broker");
    let said = |broker: &Mosquitto, host: &str, flags: &[String]| {
        let ended = ended(broker, host, flags);
        ended.expect_code(1).one_sentence().to_owned()
    };
    let flags = authority.flags("router");
    let text = said(&good, "localhost", &stranger.flags("router"));
    assert!(text.contains("its certificate is not from the given authority (CA)"), "{text}");
    let text = said(&good, "127.0.0.1", &flags);
    assert!(text.contains("its certificate is for another name"), "{text}");
    let text = said(&good, "localhost", &flags[..2]);
    assert!(
        text.contains("does not let us in without a certificate") || text.contains("does not accept"),
        "{text}"
    );
    let mut mixed = authority.flags("router");
    mixed[3..].clone_from_slice(&stranger.flags("router")[3..]);
    let text = said(&good, "localhost", &mixed);
    assert!(text.contains("does not accept our certificate"), "{text}");
    let text = said(&good, "localhost", &authority.flags("expired"));
    assert!(text.contains("our certificate"), "{text}");
    // Not TLS at all.
    let plain = Scratch::new("tls-plain");
    let plain_broker = Mosquitto::start(&plain.0);
    let text = said(&plain_broker, "localhost", &flags);
    assert!(text.contains("TLS") || text.contains("closed the connection"), "{text}");
    drop(good);
    let old = Scratch::new("tls-old");
    let old_broker = broker(&old.0, &authority, "old");
    let text = said(&old_broker, "localhost", &flags);
    assert!(text.contains("its certificate has expired"), "{text}");
    // A key that others may read is refused before anything is sent.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(authority.path("router.key"), open).unwrap();
    let ended = ended(&old_broker, "localhost", &flags);
    assert!(ended.expect_code(2).one_sentence().contains("others may read it: chmod 600"), "{ended:?}");
}
