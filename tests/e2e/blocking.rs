//! From an attack on a cable to the packet filter: the collector decides, on its own machine or over a broker and an agent, and
//! the attacker no longer gets through.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use slips::store::{Address, Reader, RunId};

use crate::support::broker::{Ended, Mosquitto, Process, Scratch, agent, wait_until};
use crate::support::netns::{LEFT, Pair, RIGHT, possible};

const LONG: Duration = Duration::from_secs(60);

/// One alert for a scan, at once.
const CONFIG: &str = "[parameters]\nlog_report_time = 1\n[detection]\nevidence_detection_threshold = 0.01\n";

fn reaches(from: &str) -> bool {
    let words = ["netns", "exec", from, "ping", "-q", "-c", "1", "-W", "1", LEFT];
    Command::new("ip").args(words).output().unwrap().status.success()
}

fn scan(from: &str) {
    let mut nmap = Command::new("ip");
    nmap.args(["netns", "exec", from])
        .args("nmap -sT -Pn -n -T4 --max-retries 0 --host-timeout 10s -p 1-300".split(' '));
    // It may find itself cut off.
    let _ = nmap.arg(LEFT).output().unwrap();
}

#[test]
fn an_attacker_is_blocked_on_the_collectors_own_machine() {
    if !possible() {
        return;
    }
    let pair = Pair::new();
    let (left, right) = (pair.left.clone(), pair.right.clone());
    let test = move || {
        let scratch = Scratch::new("block-own");
        std::fs::write(scratch.0.join("slips.conf"), CONFIG).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_slips"));
        command.current_dir(&scratch.0).args(["-i", "cable", "-p", "-o", "out"]);
        let slips = Process::start(&mut command, "slips -i -p");
        wait_until("it watches", LONG, || scratch.0.join("out/summary.json").exists() || reaches(&right));
        assert!(reaches(&right));
        // By a person in front of Kalipso, who changes his mind.
        let store = Address::File(scratch.0.join("out/slips.db"));
        wait_until("the store has traffic", LONG, || {
            reaches(&right);
            let runs = Reader::open(&store).and_then(|mut reader| reader.runs());
            runs.is_ok_and(|runs| runs.first().is_some_and(|run| run.clock_us > 0))
        });
        let mut reader = Reader::open(&store).unwrap();
        let run = reader.runs().unwrap()[0].id;
        assert_eq!(
            asked(&mut reader, run, "block", LEFT),
            (false, format!("{LEFT} is this machine itself: it is never blocked"))
        );
        let (done, said) = asked(&mut reader, run, "block", RIGHT);
        assert!(done && said.ends_with("because you asked for it: by a test"), "{said}");
        wait_until("the other end is cut off", LONG, || !reaches(&right));
        let (done, said) = asked(&mut reader, run, "unblock", RIGHT);
        assert!(done && said.contains("is no longer blocked because you asked for it"), "{said}");
        wait_until("the other end is released", LONG, || reaches(&right));
        assert_eq!(asked(&mut reader, run, "unblock", RIGHT), (false, format!("{RIGHT} is not blocked")));
        let blocks = reader.blocks(run).unwrap();
        assert!(blocks.len() == 1 && blocks[0].lifted && blocks[0].alert.is_none(), "{blocks:?}");
        wait_until("the attacker is cut off", LONG, || {
            scan(&right);
            !reaches(&right)
        });
        slips.signal(Signal::TERM);
        let ended = slips.end(LONG);
        ended.expect_code(0);
        assert!(ended.out.contains(&format!("Firewall: {RIGHT} is blocked for ")), "{ended:?}");
        assert!(reaches(&right), "the end releases everybody");
    };
    Pair::inside(&left, test).join().unwrap();
}

/// A crash leaves the blocks to the kernel; the next start takes them up again, and its end releases everybody. A dry run says who would be
/// blocked and drops nothing.
#[test]
fn a_crash_lifts_nothing_and_a_dry_run_drops_nothing() {
    if !possible() {
        return;
    }
    let pair = Pair::new();
    let (left, right) = (pair.left.clone(), pair.right.clone());
    let test = move || {
        let scratch = Scratch::new("block-crash");
        let start = |out: &str, more: &str| {
            let config = format!("{CONFIG}[update]\ndata_folder = data\n[blocking]\n{more}\n");
            std::fs::write(scratch.0.join("slips.conf"), config).unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_slips"));
            command.current_dir(&scratch.0).args(["-i", "cable", "-p", "-o", out]);
            let slips = Process::start(&mut command, "slips -i -p");
            wait_until("it watches", LONG, || scratch.0.join(out).join("summary.json").exists());
            slips
        };
        let slips = start("dry", "dry_run = yes");
        let said = || std::fs::read_to_string(scratch.0.join("dry/blocking.jsonl")).unwrap_or_default();
        wait_until("somebody would be blocked", LONG, || {
            scan(&right);
            said().contains(RIGHT)
        });
        assert!(reaches(&right), "nothing is dropped");
        slips.signal(Signal::TERM);
        let ended = slips.end(LONG);
        assert!(ended.out.contains("would be blocked (dry run)"), "{ended:?}");

        let slips = start("first", "dry_run = no");
        wait_until("the attacker is cut off", LONG, || {
            scan(&right);
            !reaches(&right)
        });
        slips.signal(Signal::KILL);
        slips.end(LONG);
        assert!(!reaches(&right), "the kernel goes on");
        let slips = start("second", "dry_run = no");
        assert!(!reaches(&right), "the start has taken it up again");
        slips.signal(Signal::TERM);
        let ended = slips.end(LONG);
        assert!(
            format!("{ended:?}").contains("blocks from before the restart are in force again"),
            "{ended:?}"
        );
        assert!(reaches(&right), "the end releases everybody");
    };
    Pair::inside(&left, test).join().unwrap();
}

