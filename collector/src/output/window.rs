//! Features and letters of a window as text, in the layout of Slips' window files.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::features;
use super::line::seconds;
use crate::profile::Window;
use crate::profile::letters::Letters;

/// The part of a window's file that its shard knows. `info` tells what is known of an address.
#[must_use]
pub fn window_text(window: &Window, info: &dyn Fn(IpAddr) -> Option<String>) -> String {
    let mut out = String::new();
    let view = window.features.view();
    features::addresses(view, info, &mut out);
    tuples(window, true, "OutTuples", &mut out);
    tuples(window, false, "InTuples", &mut out);
    features::tables(view, &mut out);
    out
}

fn tuples(window: &Window, outgoing: bool, title: &str, out: &mut String) {
    let mut some = window.tuples.iter().filter(|l| l.tuple.outgoing == outgoing).peekable();
    if some.peek().is_none() {
        return;
    }
    // Writing into a String cannot fail.
    let _ = writeln!(out, "{title}:");
    for letters in some {
        let _ = tuple(letters, out);
    }
}

/// `peer-port-proto (['letters', [previous, last]])`, times in seconds, `False` for a time that is not there yet.
fn tuple(letters: &Letters, out: &mut String) -> std::fmt::Result {
    write!(out, "\t{} (['", super::letters::tuple(&letters.tuple))?;
    if letters.text().len() < letters.len() {
        out.push('…');
    }
    let [before, last] =
        letters.times().map(|t| t.map_or_else(|| "False".to_owned(), |us| seconds(us).to_string()));
    writeln!(out, "{}', [{before}, {last}]])", letters.text())
}
