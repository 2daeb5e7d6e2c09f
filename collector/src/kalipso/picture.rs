//! A picture of a screen as SVG: for reports, and for the README. Drawn by the same code as the screen itself.
//!
//! Enters: cells that were drawn. Leaves: an SVG file without scripts, fonts or links. The same cells give the same bytes.

use std::fmt::Write as _;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

use super::theme::Theme;

/// Width and height of a cell, in tenths of a unit.
const CELL: (u32, u32) = (84, 180);
/// Around the screen.
const MARGIN: u32 = 80;

/// An SVG file of what was drawn.
#[must_use]
pub fn svg(cells: &Buffer, theme: Theme) -> String {
    let ground = theme.ground();
    // Without colours of its own the terminal's are not known: black on white.
    let back = ground.bg.and_then(hex).unwrap_or_else(|| "#ffffff".to_owned());
    let front = ground.fg.and_then(hex).unwrap_or_else(|| "#000000".to_owned());
    let (columns, rows) = (u32::from(cells.area.width), u32::from(cells.area.height));
    let (width, height) = (columns * CELL.0 + 2 * MARGIN, rows * CELL.1 + 2 * MARGIN);
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace\" font-size=\"14\" fill=\"{front}\">",
        tenths(width),
        tenths(height)
    );
    let _ = writeln!(out, "<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{back}\"/>");
    for y in 0..cells.area.height {
        let mut x = 0;
        while x < cells.area.width {
            let look = |x: u16| cells.cell((x, y)).map(|cell| (look(cell, &back, &front), cell));
            let Some((style, _)) = look(x) else { break };
            let (mut text, mut end) = (String::new(), x);
            while let Some((_, cell)) = look(end).filter(|(next, _)| *next == style) {
                // The cell behind a wide character is empty.
                text.push_str(cell.symbol());
                end += 1;
            }
            run(&mut out, (x, y, end - x), &text, &style, &back, &front);
            x = end;
        }
    }
    out.push_str("</svg>\n");
    out
}

/// Colour of text and ground, and whether it is bold.
type Look = (String, String, bool);

fn look(cell: &Cell, back: &str, front: &str) -> Look {
    let mut colours =
        (hex(cell.fg).unwrap_or_else(|| front.to_owned()), hex(cell.bg).unwrap_or_else(|| back.to_owned()));
    if cell.modifier.contains(Modifier::REVERSED) {
        colours = (colours.1, colours.0);
    }
    (colours.0, colours.1, cell.modifier.contains(Modifier::BOLD))
}

/// Cells beside each other that look alike.
fn run(out: &mut String, (x, y, count): (u16, u16, u16), text: &str, look: &Look, back: &str, front: &str) {
    let left = MARGIN + u32::from(x) * CELL.0;
    let top = MARGIN + u32::from(y) * CELL.1;
    let width = u32::from(count) * CELL.0;
    let (colour, ground, bold) = look;
    if ground != back {
        let _ = writeln!(
            out,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{ground}\"/>",
            tenths(left),
            tenths(top),
            tenths(width),
            tenths(CELL.1)
        );
    }
    let shown = text.trim_end();
    if shown.trim_start().is_empty() {
        return;
    }
    let cells = u32::try_from(ratatui::text::Span::raw(shown).width()).unwrap_or(0);
    let fill = if colour == front { String::new() } else { format!(" fill=\"{colour}\"") };
    let weight = if *bold { " font-weight=\"bold\"" } else { "" };
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" textLength=\"{}\" xml:space=\"preserve\"{fill}{weight}>{}</text>",
        tenths(left),
        tenths(top + 140),
        tenths(cells * CELL.0),
        escaped(shown)
    );
}

fn tenths(n: u32) -> String {
    if n.is_multiple_of(10) { (n / 10).to_string() } else { format!("{}.{}", n / 10, n % 10) }
}

fn hex(colour: Color) -> Option<String> {
    match colour {
        Color::Rgb(r, g, b) => Some(format!("#{r:02x}{g:02x}{b:02x}")),
        _ => None,
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn runs_of_cells_that_look_alike() {
        let mut cells = Buffer::empty(Rect::new(0, 0, 8, 2));
        cells.set_string(0, 0, "a<b", Style::new());
        cells.set_string(4, 0, "漢", Style::new().fg(Color::Rgb(1, 2, 3)).add_modifier(Modifier::BOLD));
        cells.set_string(0, 1, "&", Style::new().bg(Color::Rgb(9, 9, 9)));
        let made = svg(&cells, Theme::Mono);
        assert!(made.contains("textLength=\"25.2\" xml:space=\"preserve\">a&lt;b</text>"), "{made}");
        assert!(made.contains(
            "textLength=\"16.8\" xml:space=\"preserve\" fill=\"#010203\" font-weight=\"bold\">漢<"
        ));
        assert!(made.contains("fill=\"#090909\"/>") && made.contains(">&amp;</text>"));
        assert_eq!(made.matches("<text").count(), 3);
    }
}
