//! Kalipso's keys in a terminal: what is asked for is carried out, and the terminal is given back as it was at any end.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use slips::store::{Access, Address, Profile, Row, Run, Verdict};

use crate::pty::Terminal;
use crate::support::broker::Scratch;

fn slips() -> &'static str {
    env!("CARGO_BIN_EXE_slips")
}

/// A store with one site and one profile.
fn store(path: &Path, site: &str, addr: &str) {
    let mut store = Address::File(path.to_owned()).open(Access::Write).unwrap();
    let run = Run { site: site.to_owned(), input: "a test".to_owned(), complete: true, ..Run::default() };
    let id = store.begin(&run, false).unwrap();
    let addr: IpAddr = addr.parse().unwrap();
    let profile = Row::Profile(Profile { addr, facts: None, verdict: Verdict::default() });
    store.write(&[(id, Row::Run(Run { id, ..run })), (id, profile)]).unwrap();
}

fn kalipso(dir: &Path, more: &[&str]) -> Terminal {
    let place = dir.display().to_string();
    let line = "cd \"$0\" && exec env \"$@\"";
    let mut words = vec!["-c", line, place.as_str()];
    words.extend(more);
    words.extend([slips(), "kalipso", "--store", "slips.db"]);
    Terminal::start(100, 30, "sh", &words)
}

/// What is written last gives the terminal back, and keys are echoed again.
fn given_back(terminal: &Terminal) {
    let text = String::from_utf8_lossy(&terminal.bytes);
    let left = text.rfind("\x1b[?1049l").expect("the second screen is left");
    assert!(left > text.rfind("\x1b[?1049h").unwrap());
    for (on, off) in [("\x1b[?1000h", "\x1b[?1000l"), ("\x1b[?25l", "\x1b[?25h")] {
        assert!(text.rfind(off) > text.rfind(on), "{off:?}");
    }
    assert!(terminal.echoes(), "what is typed is shown again");
}

#[test]
fn the_terminal_is_given_back_at_any_end() {
    let scratch = Scratch::new("kalipso-ends");
    store(&scratch.0.join("slips.db"), "home", "192.0.2.1");
    for end in [None, Some(Signal::TERM), Some(Signal::INT)] {
        let mut terminal = kalipso(&scratch.0, &[]);
        terminal.see("192.0.2.1");
        assert!(!terminal.echoes());
        match end {
            None => terminal.send("q"),
            Some(signal) => {
                kill_process(Pid::from_raw(terminal.id().cast_signed()).unwrap(), signal).unwrap();
            }
        }
        assert_eq!(terminal.end(), Some(0), "{end:?}");
        given_back(&terminal);
    }
}

#[test]
fn a_terminal_that_goes_away_ends_it() {
    let scratch = Scratch::new("kalipso-gone");
    store(&scratch.0.join("slips.db"), "home", "192.0.2.1");
    // The signal of a broken line is ignored, as under nohup: Kalipso finds out by itself.
    let line = "trap '' HUP; cd \"$0\" && exec \"$1\" kalipso --store slips.db";
    let place = scratch.0.display().to_string();
    let mut terminal = Terminal::start(100, 30, "sh", &["-c", line, &place, slips()]);
    terminal.see("192.0.2.1");
    terminal.hang_up();
}

#[test]
fn sizes_change_and_stores_are_replaced() {
    let scratch = Scratch::new("kalipso-store");
    let path = scratch.0.join("slips.db");
    store(&path, "home", "192.0.2.1");
    let mut terminal = kalipso(&scratch.0, &[]);
    terminal.see("Kalipso · home");
    for (columns, rows) in [(80, 24), (300, 80), (20, 5), (40, 10), (120, 40)] {
        terminal.resize(columns, rows);
        let text = if columns < 40 { "Kalipso needs" } else { "192.0.2.1" };
        // The whole picture has come: its frames reach the edge.
        terminal.until(text, |screen| {
            let widest = screen.lines().map(|line| line.chars().count()).max();
            screen.contains(text) && (columns < 40 || widest == Some(columns.into()))
        });
    }
    // Gone for a while: what was shown stays, and keys are answered.
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(scratch.0.join(format!("slips.db{end}")));
    }
    terminal.send("?");
    terminal.see("next table");
    terminal.send("\x1b");
    terminal.see("192.0.2.1");
    // Another one in its place is shown.
    store(&path, "office", "198.51.100.7");
    terminal.see("Kalipso · office");
    terminal.see("198.51.100.7");
    terminal.send("q");
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn the_clipboard_the_mouse_a_file_and_no_colours() {
    let scratch = Scratch::new("kalipso-more");
    store(&scratch.0.join("slips.db"), "home", "192.0.2.1");
    let mut terminal = kalipso(&scratch.0, &["NO_COLOR=1"]);
    terminal.see("192.0.2.1");
    terminal.send("c");
    terminal.see("copied");
    // Base64 of "▸ 192.0.2.1", by OSC 52.
    let text = String::from_utf8_lossy(&terminal.bytes).into_owned();
    assert!(text.contains("\x1b]52;c;4pa4IDE5Mi4wLjIuMQ==\x07"), "{text:?}");
    assert!(!text.contains("\x1b[38;") && !text.contains("\x1b[48;"), "no colours");
    terminal.send("x");
    terminal.see("written to");
    let made = std::fs::read_to_string(scratch.0.join("kalipso-IPs-1.csv")).unwrap();
    assert_eq!(made, "IPs\r\n▸ 192.0.2.1\r\n");
    // A click into the panel on the right gives it the keys.
    terminal.send("\x1b[<0;60;3M");
    terminal.see("» About");
    terminal.send("q");
    assert_eq!(terminal.end(), Some(0));
}

