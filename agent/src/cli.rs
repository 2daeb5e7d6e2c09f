//! Helpers of both command lines.

/// The known word nearest to what was written, if one is near enough to be meant: at most one third of its letters differ
/// (inserted, left out, exchanged or swapped with the neighbour), one difference always, all of them never.
#[must_use]
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.trim_start_matches('-').to_ascii_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for word in known {
        let plain = word.trim_start_matches('-');
        let distance = distance(written.as_bytes(), plain.as_bytes());
        let longest = plain.len().max(written.len());
        if distance <= (longest / 3).max(1)
            && distance < longest
            && best.is_none_or(|(least, _)| distance < least)
        {
            best = Some((distance, word));
        }
    }
    best.map(|(_, word)| word)
}

/// Edit distance with neighbours swapped as one step. Words of a command line are short; longer ones are cut at 64 bytes.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let (a, b) = (a.get(..64).unwrap_or(a), b.get(..64).unwrap_or(b));
    let width = b.len() + 1;
    let mut before_last = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1; width];
        for (j, y) in b.iter().enumerate() {
            let at = |line: &[usize], k: usize| line.get(k).copied().unwrap_or(usize::MAX / 2);
            let mut least =
                (at(&row, j) + 1).min(at(&last, j + 1) + 1).min(at(&last, j) + usize::from(x != y));
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                least = least.min(at(&before_last, j - 1) + 1);
            }
            if let Some(cell) = row.get_mut(j + 1) {
                *cell = least;
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_near_words_are_proposed() {
        let known = ["--check", "--json", "home_network", "-r"];
        assert_eq!(nearest("--chekc", known), Some("--check"));
        assert_eq!(nearest("home_netwrok", known), Some("home_network"));
        assert_eq!(nearest("--jsn", known), Some("--json"));
        assert_eq!(nearest("zzz", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest("-x", known), None);
    }
}
