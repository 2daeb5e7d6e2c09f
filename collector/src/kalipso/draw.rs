//! Draws what an [`App`] holds.
//!
//! Enters: the app and the size of the terminal. Leaves: cells, and where each panel is, so that a click can be told. Works from
//! 40 × 10 on; below it one sentence.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Wrap};

use super::app::{App, Asked};
use super::grid::Column;
use super::pages::{Page, Panel};
use super::theme::{Role, Theme};

/// Where the panels were drawn: frame and first row of the table.
pub type Places = Vec<(Rect, u16)>;

/// Least size.
const LEAST: (u16, u16) = (40, 10);

/// Draws the whole screen.
pub fn draw(app: &mut App, frame: &mut Frame<'_>) -> Places {
    let area = frame.area();
    let theme = app.theme;
    frame.render_widget(Block::new().style(theme.ground()), area);
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("Kalipso needs {} × {} characters", LEAST.0, LEAST.1);
        frame.render_widget(Paragraph::new(text).style(theme.ground()).wrap(Wrap { trim: true }), area);
        return Vec::new();
    }
    let [top, middle, message, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(5),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(area);
    let head = format!("Kalipso · {}", app.head());
    frame.render_widget(Paragraph::new(Line::styled(head, theme.style(Role::Title))), top);
    let areas = split(&app.page, app.panels.len(), middle);
    let mut places = Vec::new();
    for (number, area) in areas.iter().enumerate() {
        let focus = number == app.focus;
        if let Some(panel) = app.panels.get_mut(number) {
            places.push((*area, table(frame, theme, *area, panel, focus)));
        }
    }
    bottom(app, frame, message, keys);
    places
}

/// Areas of the panels of a page.
fn split(page: &Page, panels: usize, area: Rect) -> Vec<Rect> {
    if *page == Page::Main {
        let tree = (area.width / 4).clamp(24, 46);
        let [tree, right] = Layout::horizontal([Constraint::Length(tree), Constraint::Min(10)]).areas(area);
        let [about, timeline, evidence] =
            Layout::vertical([Constraint::Percentage(26), Constraint::Min(4), Constraint::Percentage(28)])
                .areas(right);
        return vec![tree, about, timeline, evidence];
    }
    Layout::vertical(vec![Constraint::Fill(1); panels.max(1)]).split(area).to_vec()
}

/// Draws a table; gives the line of its first row.
fn table(frame: &mut Frame<'_>, theme: Theme, area: Rect, panel: &mut Panel, focus: bool) -> u16 {
    let Panel { title, grid, more } = panel;
    let (shown_rows, all) = grid.len();
    let plus = if *more { "+" } else { "" };
    let count =
        if shown_rows == all { format!(" {all}{plus} ") } else { format!(" {shown_rows} of {all}{plus} ") };
    let role = if focus { Role::Focus } else { Role::Frame };
    // Focus is a sign too, not a colour only.
    let title = if focus { format!("» {title} ") } else { format!(" {title} ") };
    let block = Block::new()
        .borders(Borders::ALL)
        .border_style(theme.style(role))
        .title(Span::styled(title, theme.style(role)))
        .title_bottom(Line::from(Span::styled(count, theme.style(Role::Dim))).right_aligned());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    if inner.width == 0 || inner.height == 0 {
        return inner.y;
    }
    let shown: Vec<usize> = grid.shown_on(inner.width);
    let columns: Vec<Column> = shown.iter().filter_map(|i| grid.columns().get(*i)).copied().collect();
    let sorted = grid.sorted();
    let widths = widths(&columns, inner.width as usize);
    let mut y = inner.y;
    if columns.iter().any(|c| !c.title.is_empty()) && columns.len() > 1 && inner.height > 2 {
        let mut spans = Vec::new();
        for (&i, (column, width)) in shown.iter().zip(columns.iter().zip(&widths)) {
            let arrow = match sorted {
                Some((at, down)) if at == i => {
                    if down {
                        "↓"
                    } else {
                        "↑"
                    }
                }
                _ => "",
            };
            spans.push(Span::styled(
                fit(&format!("{}{arrow}", column.title), *width, column.right),
                theme.style(Role::Title),
            ));
            spans.push(Span::raw(" "));
        }
        frame.render_widget(Paragraph::new(Line::from(spans)), Rect { y, height: 1, ..inner });
        y += 1;
    }
    let height = (inner.y + inner.height).saturating_sub(y);
    if shown_rows == 0 && height > 0 {
        let text = if all > 0 { "nothing fits the filter" } else { "nothing" };
        let at = Rect { y, height: 1, ..inner };
        frame.render_widget(Paragraph::new(Line::styled(text, theme.style(Role::Dim))), at);
    }
    for (line, (row, selected)) in grid.screen(height as usize).enumerate() {
        let mut spans = Vec::new();
        let cells = shown.iter().filter_map(|i| row.cells.get(*i));
        for ((cell, column), width) in cells.zip(&columns).zip(&widths) {
            spans.push(Span::styled(fit(&cell.text, *width, column.right), theme.style(cell.role)));
            spans.push(Span::raw(" "));
        }
        let style = match (selected, focus) {
            (true, true) => theme.style(Role::Selected),
            _ => Style::new(),
        };
        let at = Rect { y: y + line as u16, height: 1, ..inner };
        frame.render_widget(Paragraph::new(Line::from(spans)).style(style), at);
    }
    y
}

