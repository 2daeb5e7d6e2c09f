//! What each page shows: questions to the store, answers as tables.
//!
//! Enters: a page, a run, the profile and window that are selected. Leaves: its panels, filled. Every page asks for a bounded
//! number of rows, by the store's indexes, whatever the store holds.

mod found;
mod known;
mod profile;
mod site;
mod traffic;

pub use found::{
    ALERTS, EVIDENCE, EVIDENCE_OF, FLOWS, alert_head, alert_rows, alerts_page, evidence_of, evidence_page,
    evidence_rows, flow_rows,
};
pub use profile::{
    ABOUT, STRIP, TIMELINE, TREE, about, names, profiles_page, strip_rows, timeline_page, timeline_rows,
    tree, windows_page,
};
pub use site::{blocks, live, sites, state};
pub use traffic::{KEYS, Keys, keys, tuples};

use super::grid::{Cell, Column, Grid, Row};
use crate::store::Error;

/// A table with its title.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    /// Over the frame.
    pub title: String,
    /// Its rows.
    pub grid: Grid,
    /// The store has more of them.
    pub more: bool,
}

/// Which page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Page {
    /// Tree, information, timeline, evidence.
    Main,
    /// Two tables of features: established and not.
    Keys(Keys),
    /// Out tuples, or in tuples.
    Tuples(bool),
    /// Evidence of all profiles, by the query.
    Evidence,
    /// Alerts.
    Alerts,
    /// One alert: what caused it, and the flows behind.
    Alert(u64),
    /// One evidence and its flows.
    Flows(u64),
    /// Runs, sensors and what was lost.
    Sites,
    /// Windows of the profile over time.
    Strip,
    /// Names of the selected address.
    Names,
    /// Throughput and memory.
    Live,
    /// Blocks and commands.
    Blocks,
    /// Keys.
    Help,
}

type Answer<T> = Result<T, Error>;

fn row(id: impl ToString, cells: Vec<Cell>) -> Row {
    Row { id: id.to_string(), cells }
}

/// A table with its rows.
pub fn panel(title: impl Into<String>, columns: &[Column], rows: Vec<Row>) -> Panel {
    let mut grid = Grid::new(columns);
    grid.fill(rows);
    Panel { title: title.into(), grid, more: false }
}

/// A bar for a logarithm: a tenfold is as long everywhere, as in Slips.
fn bar(value: f64, most: f64, length: usize) -> String {
    let share = if most > 0.0 { value.ln_1p() / most.ln_1p() } else { 0.0 };
    let eighths = (share.clamp(0.0, 1.0) * length as f64 * 8.0).round() as usize;
    let part = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'].get(eighths % 8).copied().unwrap_or(' ');
    let mut text = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        text.push(part);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_logarithmic_and_never_longer_than_asked() {
        assert_eq!(bar(0.0, 100.0, 8), "");
        assert_eq!(bar(100.0, 100.0, 8), "████████");
        assert_eq!(bar(9.0, 99.0, 8).chars().count(), 4, "ln 10 is half of ln 100");
        assert_eq!(bar(5.0, 0.0, 8), "");
        assert!(bar(1e300, 1.0, 4).chars().count() <= 4);
    }
}
