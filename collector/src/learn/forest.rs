//! A forest of decision trees: score of a row of numbers, and which of them spoke.
//!
//! Enters: a model file (safetensors) and rows. Leaves: the mean over the trees of the share of malicious training rows in the
//! leaf a row falls into, 0 to 1. Walking a tree also gives what each feature added: the change of that share along the path
//! (Saabas 2014), so a decision can be explained. A file is checked before it is used: every child lies behind its parent, so
//! that no walk is endless, and every number is finite.

use std::collections::HashMap;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// What the `format` of a file must begin with; the kind of rows follows.
pub const FORMAT: &str = "slips-forest-1";
/// A file with more is refused: 64 trees of 20,000 nodes.
const MAX_FILE: usize = 32 << 20;

/// One node. A leaf has no children.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Node {
    /// Feature that is compared.
    pub feature: u16,
    /// At most this goes left.
    pub threshold: f32,
    /// Nodes; 0 for a leaf.
    pub children: [u32; 2],
    /// Share of malicious training rows that came here.
    pub value: f32,
}

/// The trees, with all their nodes in one list.
#[derive(Clone, PartialEq, Debug)]
pub struct Forest {
    nodes: Vec<Node>,
    roots: Vec<u32>,
    /// Names of the features, in the order of a row.
    pub features: Vec<String>,
    /// Score from which a row is told.
    pub threshold: f32,
}

/// A score with its reasons.
#[derive(Clone, PartialEq, Debug)]
pub struct Reasons {
    /// 0 to 1.
    pub score: f32,
    /// What each feature added to the score, the strongest first; features that added nothing are left out.
    pub features: Vec<(usize, f32)>,
}

impl Forest {
    /// Of trees whose nodes count from their own root; `None` when a tree is no tree.
    #[must_use]
    pub fn new(trees: Vec<Vec<Node>>, features: Vec<String>, threshold: f32) -> Option<Self> {
        let (mut nodes, mut roots) = (Vec::new(), Vec::new());
        for tree in trees {
            let base = u32::try_from(nodes.len()).ok()?;
            roots.push(base);
            nodes.extend(tree.into_iter().map(|node| Node {
                children: node.children.map(|c| if c == 0 { 0 } else { c.saturating_add(base) }),
                ..node
            }));
        }
        let forest = Self { nodes, roots, features, threshold };
        forest.sound().is_ok().then_some(forest)
    }

    /// From the bytes of a file for rows of `kind`.
    ///
    /// # Errors
    /// One sentence: why these bytes cannot be used.
    pub fn load(bytes: &[u8], kind: &str, features: &[&str]) -> Result<Self, String> {
        if bytes.len() > MAX_FILE {
            return Err(format!("has {} bytes, a forest has at most {MAX_FILE}", bytes.len()));
        }
        let broken = |e| format!("is no safetensors file ({e})");
        let file = SafeTensors::deserialize(bytes).map_err(broken)?;
        let (_, head) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let words = head.metadata().clone().unwrap_or_default();
        let expected = format!("{FORMAT} {kind}");
        match words.get("format") {
            Some(format) if *format == expected => {}
            other => {
                return Err(format!("has the format {}, expected {expected}", other.map_or("(none)", |f| f)));
            }
        }
        if words.get("features").is_none_or(|names| names.split(' ').ne(features.iter().copied())) {
            return Err(format!("was made for other features than {}", features.join(" ")));
        }
        let threshold =
            words.get("threshold").and_then(|t| t.parse::<f32>().ok()).filter(|t| (0.0..=1.0).contains(t));
        let whole = |name: &str| {
            let view = file.tensor(name).map_err(|_| format!("lacks {name}"))?;
            cells(&view, name, Dtype::U32, u32::from_le_bytes)
        };
        let real = |name: &str| {
            let view = file.tensor(name).map_err(|_| format!("lacks {name}"))?;
            cells(&view, name, Dtype::F32, f32::from_le_bytes)
        };
        let (feature, left, right) = (whole("feature")?, whole("left")?, whole("right")?);
        let (limit, value) = (real("threshold")?, real("value")?);
        let count = feature.len();
        if [left.len(), right.len(), limit.len(), value.len()].iter().any(|n| *n != count) {
            return Err("has tables of different lengths".to_owned());
        }
        let rows = feature.iter().zip(&limit).zip(left.iter().zip(&right)).zip(&value);
        let nodes = rows.map(|(((feature, threshold), (left, right)), value)| Node {
            feature: u16::try_from(*feature).unwrap_or(u16::MAX),
            threshold: *threshold,
            children: [*left, *right],
            value: *value,
        });
        let forest = Self {
            nodes: nodes.collect(),
            roots: whole("roots")?,
            features: features.iter().map(|&f| f.to_owned()).collect(),
            threshold: threshold.ok_or("has no threshold between 0 and 1")?,
        };
        forest.sound().map(|()| forest)
    }