/// Width of each column: fixed ones first, what is left is shared by those without.
fn widths(columns: &[Column], width: usize) -> Vec<usize> {
    let gaps = columns.len();
    let fixed: usize = columns.iter().map(|c| c.width as usize).sum();
    let open = columns.iter().filter(|c| c.width == 0).count();
    let left = width.saturating_sub(fixed + gaps.saturating_sub(1));
    // A narrow screen: fixed columns shrink so that the open ones keep a third, or enough to read.
    let third = (width / 3).min(30 * open);
    let squeeze = |w: usize| {
        if left >= third || fixed == 0 { w } else { (w * width.saturating_sub(third + gaps) / fixed).max(3) }
    };
    let taken: usize = columns.iter().filter(|c| c.width > 0).map(|c| squeeze(c.width as usize)).sum();
    let rest = width.saturating_sub(taken + gaps.saturating_sub(1));
    columns.iter().map(|c| if c.width > 0 { squeeze(c.width as usize) } else { rest / open.max(1) }).collect()
}

/// Text of exactly this many cells; what does not fit ends in `…`.
fn fit(text: &str, width: usize, right: bool) -> String {
    let wide = |text: &str| Span::raw(text.to_owned()).width();
    let mut shown = text.to_owned();
    if wide(&shown) > width {
        while !shown.is_empty() && wide(&shown) + 1 > width {
            shown.pop();
        }
        if width > 0 {
            shown.push('…');
        }
    }
    let pad = " ".repeat(width.saturating_sub(wide(&shown)));
    if right { pad + &shown } else { shown + &pad }
}

/// The line of messages and prompts, and the line of keys.
fn bottom(app: &App, frame: &mut Frame<'_>, message: Rect, keys: Rect) {
    let theme = app.theme;
    let line = match &app.prompt {
        None if app.message.is_empty() && app.page == Page::Evidence && !app.line.is_empty() => {
            Line::from(vec![Span::styled("query ", theme.style(Role::Key)), Span::raw(app.line.clone())])
        }
        None => Line::styled(super::text::clean(&app.message), theme.style(Role::Warn)),
        Some(prompt) => {
            let what = match &prompt.what {
                Asked::Query => "query: ".to_owned(),
                Asked::Filter => "filter: ".to_owned(),
                Asked::Save => "save the query as: ".to_owned(),
                Asked::Confirm(verb, subject) => {
                    format!("{verb} {subject}? Enter does it, Esc does not. Why: ")
                }
            };
            let width = (what.chars().count() + prompt.line.chars().count()) as u16;
            frame.render_widget(Clear, message);
            frame.set_cursor_position((message.x + width.min(message.width.saturating_sub(1)), message.y));
            Line::from(vec![
                Span::styled(what, theme.style(Role::Key)),
                Span::raw(super::text::clean(&prompt.line)),
            ])
        }
    };
    frame.render_widget(Paragraph::new(line).style(theme.ground()), message);
    let entries: &[(&str, &str)] = match app.page {
        Page::Main => &[
            ("TAB", "next"),
            ("e d f t r u", "ports, addresses"),
            ("i y", "tuples"),
            ("v", "evidence"),
            ("a", "alerts"),
            ("w", "windows"),
            ("n", "names"),
            ("s", "sites"),
            ("l", "live"),
            ("b", "blocks"),
            ("?", "help"),
            ("q", "quit"),
        ],
        Page::Evidence => &[
            ("/", "query"),
            ("m", "save it"),
            ("Enter", "flows"),
            ("S", "sort"),
            ("x X", "export"),
            ("B U W", "block, unblock, whitelist"),
            ("Esc", "back"),
        ],
        _ => &[
            ("/", "filter"),
            ("S", "sort"),
            ("TAB", "next"),
            ("Enter", "open"),
            ("x X", "export"),
            ("c", "copy"),
            ("?", "help"),
            ("Esc", "back"),
            ("q", "quit"),
        ],
    };
    let mut spans = Vec::new();
    for (key, does) in entries {
        spans.push(Span::styled(*key, theme.style(Role::Key)));
        spans.push(Span::styled(format!(" {does}  "), theme.style(Role::Dim)));
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), keys);
}

#[cfg(test)]
mod tests {
    use super::super::grid::{number, words};
    use super::*;

    #[test]
    fn texts_fit_their_cells_exactly() {
        assert_eq!(fit("abc", 5, false), "abc  ");
        assert_eq!(fit("abc", 5, true), "  abc");
        assert_eq!(fit("abcdef", 4, false), "abc…");
        assert_eq!(fit("漢字漢字", 5, false), "漢字…", "two cells each");
        assert_eq!(fit("abc", 0, false), "");
    }

    #[test]
    fn columns_share_a_screen_of_any_width() {
        let columns = [words("a", 19), words("b", 15), number("c", 6), words("d", 0)];
        for width in 1..300 {
            let sum: usize = widths(&columns, width).iter().sum::<usize>() + 3;
            assert!(width < 20 || sum <= width, "{width}: {:?}", widths(&columns, width));
        }
        assert_eq!(widths(&columns, 80), [19, 15, 6, 37]);
    }
}
