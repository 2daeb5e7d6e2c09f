//! A table that can be sorted, filtered, scrolled, exported and copied: what every list of Kalipso is.
//!
//! Enters: columns and rows of text with a number to sort by. Leaves: the rows that are shown, in order, and the selection. It never
//! asks the store: who fills it decides how many rows it holds.

use std::fmt::Write as _;

use super::text;
use super::theme::Role;

/// A column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Column {
    /// Its head.
    pub title: &'static str,
    /// Characters; 0 shares what is left.
    pub width: u16,
    /// Numbers stand at the right.
    pub right: bool,
    /// Widths of a panel on which it is shown: from this, and below that.
    pub on: (u16, u16),
}

/// On every width.
const ALWAYS: (u16, u16) = (0, u16::MAX);

impl Column {
    /// Only on panels of at least this width.
    #[must_use]
    pub const fn from(mut self, width: u16) -> Self {
        self.on.0 = width;
        self
    }

    /// Only on panels narrower than this.
    #[must_use]
    pub const fn until(mut self, width: u16) -> Self {
        self.on.1 = width;
        self
    }

    /// Whether it is shown on a panel of this width.
    #[must_use]
    pub const fn shown(&self, width: u16) -> bool {
        self.on.0 <= width && width < self.on.1
    }
}

/// A column of text.
#[must_use]
pub const fn words(title: &'static str, width: u16) -> Column {
    Column { title, width, right: false, on: ALWAYS }
}

/// A column of numbers.
#[must_use]
pub const fn number(title: &'static str, width: u16) -> Column {
    Column { title, width, right: true, on: ALWAYS }
}

/// One cell.
#[derive(Clone, PartialEq, Debug)]
pub struct Cell {
    /// What is shown.
    pub text: String,
    /// What it sorts by, where that is not the text.
    pub sort: Option<f64>,
    /// What it means.
    pub role: Role,
}

impl From<String> for Cell {
    fn from(shown: String) -> Self {
        Self { text: text::clean(&shown), sort: None, role: Role::Plain }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Cell {
    /// A number, shown as `text`.
    #[must_use]
    pub fn number(value: f64, text: String) -> Self {
        Self { sort: Some(value), ..text.into() }
    }

    /// A count.
    #[must_use]
    pub fn count(value: u64) -> Self {
        Self::number(value as f64, text::count(value))
    }

    /// With a meaning.
    #[must_use]
    pub const fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }
}

/// A row: its cells and a mark by which it is found again after a reload.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// What the row is about; unique in the grid.
    pub id: String,
    /// One for each column.
    pub cells: Vec<Cell>,
}

/// See the head of the file.
#[derive(Clone, Debug, Default)]
pub struct Grid {
    columns: Vec<Column>,
    rows: Vec<Row>,
    /// Numbers of the rows that are shown, in order.
    shown: Vec<usize>,
    selected: usize,
    /// First row on the screen.
    top: usize,
    sort: Option<(usize, bool)>,
    filter: String,
    /// Width of the panel it was drawn on last.
    width: Option<u16>,
    /// Rows that were drawn last at most.
    height: usize,
}

