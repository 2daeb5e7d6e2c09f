//! Behavioural letters: one character or more for each flow of a tuple, from periodicity, size and duration.
//!
//! Enters: start, duration and bytes of the flows of one tuple in the order of the site. Leaves: the string of Slips 0.7.1,
//! extended by each flow at constant cost. All arithmetic is on whole microseconds, so a border is on the same side on every
//! machine. Bounded: the last [`Letters::KEPT`] characters are kept, and how long the string is in all.

use std::net::IpAddr;

/// The tuple a string belongs to, within one window of one profile.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tuple {
    /// The profile opened the flows (out tuple), or was asked (in tuple).
    pub outgoing: bool,
    /// The other end.
    pub peer: IpAddr,
    /// Responder's port (code for ICMP).
    pub port: u16,
    /// IP protocol number.
    pub proto: u8,
}

/// The string of one tuple.
#[derive(Clone, Debug)]
pub struct Letters {
    /// Which tuple.
    pub tuple: Tuple,
    text: Text,
    /// Characters cut off at the front.
    cut: u32,
    /// Start of the latest flow and of the one before, µs, or [`NEVER`].
    last_us: u64,
    before_us: u64,
}

/// Short strings, which nearly all are, live inside the record.
type Text = tinyvec::TinyVec<[u8; 22]>;

/// No such flow yet. There are many tuples, and an `Option` would take twice the room.
const NEVER: u64 = u64::MAX;

const fn known(us: u64) -> Option<u64> {
    if us == NEVER { None } else { Some(us) }
}

const HOUR_US: i128 = 3_600_000_000;

impl Letters {
    /// Characters kept: the model of C&C channels reads 500.
    pub const KEPT: usize = 1000;
    /// When the string is cut, it is cut to this, so that not every flow moves it.
    const CUT_TO: usize = 600;
    /// Zeros written for one pause: more hours do not change what follows.
    const MAX_ZEROS: usize = 600;

    /// Without flows.
    #[must_use]
    pub fn new(tuple: Tuple) -> Self {
        Self { tuple, text: Text::default(), cut: 0, last_us: NEVER, before_us: NEVER }
    }