/// The answer to a command of a viewer.
fn asked(reader: &mut Reader, run: RunId, verb: &str, subject: &str) -> (bool, String) {
    let id = reader.ask(run, verb, subject, "by a test").unwrap();
    let mut answered = None;
    wait_until("the command is answered", LONG, || {
        let commands = reader.commands(run).unwrap_or_default();
        answered = commands.into_iter().find(|c| c.id == id && c.answer.is_some());
        answered.is_some()
    });
    answered.map(|c| (c.done, c.answer.unwrap_or_default())).unwrap()
}

fn sensor(broker: &Mosquitto, words: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slips"));
    command.args(["sensor", "--broker", &broker.url(), "home/router"]).args(words);
    Process::start(&mut command, "slips sensor").end(LONG)
}

#[test]
fn an_attacker_is_blocked_by_the_agent_and_released_by_command() {
    if !possible() {
        return;
    }
    let program = agent();
    let pair = Pair::new();
    let (left, right) = (pair.left.clone(), pair.right.clone());
    let test = move || {
        let scratch = Scratch::new("block-agent");
        std::fs::write(scratch.0.join("slips.conf"), CONFIG).unwrap();
        let broker = Mosquitto::start(&scratch.0);
        let mut command = Command::new(env!("CARGO_BIN_EXE_slips"));
        command.current_dir(&scratch.0).args(["-o", "out", "serve", "-p", "--broker", &broker.url()]);
        let collector = Process::start(&mut command, "slips serve");
        let mut command = Command::new(program);
        command.args(["-i", "cable", "--broker", &broker.url(), "--sensor", "router", "--blocking", "on"]);
        let agent = Process::start(&mut command, "slips-agent");
        wait_until("the sensor reports", LONG, || sensor(&broker, &["status"]).status.success());
        assert!(reaches(&right));
        // By a person.
        let ended = sensor(&broker, &["block", RIGHT, "600"]);
        let answer = format!("home/router: done: {RIGHT} is blocked for 600 s: ordered by the collector\n");
        assert_eq!(ended.expect_code(0).out, answer);
        assert!(!reaches(&right));
        let ended = sensor(&broker, &["status"]);
        assert!(ended.out.contains(&format!("blocks {RIGHT}")), "{ended:?}");
        sensor(&broker, &["unblock", RIGHT]).expect_code(0);
        assert!(reaches(&right));
        let ended = sensor(&broker, &["block", LEFT, "600"]);
        assert!(ended.expect_code(1).err.contains("it is this machine itself"), "{ended:?}");
        // By a person in front of Kalipso, through the store of the collector.
        let mut reader = Reader::open(&Address::File(scratch.0.join("out/slips.db"))).unwrap();
        wait_until("the site has traffic", LONG, || {
            reaches(&right);
            reader.runs().is_ok_and(|runs| runs.first().is_some_and(|run| run.clock_us > 0))
        });
        let run = reader.runs().unwrap()[0].id;
        assert_eq!(reader.runs().unwrap()[0].site, "home");
        let (done, said) = asked(&mut reader, run, "block", RIGHT);
        assert!(done, "{said}");
        wait_until("the other end is cut off", LONG, || !reaches(&right));
        let (done, said) = asked(&mut reader, run, "unblock", RIGHT);
        assert!(done, "{said}");
        wait_until("the other end is released", LONG, || reaches(&right));
        let sensors = reader.sensors(run).unwrap();
        assert_eq!(
            sensors.iter().map(|s| (&*s.name, s.online)).collect::<Vec<_>>(),
            [("router", Some(true))]
        );
        assert!(!sensors[0].version.is_empty());
        // By the collector's own decision.
        wait_until("the attacker is cut off", LONG, || {
            scan(&right);
            std::thread::sleep(Duration::from_secs(6));
            !reaches(&right)
        });
        agent.signal(Signal::TERM);
        let ended = agent.end(LONG);
        ended.expect_code(0);
        assert!(reaches(&right), "the end releases everybody");
        collector.signal(Signal::TERM);
        collector.end(LONG).expect_code(0);
    };
    Pair::inside(&left, test).join().unwrap();
}
