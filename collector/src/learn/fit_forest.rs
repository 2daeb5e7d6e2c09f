//! Fits a forest to labelled rows, by the crate smartcore; the result is our own [`Forest`].
//!
//! Enters: rows with their truth, a seed. Leaves: a forest with the share of malicious rows in every node. The same rows and
//! seed give the same forest.

use smartcore::ensemble::random_forest_classifier::{
    RandomForestClassifier, RandomForestClassifierParameters,
};
use smartcore::linalg::basic::matrix::DenseMatrix;

use super::forest::{Forest, Node};

/// How a forest is grown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Of the samples and of the features that are tried.
    pub seed: u64,
    /// Trees.
    pub trees: u16,
    /// Levels.
    pub depth: u16,
    /// Rows that a leaf needs.
    pub leaf: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self { seed: 1, trees: 30, depth: 12, leaf: 5 }
    }
}

/// Grows a forest; its threshold is one half.
///
/// # Errors
/// One sentence: there is nothing to learn from, or the crate failed.
pub fn fit(rows: &[(Vec<f32>, bool)], features: &[&str], plan: Plan) -> Result<Forest, String> {
    let malicious = rows.iter().filter(|(_, m)| *m).count();
    if malicious == 0 || malicious == rows.len() {
        return Err(format!(
            "the data has {malicious} malicious rows of {}: both kinds are needed",
            rows.len()
        ));
    }
    let table: Vec<Vec<f32>> = rows.iter().map(|(row, _)| row.clone()).collect();
    let truth: Vec<u32> = rows.iter().map(|(_, m)| u32::from(*m)).collect();
    let broke = |e: &dyn std::fmt::Display| format!("training broke down: {e}");
    let matrix = DenseMatrix::from_2d_vec(&table).map_err(|e| broke(&e))?;
    let parameters = RandomForestClassifierParameters::default()
        .with_n_trees(plan.trees)
        .with_max_depth(plan.depth)
        .with_min_samples_leaf(plan.leaf)
        .with_seed(plan.seed);
    let grown = RandomForestClassifier::fit(&matrix, &truth, parameters).map_err(|e| broke(&e))?;
    // The crate keeps its trees to itself, but writes them.
    let written = serde_json::to_value(&grown).map_err(|e| broke(&e))?;
    let trees = written.get("trees").and_then(|t| t.as_array()).ok_or_else(|| broke(&"it has no trees"))?;
    let mut made = Vec::new();
    for tree in trees {
        let nodes =
            tree.get("nodes").and_then(|n| n.as_array()).ok_or_else(|| broke(&"a tree has no nodes"))?;
        made.push(convert(nodes, rows).ok_or_else(|| broke(&"a tree is no tree"))?);
    }
    let features = features.iter().map(|&f| f.to_owned()).collect();
    Forest::new(made, features, 0.5).ok_or_else(|| broke(&"a tree is no tree"))
}

/// Nodes with their children behind them, and the share of malicious rows of the whole data in each.
fn convert(nodes: &[serde_json::Value], rows: &[(Vec<f32>, bool)]) -> Option<Vec<Node>> {
    let child = |node: &serde_json::Value, name: &str| {
        node.get(name).and_then(serde_json::Value::as_u64).and_then(|c| usize::try_from(c).ok())
    };
    // Breadth first from the root: a parent always comes before its children.
    let mut order = vec![0_usize];
    let mut made: Vec<Node> = Vec::new();
    let mut at = 0;
    while let Some(number) = order.get(at).copied() {
        let node = nodes.get(number)?;
        let (left, right) = (child(node, "true_child"), child(node, "false_child"));
        let mut children = [0, 0];
        if let (Some(left), Some(right)) = (left, right) {
            children = [u32::try_from(order.len()).ok()?, u32::try_from(order.len() + 1).ok()?];
            order.extend([left, right]);
        }
        made.push(Node {
            feature: child(node, "split_feature").and_then(|f| u16::try_from(f).ok())?,
            threshold: node.get("split_value").and_then(serde_json::Value::as_f64).unwrap_or(0.0) as f32,
            children,
            value: 0.0,
        });
        at += 1;
        if order.len() > nodes.len() {
            return None;
        }
    }
    let mut counts = vec![(0_u32, 0_u32); made.len()];
    for (row, malicious) in rows {
        let mut at = 0;
        while let (Some(count), Some(node)) = (counts.get_mut(at), made.get(at)) {
            count.0 += 1;
            count.1 += u32::from(*malicious);
            if node.children == [0, 0] {
                break;
            }
            let side =
                usize::from(row.get(usize::from(node.feature)).copied().unwrap_or(0.0) > node.threshold);
            at = *node.children.get(side)? as usize;
        }
    }
    for (node, (all, malicious)) in made.iter_mut().zip(counts) {
        node.value = if all == 0 { 0.0 } else { malicious as f32 / all as f32 };
    }
    Some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule that is simple, noise that is not: the forest finds the rule, the same one each time.
    #[test]
    fn finds_a_rule_and_is_the_same_each_time() {
        let mut dice = fastrand::Rng::with_seed(7);
        let rows: Vec<(Vec<f32>, bool)> = (0..600)
            .map(|_| {
                let row: Vec<f32> = (0..4).map(|_| dice.f32() * 10.0).collect();
                let malicious = row[1] > 6.0 && row[2] < 5.0;
                (row, malicious)
            })
            .collect();
        let plan = Plan { trees: 15, depth: 6, leaf: 2, seed: 3 };
        let (learn, check) = rows.split_at(400);
        let forest = fit(learn, &["a", "b", "c", "d"], plan).unwrap();
        let right = check.iter().filter(|(row, m)| (forest.score(row) >= 0.5) == *m).count();
        assert!(right >= 190, "{right} of 200");
        assert_eq!(fit(learn, &["a", "b", "c", "d"], plan).unwrap(), forest);
        let why = forest.explain(&[5.0, 9.0, 1.0, 5.0]);
        let strongest: Vec<usize> = why.features.iter().take(2).map(|(f, _)| *f).collect();
        assert!(strongest.contains(&1) && strongest.contains(&2), "{why:?}");
        assert!(fit(&rows[..0], &["a"], plan).is_err());
    }
}