    /// The characters, from the first, or the last [`Letters::KEPT`] of a longer string.
    #[must_use]
    pub fn text(&self) -> &str {
        // Only ASCII is ever pushed.
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// Start of the flow before the latest, and of the latest.
    #[must_use]
    pub const fn times(&self) -> [Option<u64>; 2] {
        [known(self.before_us), known(self.last_us)]
    }

    /// Length of the whole string.
    #[must_use]
    pub fn len(&self) -> usize {
        self.text.len() + self.cut as usize
    }

    /// Before the first flow.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether Slips would publish the string now: its length is divisible by 3, and this is not the first flow.
    #[must_use]
    pub fn published(&self) -> bool {
        self.before_us != NEVER && self.len().is_multiple_of(3)
    }

    /// Adds a flow that started at `start_us`, lasted `duration_us` and moved `bytes` both ways.
    pub fn add(&mut self, start_us: u64, duration_us: u64, bytes: u64) {
        let pause = |from: Option<u64>, to: u64| from.map(|from| i128::from(to) - i128::from(from));
        let start_us = start_us.min(NEVER - 1);
        let t2 = pause(known(self.last_us), start_us);
        let t1 = known(self.last_us).and_then(|last| pause(known(self.before_us), last));
        let periodicity = t1.zip(t2).map(|(t1, t2)| periodicity(t1, t2));
        if let Some(t2) = t2.filter(|t2| periodicity.is_some() && *t2 >= HOUR_US) {
            let zeros = usize::try_from(t2 / HOUR_US).unwrap_or(usize::MAX).min(Self::MAX_ZEROS);
            self.text.extend(std::iter::repeat_n(b'0', zeros));
        }
        let duration = match duration_us {
            0..=100_000 => 0,
            100_001..=10_000_000 => 1,
            _ => 2,
        };
        let size = match bytes {
            0..=250 => 0,
            251..=1100 => 1,
            _ => 2,
        };
        let first = match periodicity {
            None => b'1',
            Some(Periodicity::Strong) => b'a',
            Some(Periodicity::Weak) => b'A',
            Some(Periodicity::WeakNot) => b'r',
            Some(Periodicity::StrongNot) => b'R',
        };
        self.text.push(first + 3 * size + duration);
        match t2 {
            None => {}
            Some(..=5_000_000) => self.text.push(b'.'),
            Some(..=60_000_000) => self.text.push(b','),
            Some(..=300_000_000) => self.text.push(b'+'),
            Some(..=HOUR_US) => self.text.push(b'*'),
            Some(_) => {}
        }
        self.before_us = self.last_us;
        self.last_us = start_us;
        if self.text.len() > Self::KEPT {
            let cut = self.text.len() - Self::CUT_TO;
            self.text.drain(..cut);
            self.cut = self.cut.saturating_add(u32::try_from(cut).unwrap_or(u32::MAX));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Periodicity {
    Strong,
    Weak,
    WeakNot,
    StrongNot,
}

/// Ratio of two pauses, the larger over the smaller by sign: up to 1.05, 1.3, 5, above. A pause of zero below counts as ratio
/// 1; a negative ratio (flows out of order) is below 1.05 too.
const fn periodicity(t1: i128, t2: i128) -> Periodicity {
    let (over, under) = if t2 >= t1 { (t2, t1) } else { (t1, t2) };
    if under == 0 || (over < 0) != (under < 0) {
        return Periodicity::Strong;
    }
    let (over, under) = (over.unsigned_abs(), under.unsigned_abs());
    if over * 100 <= under * 105 {
        Periodicity::Strong
    } else if over * 10 <= under * 13 {
        Periodicity::Weak
    } else if over <= under * 5 {
        Periodicity::WeakNot
    } else {
        Periodicity::StrongNot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tuple() -> Tuple {
        Tuple { outgoing: true, peer: "192.0.2.1".parse().unwrap(), port: 80, proto: 6 }
    }

    fn letters(times: &[f64], duration: f64, bytes: u64) -> Letters {
        let us = |s: f64| (s * 1e6).round() as u64;
        let mut letters = Letters::new(tuple());
        for t in times {
            letters.add(us(*t) + 1_000_000_000, us(duration), bytes);
        }
        letters
    }

    /// Vectors of the reference, made by the original function.
    #[test]
    fn vectors_of_the_original() {
        let steps = |n: u32, step: f64| (0..n).map(|i| f64::from(i) * step).collect::<Vec<_>>();
        for (times, duration, bytes, expected) in [
            (steps(6, 60.0), 0.05, 200, "11,a,a,a,a,"),
            (steps(5, 60.0), 5.0, 1000, "55,e,e,e,"),
            (vec![0., 10., 20., 33., 47., 127., 206.], 12.0, 5000, "99,i,I,I,Z+i+"),
            (vec![0., 3600., 7200., 14399., 34399.], 0.1, 250, "11*0a*0r00000r"),
            (steps(4, 0.0), 0.0, 0, "11.a.a."),
            (vec![0., 10., 5., 15.], 1.0, 300, "55,e.e,"),
            (vec![0., 100., 205., 341.5, 1024.], 10.0, 1100, "55+e+E+v*"),
            (vec![0., 5., 65., 365., 3965., 7566.], 10.01, 1101, "99.Z,z+0Z*0i"),
        ] {
            assert_eq!(letters(&times, duration, bytes).text(), expected, "{times:?}");
        }
    }

    /// First vector: published at lengths 3 and 9.
    #[test]
    fn published_at_lengths_divisible_by_three() {
        let mut at = Vec::new();
        let mut string = Letters::new(tuple());
        for i in 0..6_u64 {
            string.add(i * 60_000_000, 50_000, 200);
            if string.published() {
                at.push(string.len());
            }
        }
        assert_eq!(at, [3, 9]);
    }

    #[test]
    fn a_long_string_keeps_its_end_and_its_length() {
        let times: Vec<f64> = (0..5000).map(|i| f64::from(i) * 60.0).collect();
        let long = letters(&times, 0.05, 200);
        assert_eq!(long.len(), 1 + 2 * 4999);
        assert!(long.text().len() <= Letters::KEPT && long.text().ends_with("a,a,a,"));
        let hours = letters(&[0.0, 10.0, 4e9], 0.0, 0);
        assert!(hours.text().len() <= Letters::KEPT, "a pause of a century is bounded too");
    }

    /// The rules as the reference words them, in floating point and without bounds.
    fn plain(flows: &[(u64, u64, u64)]) -> String {
        let mut out = String::new();
        for (i, (start, duration, bytes)) in flows.iter().enumerate() {
            let at = |back: usize| i.checked_sub(back).map(|j| flows[j].0 as f64 / 1e6);
            let now = *start as f64 / 1e6;
            let t2 = at(1).map(|last| now - last);
            let t1 = at(1).zip(at(2)).map(|(last, before)| last - before);
            let p = t1.zip(t2).map(|(t1, t2)| {
                let td = if t2 >= t1 { t2 / t1 } else { t1 / t2 };
                let td = if td.is_finite() { td } else { 1.0 };
                if td <= 1.05 {
                    0
                } else if td <= 1.3 {
                    1
                } else if td <= 5.0 {
                    2
                } else {
                    3
                }
            });
            if let Some(t2) = t2.filter(|t2| p.is_some() && *t2 >= 3600.0) {
                out.extend(std::iter::repeat_n('0', (t2 / 3600.0) as usize));
            }
            let d = if *duration <= 100_000 {
                0
            } else if *duration <= 10_000_000 {
                1
            } else {
                2
            };
            let s = if *bytes <= 250 {
                0
            } else if *bytes <= 1100 {
                1
            } else {
                2
            };
            let row = p.map_or("123456789", |p| ["abcdefghi", "ABCDEFGHI", "rstuvwxyz", "RSTUVWXYZ"][p]);
            out.push(row.as_bytes()[3 * s + d] as char);
            match t2 {
                Some(t) if t <= 5.0 => out.push('.'),
                Some(t) if t <= 60.0 => out.push(','),
                Some(t) if t <= 300.0 => out.push('+'),
                Some(t) if t <= 3600.0 => out.push('*'),
                _ => {}
            }
        }
        out
    }

    proptest! {
        /// Whole seconds are exact in floating point too, so both must agree, also out of order.
        #[test]
        fn equals_the_plain_rules(flows in prop::collection::vec((0_u64..20_000, 0_u64..20, 0_u64..2000), 0..60)) {
            let flows: Vec<_> = flows.into_iter().map(|(t, d, b)| (t * 1_000_000, d * 1_000_000, b)).collect();
            let mut string = Letters::new(tuple());
            for (t, d, b) in &flows {
                string.add(*t, *d, *b);
            }
            prop_assert_eq!(string.text(), plain(&flows));
        }

        #[test]
        fn bounded_and_ascii_whatever_comes(flows in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 0..40)) {
            let mut string = Letters::new(tuple());
            for (t, d, b) in flows {
                string.add(t, d, b);
                prop_assert!(string.text().len() <= Letters::KEPT && string.len() >= string.text().len());
            }
        }
    }
}