/// A Zeek log that grows: one host tries a port of many others.
fn grow(log: &mut std::fs::File, n: u64) {
    let line = format!(
        "{{\"ts\":{},\"uid\":\"C{n}\",\"id.orig_h\":\"10.0.0.5\",\"id.orig_p\":{},\"id.resp_h\":\"10.0.1.{}\",\"id.resp_p\":445,\
         \"proto\":\"tcp\",\"conn_state\":\"S0\",\"history\":\"S\",\"orig_pkts\":1,\"resp_pkts\":0,\"orig_bytes\":0,\
         \"resp_bytes\":0,\"orig_ip_bytes\":60,\"resp_ip_bytes\":0}}\n",
        1_600_000_000 + n,
        1024 + n,
        n % 250
    );
    log.write_all(line.as_bytes()).unwrap();
}

/// Lets traffic go on until the screen holds a text.
fn see_while(terminal: &mut Terminal, text: &str, mut traffic: impl FnMut()) {
    let begun = Instant::now();
    while !terminal.text().contains(text) {
        assert!(begun.elapsed() < Duration::from_secs(90), "{text:?} never came:\n{}", terminal.text());
        traffic();
        terminal.rest(Duration::from_millis(50));
    }
}

#[test]
fn what_is_asked_for_is_answered_on_the_screen() {
    let scratch = Scratch::new("kalipso-asks");
    std::fs::write(scratch.0.join("white.conf"), "; mine\n").unwrap();
    let config = "[parameters]\nlog_report_time = 1\n[whitelists]\nlocal_whitelist_path = white.conf\n";
    std::fs::write(scratch.0.join("slips.conf"), config).unwrap();
    let mut log = std::fs::File::create(scratch.0.join("conn.log")).unwrap();
    let mut n = 0;
    let mut traffic = || {
        n += 1;
        grow(&mut log, n);
    };
    traffic();
    let place = scratch.0.display().to_string();
    let line = "cd \"$0\" && exec \"$1\" -c slips.conf -f conn.log --follow -v 0 -G -o out";
    let mut terminal = Terminal::start(120, 36, "sh", &["-c", line, &place, slips()]);
    see_while(&mut terminal, "About 10.0.0.5", &mut traffic);
    // Not without a confirmation.
    terminal.send("B");
    terminal.see("block 10.0.0.5? Enter does it");
    terminal.send("\x1b");
    terminal.until("no question any more", |screen| !screen.contains("Enter does it"));
    // Nobody blocks here, and that is said.
    terminal.send("B");
    terminal.see("block 10.0.0.5? Enter does it");
    terminal.send("it scans\r");
    terminal.see("asked for, b shows");
    terminal.send("b");
    see_while(&mut terminal, "refused", &mut traffic);
    terminal.see("this analysis blocks nobody");
    terminal.send("\x1b");
    see_while(&mut terminal, "About 10.0.0.5", &mut traffic);
    terminal.send("W");
    terminal.see("whitelist 10.0.0.5? Enter does it");
    terminal.send("mine\r");
    terminal.see("asked for, b shows");
    terminal.send("b");
    see_while(&mut terminal, "done", &mut traffic);
    assert!(
        std::fs::read_to_string(scratch.0.join("white.conf")).unwrap().contains("ip,10.0.0.5,both,alerts")
    );
    terminal.send("q");
    assert_eq!(terminal.end(), Some(0), "{}", terminal.text());
    given_back(&terminal);
}

#[cfg(target_os = "linux")]
#[test]
fn a_host_is_cut_off_and_released_by_two_keys() {
    use crate::support::netns::{LEFT, Pair, RIGHT, possible};
    if !possible() {
        return;
    }
    let pair = Pair::new();
    let (left, right) = (pair.left.clone(), pair.right.clone());
    let reaches = move || {
        let words = ["netns", "exec", right.as_str(), "ping", "-q", "-c", "1", "-W", "1", LEFT];
        Command::new("ip").args(words).stdout(Stdio::null()).status().unwrap().success()
    };
    let test = move || {
        let scratch = Scratch::new("kalipso-blocks");
        std::fs::write(scratch.0.join("slips.conf"), "[parameters]\nlog_report_time = 1\n").unwrap();
        let place = scratch.0.display().to_string();
        let line = "cd \"$0\" && exec \"$1\" -c slips.conf -i cable -p -G -v 0 -o out";
        let mut terminal = Terminal::start(120, 36, "sh", &["-c", line, &place, slips()]);
        see_while(&mut terminal, RIGHT, || assert!(reaches()));
        // To the profile of the other end.
        let about = format!("About {RIGHT}");
        for key in ["j", "k"].iter().cycle().take(200) {
            if terminal.text().contains(&about) {
                break;
            }
            // Up too: a profile that is found later may stand above the one at hand.
            terminal.send(key);
            terminal.rest(Duration::from_millis(300));
        }
        for (key, verb, after) in [("B", "block", false), ("U", "unblock", true)] {
            terminal.send(key);
            terminal.see(&format!("{verb} {RIGHT}? Enter does it"));
            terminal.send("by a test\r");
            terminal.see("asked for, b shows");
            let begun = Instant::now();
            while reaches() != after {
                assert!(begun.elapsed() < Duration::from_secs(60), "{verb}:\n{}", terminal.text());
                terminal.rest(Duration::from_millis(200));
            }
        }
        terminal.send("b");
        terminal.see("over");
        terminal.send("q");
        assert_eq!(terminal.end(), Some(0));
    };
    Pair::inside(&left, test).join().unwrap();
}