    /// Its file.
    ///
    /// # Errors
    /// The numbers cannot be written.
    pub fn bytes(&self, kind: &str) -> Result<Vec<u8>, String> {
        let column = |of: &dyn Fn(&Node) -> [u8; 4]| self.nodes.iter().flat_map(of).collect::<Vec<u8>>();
        let child = |node: &Node, n: usize| node.children.get(n).copied().unwrap_or_default().to_le_bytes();
        let roots: Vec<u8> = self.roots.iter().flat_map(|r| r.to_le_bytes()).collect();
        let tables = [
            ("feature", Dtype::U32, column(&|n| u32::from(n.feature).to_le_bytes())),
            ("left", Dtype::U32, column(&|n| child(n, 0))),
            ("right", Dtype::U32, column(&|n| child(n, 1))),
            ("roots", Dtype::U32, roots),
            ("threshold", Dtype::F32, column(&|n| n.threshold.to_le_bytes())),
            ("value", Dtype::F32, column(&|n| n.value.to_le_bytes())),
        ];
        let mut views = Vec::new();
        for (name, dtype, bytes) in &tables {
            let view = TensorView::new(*dtype, vec![bytes.len() / 4], bytes).map_err(|e| e.to_string())?;
            views.push((*name, view));
        }
        let words = HashMap::from([
            ("format".to_owned(), format!("{FORMAT} {kind}")),
            ("features".to_owned(), self.features.join(" ")),
            ("threshold".to_owned(), self.threshold.to_string()),
        ]);
        safetensors::serialize(views, Some(words)).map_err(|e| e.to_string())
    }

    fn sound(&self) -> Result<(), String> {
        let count = self.nodes.len();
        if self.roots.is_empty() || self.roots.iter().any(|root| *root as usize >= count) {
            return Err("has no trees, or roots outside the table".to_owned());
        }
        for (place, node) in self.nodes.iter().enumerate() {
            let leaf = node.children == [0, 0];
            if !leaf && node.children.iter().any(|c| (*c as usize) <= place || *c as usize >= count) {
                return Err(format!("has a node {place} whose children do not lie behind it"));
            }
            if !leaf && usize::from(node.feature) >= self.features.len() {
                return Err(format!("has a node {place} that asks for a feature that does not exist"));
            }
            if !node.threshold.is_finite() || !(0.0..=1.0).contains(&node.value) {
                return Err(format!("has a node {place} with a number out of range"));
            }
        }
        Ok(())
    }

    /// Nodes of the path of a row through the tree of `root`, from the root to the leaf.
    fn path<'a>(&'a self, root: u32, row: &'a [f32]) -> impl Iterator<Item = &'a Node> {
        std::iter::successors(self.nodes.get(root as usize), |node| {
            if node.children == [0, 0] {
                return None;
            }
            let value = row.get(usize::from(node.feature)).copied().unwrap_or(0.0);
            let side = usize::from(value > node.threshold);
            self.nodes.get(*node.children.get(side)? as usize)
        })
    }

    /// How malicious, 0 to 1.
    #[must_use]
    pub fn score(&self, row: &[f32]) -> f32 {
        let sum: f32 =
            self.roots.iter().filter_map(|root| self.path(*root, row).last()).map(|leaf| leaf.value).sum();
        sum / self.roots.len().max(1) as f32
    }

