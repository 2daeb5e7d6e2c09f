//! Every page as a golden picture; every size.

use super::super::theme::Theme;
use super::*;

/// Page, and the keys that lead there.
pub const PAGES: &[(&str, &str)] = &[
    ("main", ""),
    ("main-open", "<enter><down><down>"),
    ("source-ports", "e"),
    ("destination-addresses", "d"),
    ("destination-ports", "f"),
    ("destination-ports-peers", "t"),
    ("server-ports", "r"),
    ("server-addresses", "u"),
    ("out-tuples", "i"),
    ("in-tuples", "y"),
    ("evidence", "v"),
    ("query", "v/score:>=0.8 level:"),
    ("flows", "v<enter>"),
    ("alerts", "a"),
    ("alert", "a<enter>"),
    ("sites", "s"),
    ("windows", "w"),
    ("names", "n"),
    ("live", "l"),
    ("blocks", "b"),
    ("help", "?"),
    ("confirm", "B"),
];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/collector/kalipso")
}

fn pictures() -> Vec<(String, String)> {
    let dir = Dir::new("golden");
    let mut made = Vec::new();
    for (name, keys) in PAGES {
        let mut app = app(&dir, false);
        press(&mut app, keys);
        // Prompts stay as they are while themes change.
        for (theme, word) in [(Theme::Dark, "dark"), (Theme::Light, "light")] {
            app.theme = theme;
            for (width, height) in [(80, 24), (200, 50)] {
                made.push((
                    format!("{name}-{width}x{height}-{word}.txt"),
                    picture(&mut app, width, height, true),
                ));
            }
        }
    }
    made
}

#[test]
fn every_page_is_its_picture() {
    let folder = golden();
    let mut wrong = Vec::new();
    for (name, now) in pictures() {
        let known = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
        if known != now {
            let line = known.lines().zip(now.lines()).position(|(a, b)| a != b).unwrap_or(0);
            wrong.push(format!(
                "{name}, line {}:\n  {}\n  {}",
                line + 1,
                known.lines().nth(line).unwrap_or(""),
                now.lines().nth(line).unwrap_or("")
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "cargo test -p slips kalipso_write -- --ignored, then look:\n{}",
        wrong.join("\n")
    );
}

#[test]
#[ignore = "writes the pictures"]
fn kalipso_write() {
    std::fs::create_dir_all(golden()).unwrap();
    for (name, now) in pictures() {
        std::fs::write(golden().join(name), now).unwrap();
    }
}

#[test]
fn every_size_can_be_drawn_and_nothing_steers_the_terminal() {
    let dir = Dir::new("sizes");
    let mut app = app(&dir, false);
    for (_, keys) in PAGES {
        press(&mut app, "<esc><esc>");
        press(&mut app, keys);
        for (width, height) in [(1, 1), (20, 5), (40, 10), (41, 11), (80, 24), (132, 43), (300, 80)] {
            let shown = picture(&mut app, width, height, false);
            assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{keys}: {shown:?}");
        }
    }
}
