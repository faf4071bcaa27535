//! The network up to a layer: what it puts out then are that layer's values.

use anyhow::Result;
use midge_core::{Layer, Network};

use crate::weights::{Tensor, Weights, tensor_infos};

/// What the last of `own` puts out, if only they follow the layers that the first of them reads: a max-pooling between them may be
/// left out.
pub(super) fn up_to(weights: &Weights, own: &[usize]) -> Result<Weights> {
    let network = &weights.network;
    let kept = kept(network, own);
    let mut layers: Vec<Layer> = kept.iter().map(|index| network.layers()[*index]).collect();
    let place = |layer: usize| kept.iter().position(|index| *index == layer).unwrap_or(layer);
    for layer in &mut layers {
        if let Layer::From { layer } | Layer::Add { layer } = layer {
            *layer = place(*layer);
        }
    }
    if !layers.contains(&Layer::Flatten) {
        layers.push(Layer::Flatten);
    }
    let infos = tensor_infos(network);
    let tensors: Vec<Tensor> = infos
        .iter()
        .zip(&weights.tensors)
        .filter(|(info, _)| kept.contains(&info.layer))
        .map(|(_, tensor)| tensor.clone())
        .collect();
    let network = Network::try_new(network.input(), &layers)?;
    Ok(Weights { network, tensors, ..weights.clone() })
}

/// The layers that the values of `own` depend on, in order.
fn kept(network: &Network, own: &[usize]) -> Vec<usize> {
    let mut is_kept = vec![false; network.layers().len()];
    own.iter().for_each(|index| is_kept[*index] = true);
    let Some(first) = own.first().copied() else { return Vec::new() };
    for index in (0..=first).rev() {
        if !is_kept[index] {
            continue;
        }
        let (before, named) = match network.layers()[index] {
            Layer::From { layer } => (None, Some(layer)),
            Layer::Add { layer } => (index.checked_sub(1), Some(layer)),
            _ => (index.checked_sub(1), None),
        };
        before.into_iter().chain(named).for_each(|index| is_kept[index] = true);
    }
    (0..is_kept.len()).filter(|index| is_kept[*index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::initialise;

    #[test]
    fn only_what_a_layer_depends_on_is_left() {
        let text = "input(8,8,3) conv2d(filters=4,kernel=3) relu conv2d(filters=6,kernel=3,stride=2) maxpool2d(pool=2) relu \
                    from(layer=1) conv2d(filters=6,kernel=1,stride=4) add(layer=4) relu flatten dense(units=5)";
        let weights = initialise(text.parse().unwrap(), 1);
        let layers = |own: &[usize]| up_to(&weights, own).unwrap().network.to_string();
        let full = |text: &str| text.parse::<Network>().unwrap().to_string();
        assert_eq!(layers(&[0, 1]), full("input(8,8,3) conv2d(filters=4,kernel=3) relu flatten"));
        // Without the pooling between.
        let expected = "input(8,8,3) conv2d(filters=4,kernel=3) relu conv2d(filters=6,kernel=3,stride=2) relu flatten";
        assert_eq!(layers(&[2, 4]), full(expected));
        // Without the other branch.
        let expected =
            "input(8,8,3) conv2d(filters=4,kernel=3) relu from(layer=1) conv2d(filters=6,kernel=1,stride=4) flatten";
        assert_eq!(layers(&[6]), full(expected));
        assert_eq!(up_to(&weights, &[6]).unwrap().tensors[2], weights.tensors[4]);
        assert_eq!(layers(&[7, 8]), full(&text.replace(" dense(units=5)", "")));
        assert_eq!(layers(&[10]), full(text));
    }
}