impl Grid {
    /// Without rows.
    #[must_use]
    pub fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), ..Self::default() }
    }

    /// Replaces the rows; the selection stays with its row, or at its place.
    pub fn fill(&mut self, rows: Vec<Row>) {
        let kept = self.current().map(|row| row.id.clone());
        self.rows = rows;
        self.arrange();
        let again = kept.and_then(|id| {
            self.shown.iter().position(|number| self.rows.get(*number).is_some_and(|row| row.id == id))
        });
        self.selected = again.unwrap_or(self.selected).min(self.shown.len().saturating_sub(1));
    }

    /// Gives up its rows.
    #[must_use]
    pub fn take(&mut self) -> Vec<Row> {
        std::mem::take(&mut self.rows)
    }

    fn arrange(&mut self) {
        let needle = self.filter.to_lowercase();
        let fits = |row: &Row| {
            needle.is_empty() || row.cells.iter().any(|c| c.text.to_lowercase().contains(&needle))
        };
        self.shown = (0..self.rows.len()).filter(|i| self.rows.get(*i).is_some_and(fits)).collect();
        if let Some((column, down)) = self.sort {
            let rows = &self.rows;
            let cell = |i: usize| rows.get(i).and_then(|row| row.cells.get(column));
            self.shown.sort_by(|a, b| {
                let order = match (cell(*a), cell(*b)) {
                    (Some(a), Some(b)) => match (a.sort, b.sort) {
                        (Some(a), Some(b)) => a.total_cmp(&b),
                        _ => a.text.cmp(&b.text),
                    },
                    (a, b) => a.is_some().cmp(&b.is_some()),
                };
                if down { order.reverse() } else { order }
            });
        }
    }

    /// Numbers of the columns that are shown on a panel of this width.
    pub fn shown_on(&mut self, width: u16) -> Vec<usize> {
        self.width = Some(width);
        self.on_screen()
    }

    fn on_screen(&self) -> Vec<usize> {
        let shown = |column: &Column| self.width.is_none_or(|width| column.shown(width));
        self.columns.iter().enumerate().filter(|(_, column)| shown(column)).map(|(i, _)| i).collect()
    }

    /// Sorts by the next column with a title: each first in its natural order (numbers downwards), then the other way, then as filled.
    pub fn sort_next(&mut self) {
        let numeric = |column: usize| {
            self.rows.first().and_then(|row| row.cells.get(column)).is_some_and(|cell| cell.sort.is_some())
        };
        let titled = |column: &usize| self.columns.get(*column).is_some_and(|c| !c.title.is_empty());
        let columns: Vec<usize> = self.on_screen().into_iter().filter(titled).collect();
        self.sort = match self.sort {
            Some((column, down)) if down == numeric(column) => Some((column, !down)),
            before => {
                let next = columns.iter().find(|&&column| before.is_none_or(|(last, _)| column > last));
                next.map(|&column| (column, numeric(column)))
            }
        };
        self.rearrange();
    }

    /// Shows only rows that contain this.
    pub fn filter(&mut self, needle: &str) {
        needle.clone_into(&mut self.filter);
        self.rearrange();
    }

    /// What is filtered by.
    #[must_use]
    pub fn filtered(&self) -> &str {
        &self.filter
    }

    /// By which column, and whether downwards.
    #[must_use]
    pub const fn sorted(&self) -> Option<(usize, bool)> {
        self.sort
    }

    fn rearrange(&mut self) {
        let kept = self.shown.get(self.selected).copied();
        self.arrange();
        self.selected = kept.and_then(|k| self.shown.iter().position(|s| *s == k)).unwrap_or(0);
    }

    /// Moves the selection.
    pub fn step(&mut self, by: isize) {
        let last = self.shown.len().saturating_sub(1);
        self.selected = self.selected.saturating_add_signed(by).min(last);
    }

    /// Selects the row at a place of the screen.
    pub fn select(&mut self, place: usize) {
        self.selected = (self.top + place).min(self.shown.len().saturating_sub(1));
    }

    /// To the first row, or the last.
    pub fn end(&mut self, last: bool) {
        self.selected = if last { self.shown.len().saturating_sub(1) } else { 0 };
    }

    /// The selected row.
    #[must_use]
    pub fn current(&self) -> Option<&Row> {
        self.rows.get(*self.shown.get(self.selected)?)
    }

    /// How many rows are shown, and how many there are.
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        (self.shown.len(), self.rows.len())
    }

    /// Whether the selection is within `near` rows of the last one.
    #[must_use]
    pub fn near_end(&self, near: usize) -> bool {
        self.selected + near >= self.shown.len()
    }

    /// Rows that there was room for when it was drawn last.
    #[must_use]
    pub const fn height(&self) -> usize {
        self.height
    }

    /// The columns.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The rows of a screen of this height, each with whether it is selected.
    pub fn screen(&mut self, height: usize) -> impl Iterator<Item = (&Row, bool)> {
        let height = height.max(1);
        self.height = height;
        if self.selected < self.top {
            self.top = self.selected;
        } else if self.selected >= self.top + height {
            self.top = self.selected + 1 - height;
        }
        self.top = self.top.min(self.shown.len().saturating_sub(height));
        let (rows, selected, top) = (&self.rows, self.selected, self.top);
        let numbers = self.shown.iter().enumerate().skip(top).take(height);
        numbers.filter_map(move |(place, number)| rows.get(*number).map(|row| (row, place == selected)))
    }

    /// All shown rows as a CSV file.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut out = String::new();
        let line = |cells: &mut dyn Iterator<Item = &str>, out: &mut String| {
            for (i, cell) in cells.enumerate() {
                if i > 0 {
                    out.push(',');
                }
                text::csv(out, cell);
            }
            out.push_str("\r\n");
        };
        line(&mut self.columns.iter().map(|c| c.title), &mut out);
        for row in self.shown.iter().filter_map(|n| self.rows.get(*n)) {
            line(&mut row.cells.iter().map(|c| c.text.as_str()), &mut out);
        }
        out
    }

    /// All shown rows as a JSON array of objects, a row a line.
    #[must_use]
    pub fn json(&self) -> String {
        let mut out = String::from("[");
        for (i, row) in self.shown.iter().filter_map(|n| self.rows.get(*n)).enumerate() {
            out.push_str(if i > 0 { ",\n" } else { "\n" });
            let titled = self.columns.iter().zip(&row.cells).filter(|(column, _)| !column.title.is_empty());
            let cells = titled.map(|(column, cell)| {
                let value = match cell.sort {
                    Some(number) if number.is_finite() => serde_json::json!(number),
                    _ => serde_json::json!(cell.text),
                };
                (column.title.to_owned(), value)
            });
            let object: serde_json::Map<String, serde_json::Value> = cells.collect();
            let _ = write!(out, "{}", serde_json::Value::Object(object));
        }
        out.push_str("\n]\n");
        out
    }

    /// The selected row as a line of text.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        let row = self.current()?;
        Some(
            row.cells
                .iter()
                .map(|c| c.text.as_str())
                .filter(|t| !t.is_empty())
                .collect::<Vec<_>>()
                .join("  "),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Grid {
        let mut grid = Grid::new(&[words("who", 10), number("bytes", 6)]);
        let row =
            |who: &str, bytes: u64| Row { id: who.to_owned(), cells: vec![who.into(), Cell::count(bytes)] };
        grid.fill(vec![row("b", 2000), row("a", 300), row("c", 10)]);
        grid
    }

    fn order(grid: &mut Grid) -> String {
        grid.screen(10).map(|(row, _)| row.id.as_str()).collect()
    }

    #[test]
    fn sorted_each_way_and_back() {
        let mut grid = sample();
        let mut seen = Vec::new();
        for _ in 0..5 {
            grid.sort_next();
            seen.push(order(&mut grid));
        }
        assert_eq!(seen, ["abc", "cba", "bac", "cab", "bac"]);
        assert_eq!(grid.sorted(), None);
    }

    #[test]
    fn the_selection_stays_with_its_row() {
        let mut grid = sample();
        grid.step(1);
        assert_eq!(grid.current().unwrap().id, "a");
        grid.sort_next();
        assert_eq!(grid.current().unwrap().id, "a");
        let row = |who: &str| Row { id: who.to_owned(), cells: vec![who.into(), Cell::count(1)] };
        grid.fill(vec![row("x"), row("c"), row("a")]);
        assert_eq!(grid.current().unwrap().id, "a");
        grid.fill(vec![row("x")]);
        assert_eq!(grid.current().unwrap().id, "x");
        grid.fill(Vec::new());
        assert!(grid.current().is_none());
        grid.step(-5);
        grid.end(true);
        assert_eq!(grid.len(), (0, 0));
    }

    #[test]
    fn filtered_scrolled_and_exported() {
        let mut grid = sample();
        grid.filter("A");
        assert_eq!((order(&mut grid), grid.len()), ("a".to_owned(), (1, 3)));
        assert_eq!(grid.csv(), "who,bytes\r\na,300\r\n");
        assert_eq!(grid.json(), "[\n{\"bytes\":300.0,\"who\":\"a\"}\n]\n");
        grid.filter("");
        grid.end(true);
        let shown: Vec<(String, bool)> = grid.screen(2).map(|(row, s)| (row.id.clone(), s)).collect();
        assert_eq!(shown, [("a".to_owned(), false), ("c".to_owned(), true)]);
        grid.select(0);
        assert_eq!(grid.line().unwrap(), "a  300");
    }
}