    /// The same with what each feature added.
    #[must_use]
    pub fn explain(&self, row: &[f32]) -> Reasons {
        let mut added = vec![0.0_f32; self.features.len()];
        let (mut score, trees) = (0.0, self.roots.len().max(1) as f32);
        for root in &self.roots {
            let mut last: Option<&Node> = None;
            for node in self.path(*root, row) {
                if let Some(cell) = last.and_then(|above| added.get_mut(usize::from(above.feature))) {
                    *cell += (node.value - last.map_or(0.0, |above| above.value)) / trees;
                }
                last = Some(node);
            }
            score += last.map_or(0.0, |leaf| leaf.value) / trees;
        }
        let mut features: Vec<(usize, f32)> =
            added.into_iter().enumerate().filter(|(_, a)| *a != 0.0).collect();
        features.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
        Reasons { score, features }
    }

    /// Trees and nodes.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.roots.len(), self.nodes.len())
    }
}

fn cells<T>(view: &TensorView<'_>, name: &str, dtype: Dtype, of: fn([u8; 4]) -> T) -> Result<Vec<T>, String> {
    if view.dtype() != dtype || view.shape().len() != 1 {
        return Err(format!(
            "has {name} as {:?} {:?}, expected one row of {dtype:?}",
            view.dtype(),
            view.shape()
        ));
    }
    Ok(view.data().chunks_exact(4).filter_map(|b| b.first_chunk().copied().map(of)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(value: f32) -> Node {
        Node { feature: 0, threshold: 0.0, children: [0, 0], value }
    }

    fn sample() -> Forest {
        let split = |feature, threshold, value| Node { feature, threshold, children: [1, 2], value };
        let trees = vec![
            vec![split(0, 1.0, 0.5), leaf(0.0), leaf(1.0)],
            vec![split(1, 5.0, 0.5), leaf(0.2), leaf(0.6)],
        ];
        Forest::new(trees, vec!["a".to_owned(), "b".to_owned()], 0.5).unwrap()
    }

    #[test]
    fn scores_and_reasons_by_hand() {
        let forest = sample();
        assert_eq!(forest.score(&[2.0, 1.0]), 0.6);
        let why = forest.explain(&[2.0, 1.0]);
        assert_eq!(why.features[0], (0, 0.25));
        assert!((why.features[1].1 + 0.15).abs() < 1e-6 && (why.score - 0.6).abs() < 1e-6);
    }

    #[test]
    fn written_and_read_is_the_same() {
        let forest = sample();
        let bytes = forest.bytes("test").unwrap();
        assert_eq!(Forest::load(&bytes, "test", &["a", "b"]).unwrap(), forest);
        assert!(
            Forest::load(&bytes, "flows", &["a", "b"]).unwrap_err().contains("expected slips-forest-1 flows")
        );
        assert!(Forest::load(&bytes, "test", &["a", "c"]).unwrap_err().contains("other features"));
        for cut in 0..bytes.len() {
            assert!(Forest::load(&bytes[..cut], "test", &["a", "b"]).is_err(), "cut at {cut}");
        }
    }

    /// Any damaged byte gives a refusal or a forest that still ends every walk.
    #[test]
    fn damaged_files_never_hang_or_panic() {
        let bytes = sample().bytes("test").unwrap();
        for place in 0..bytes.len() {
            for value in [0, 1, 2, 0x7f, 0xff] {
                let mut bad = bytes.clone();
                bad[place] = value;
                if let Ok(forest) = Forest::load(&bad, "test", &["a", "b"]) {
                    assert!(forest.score(&[0.0, 0.0]).is_finite());
                }
            }
        }
        let endless =
            vec![vec![Node { feature: 0, threshold: 0.0, children: [0, 1], value: 0.5 }, leaf(0.0)]];
        assert!(Forest::new(endless, vec!["a".to_owned()], 0.5).is_none());
    }
}
