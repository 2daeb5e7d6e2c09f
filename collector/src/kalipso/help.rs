//! The keys, in words.

use super::grid::{Cell, Grid, Row, words};
use super::pages::Panel;
use super::theme::Role;

/// The keys, in words.
const HELP: &[(&str, &str)] = &[
    ("TAB", "next table"),
    ("↑ ↓ j k PgUp PgDn Home End", "move"),
    (
        "Enter",
        "open: windows of an IP, flows of an evidence, an alert, a window, a run; in the timeline: who is that address",
    ),
    ("Esc", "back"),
    ("q, Ctrl-C", "quit"),
    ("e", "source ports as client"),
    ("d", "destination addresses as client"),
    ("f", "destination ports as client"),
    ("t", "destination ports as client, with addresses"),
    ("r", "destination ports as server"),
    ("u", "source addresses as server"),
    ("i, y", "out tuples, in tuples, with their letters"),
    ("n", "names of the address"),
    ("w", "windows of the profile over time"),
    ("v", "evidence of all profiles"),
    ("a", "alerts"),
    ("b", "blocks and commands"),
    ("s", "sites, sensors, losses"),
    ("l", "throughput and memory"),
    (
        "/",
        "filter; on the evidence page: query, as src:10.0.0.5 dst: site: type: level: score:>=0.8 sort:-ts, TAB completes, ↑ history, @name a saved one",
    ),
    ("m", "on the evidence page: save the query under a name"),
    ("S", "sort by the next column; in the tree: threat, last seen, address"),
    ("B, U, W", "block, unblock, whitelist what is selected, after a question"),
    ("x, X", "write the table as CSV, as JSON"),
    ("c", "copy the row to the clipboard of the terminal (OSC 52)"),
    ("T", "theme: dark, light, without colours"),
    ("o", "read anew; happens by itself when something is written"),
    ("h, ?", "this page"),
];

/// The page of help.
pub fn help() -> Panel {
    let mut grid = Grid::new(&[words("key", 27), words("does", 0)]);
    grid.fill(
        HELP.iter()
            .map(|(key, does)| Row {
                id: (*key).to_owned(),
                cells: vec![Cell::from(*key).role(Role::Key), Cell::from(*does)],
            })
            .collect(),
    );
    Panel { title: "Keys. ! before an address or window: an alert".to_owned(), grid, more: false }
}
