//! Colours by meaning. Nothing is told by colour alone: whatever has one also has a word or a sign.
//!
//! Two themes with a contrast of at least 4.5 to 1 (WCAG 2.1) on black and on white, and one without colours for `NO_COLOR` and
//! for terminals that have none.

use ratatui::style::{Color, Modifier, Style};

/// What a text means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Ordinary text.
    Plain,
    /// Of less importance.
    Dim,
    /// Head of a column, title.
    Title,
    /// Frame of the panel that has the keys.
    Focus,
    /// Frame of another panel.
    Frame,
    /// The selected row.
    Selected,
    /// Malicious, high, critical.
    Bad,
    /// Medium.
    Warn,
    /// Low.
    Low,
    /// Well: connected, established.
    Good,
    /// A name of a key.
    Key,
}

/// Which colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Theme {
    /// On a dark ground.
    #[default]
    Dark,
    /// On a light ground.
    Light,
    /// Without colours.
    Mono,
}

impl Theme {
    /// From what a person writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "dark" => Some(Self::Dark),
            "light" => Some(Self::Light),
            "mono" => Some(Self::Mono),
            _ => None,
        }
    }

    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Dark => Self::Light,
            Self::Light => Self::Mono,
            Self::Mono => Self::Dark,
        }
    }

    /// Ground and text of the whole screen.
    #[must_use]
    pub fn ground(self) -> Style {
        match self {
            Self::Dark => Style::new().bg(Color::Rgb(16, 18, 22)).fg(Color::Rgb(222, 226, 230)),
            Self::Light => Style::new().bg(Color::Rgb(252, 252, 250)).fg(Color::Rgb(30, 34, 40)),
            Self::Mono => Style::new(),
        }
    }

    /// The style of a text.
    #[must_use]
    pub fn style(self, role: Role) -> Style {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let Some((r, g, b)) = self.colour(role) else {
            return match role {
                Role::Selected => Style::new().add_modifier(Modifier::REVERSED),
                Role::Title | Role::Focus | Role::Bad | Role::Key => bold,
                Role::Dim => Style::new().add_modifier(Modifier::DIM),
                _ => Style::new(),
            };
        };
        let colour = Color::Rgb(r, g, b);
        match role {
            Role::Selected => self.ground().bg(colour).add_modifier(Modifier::BOLD),
            Role::Title | Role::Focus | Role::Bad | Role::Key => bold.fg(colour),
            _ => Style::new().fg(colour),
        }
    }

    const fn colour(self, role: Role) -> Option<(u8, u8, u8)> {
        Some(match (self, role) {
            (Self::Mono, _) | (_, Role::Plain) => return None,
            (Self::Dark, Role::Dim) => (150, 156, 164),
            (Self::Dark, Role::Title) => (130, 190, 255),
            (Self::Dark, Role::Focus) => (255, 170, 230),
            (Self::Dark, Role::Frame) => (130, 138, 148),
            (Self::Dark, Role::Selected) => (52, 66, 92),
            (Self::Dark, Role::Bad) => (255, 120, 112),
            (Self::Dark, Role::Warn) => (255, 190, 90),
            (Self::Dark, Role::Low) => (240, 230, 140),
            (Self::Dark, Role::Good) => (120, 215, 140),
            (Self::Dark, Role::Key) => (130, 220, 220),
            (Self::Light, Role::Dim) => (92, 98, 106),
            (Self::Light, Role::Title) => (0, 76, 160),
            (Self::Light, Role::Focus) => (150, 0, 110),
            (Self::Light, Role::Frame) => (104, 110, 118),
            (Self::Light, Role::Selected) => (205, 222, 246),
            (Self::Light, Role::Bad) => (176, 0, 16),
            (Self::Light, Role::Warn) => (142, 76, 0),
            (Self::Light, Role::Low) => (110, 92, 0),
            (Self::Light, Role::Good) => (0, 106, 40),
            (Self::Light, Role::Key) => (0, 98, 108),
        })
    }
}

/// The role of a threat level by its name.
#[must_use]
pub fn level(name: &str) -> Role {
    match name {
        "critical" | "high" => Role::Bad,
        "medium" => Role::Warn,
        "low" => Role::Low,
        _ => Role::Dim,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: [Role; 10] = [
        Role::Dim,
        Role::Title,
        Role::Focus,
        Role::Frame,
        Role::Bad,
        Role::Warn,
        Role::Low,
        Role::Good,
        Role::Key,
        Role::Plain,
    ];

    /// Relative luminance of WCAG 2.1.
    fn luminance(colour: Color) -> f64 {
        let Color::Rgb(r, g, b) = colour else { panic!("{colour:?}") };
        let part = |v: u8| {
            let v = f64::from(v) / 255.0;
            if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b)
    }

    #[test]
    fn contrast_is_sufficient_on_the_ground_and_on_the_selection() {
        for theme in [Theme::Dark, Theme::Light] {
            for ground in [theme.ground().bg.unwrap(), theme.style(Role::Selected).bg.unwrap()] {
                let selection = ground != theme.ground().bg.unwrap();
                // Frames are never part of a selected row.
                for role in
                    ROLES.into_iter().filter(|role| !selection || !matches!(role, Role::Frame | Role::Focus))
                {
                    let text = theme.style(role).fg.or(theme.ground().fg).unwrap();
                    let (a, b) = (luminance(text), luminance(ground));
                    let ratio = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                    let least = if selection { 3.0 } else { 4.5 };
                    assert!(ratio >= least, "{theme:?} {role:?}: {ratio:.2}");
                }
            }
        }
    }

    #[test]
    fn without_colours_there_are_none() {
        assert!(ROLES.iter().all(|role| {
            let style = Theme::Mono.style(*role);
            style.fg.is_none() && style.bg.is_none()
        }));
    }
}
