//! Nodes in an order in which each comes behind what it reads, and without those that nothing asks for.

use std::collections::{BTreeMap, BTreeSet};

use super::error::OnnxError;
use super::model::{Model, Node};

/// The nodes that lead to `output`.
///
/// # Errors
/// A circle, or an input that nothing puts out.
pub(super) fn order<'m, 'b>(model: &'m Model<'b>, output: &str) -> Result<Vec<&'m Node<'b>>, OnnxError> {
    let mut makers: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, node) in model.nodes.iter().enumerate() {
        for name in node.outputs.iter().filter(|name| !name.is_empty()) {
            makers.entry(name).or_insert(index);
        }
    }
    let known: BTreeSet<&str> =
        model.constants.iter().map(|tensor| tensor.name).chain(model.inputs.iter().map(|input| input.name)).collect();
    let mut order = Vec::new();
    let (mut begun, mut done) = (BTreeSet::new(), BTreeSet::new());
    // Nodes, and how many of their inputs were looked at.
    let mut path: Vec<(usize, usize)> = makers.get(output).map(|index| (*index, 0)).into_iter().collect();
    while let Some((index, at)) = path.pop() {
        let node = &model.nodes[index];
        begun.insert(index);
        let Some(name) = node.inputs.get(at) else {
            if done.insert(index) {
                order.push(node);
            }
            continue;
        };
        path.push((index, at + 1));
        let wrong = |is_cyclic| OnnxError::Order { node: node.title().into(), value: (*name).into(), is_cyclic };
        match makers.get(name) {
            _ if name.is_empty() || known.contains(name) => {}
            Some(maker) if done.contains(maker) => {}
            Some(maker) if begun.contains(maker) => return Err(wrong(true)),
            Some(maker) => path.push((*maker, 0)),
            None => return Err(wrong(false)),
        }
    }
    Ok(order)
}
